"""Changes a collection under its lock, all at once or not at all; build, append, refresh and drop use it."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from rasteret_sql import schema
from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InterruptedQueryError, InvalidArgumentError, MissingObjectError
from rasteret_sql.index.change.collection_files import HEADER_GROUP_ROWS, CollectionWriter, Month
from rasteret_sql.index.change.journal import Journal, goes_on
from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.format.manifest import Manifest
from rasteret_sql.index.format.scene_rows import SceneRow, scene_batches
from rasteret_sql.index.place.atomic_directory import published, writing
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.receipt import current_receipt


@contextmanager
def change(target: CollectionIndex | Path, what: str, cancelled: Cancelled | None = None) -> Iterator[Change]:
    """Be the only one that changes a collection; when the block ends well, readers see all that it did, at once.

    Otherwise the collection stays as it was. A block that does nothing to it writes nothing.

    Args:
        target: A built collection, or the directory of one that may not be there yet.
        what: What is done, for messages, such as `the append to "bay"`.
        cancelled: Polled; stops the wait for others, and the writing.

    Raises:
        InvalidArgumentError: The collection cannot be changed.
        InterruptedQueryError: `cancelled` said so.
    """
    path = target if isinstance(target, Path) else target.path
    with writing(path, what, cancelled), ExitStack() as stack:
        now = None
        if isinstance(target, CollectionIndex):
            require_built(target)
            now = open_collection(path, target.name)
        one = Change(path, what, cancelled, stack, now)
        yield one
        one.commit()


def require_built(index: CollectionIndex) -> Manifest:
    """The manifest of a collection that can be changed.

    Raises:
        InvalidArgumentError: It is an export, or was written by rasteret or an earlier version.
    """
    if index.manifest is None:
        raise InvalidArgumentError(
            f'collection "{index.name}" at {index.path} cannot be changed: it is an export, or was written by rasteret '
            "or an earlier version. Change the collection that it was exported from, or build it again"
        )
    return index.manifest


class Change:
    """A change of a collection that is under way, as `change` gives it.

    Files are written into a hidden directory once the first of them is needed. Those of the collection that stay are
    linked into it, not copied, so that a change costs what it adds; none is written into, and no new one gets the name
    that another had.
    """

    def __init__(
        self, path: Path, what: str, cancelled: Cancelled | None, stack: ExitStack, index: CollectionIndex | None
    ) -> None:
        self._path = path
        self._what = what
        self._cancelled = cancelled
        self._stack = stack
        self._index = index
        self._before = None if index is None else require_built(index)
        self._after = self._before
        self._replaced: set[str] = set()
        """Paths of the parts that the collection has no more, or with other headers."""
        self._leaves_old_files = self._drops = False
        self._directory: Path | None = None
        self._writer: CollectionWriter | None = None
        self._journal: Journal | None = None
        self._resumes = False
        stack.push(self._end)

    @property
    def index(self) -> CollectionIndex:
        """The collection as it is now, which others may have changed since the caller opened it."""
        assert self._index is not None
        return self._index

    @property
    def manifest(self) -> Manifest:
        """Of the collection as it is to be, without what is added."""
        assert self._after is not None
        return self._after

    def resume(self, key: str, *, anew: bool = False) -> Journal:
        """The journal of this change, with what one of the same key did before it was stopped.

        Args:
            key: Differs where the results may.
            anew: All is to be done again, whatever another one did.
        """
        self._journal, self._resumes = Journal(self._path, key, anew=anew), not anew
        return self._journal

    def check(self) -> None:
        """Stop if that is asked.

        Raises:
            InterruptedQueryError: It is.
        """
        if self._cancelled is not None and self._cancelled():
            rest = "asked for again it goes on where it was" if self._resumes else "nothing was changed"
            raise InterruptedQueryError(f"{self._what} was interrupted; {rest}")

    def create(
        self,
        metadata: CollectionMetadata,
        rows: Sequence[SceneRow],
        columns: pa.Table | None = None,
        search: Mapping[str, Any] | None = None,
    ) -> None:
        """Put a new collection in place of what is there.

        Args:
            metadata: What holds for all scenes.
            rows: At least one scene.
            columns: As for `add`.
            search: What was asked for, for later refreshs.
        """
        keys = metadata.key_values(row.item.geometry for row in rows)
        self._before = None
        self._after = Manifest(
            bands=metadata.bands,
            parts=(),
            headers=(),
            ids=(),
            uniform=True,
            columns=pa.schema([]),
            keys={key.decode(): value.decode() for key, value in keys.items()},
            searches=() if search is None else (search,),
        )
        self.add(rows, columns)

    def add(self, rows: Sequence[SceneRow], columns: pa.Table | None = None) -> None:
        """Add scenes.

        Args:
            rows: The scenes.
            columns: Typed columns of theirs, a row each, in place of their properties.
        """
        like = None if self._before is None else self._before.columns
        with current_receipt().reduce:
            for month, scenes, headers in scene_batches(
                rows, self.manifest.bands, HEADER_GROUP_ROWS, columns, like=like
            ):
                self.write(month, scenes, headers)

    def write(self, month: Month, scenes: pa.Table, headers: pa.Table) -> None:
        """Add scenes of one month that are a table already.

        Args:
            month: Their partition.
            scenes: In order, with the columns of all other calls.
            headers: `problems` and `{band}_header` of the same rows.
        """
        self._writing().write(month, scenes, headers)

    def describe(self, manifest: Manifest) -> None:
        """Say something else of the collection: its keys or searches.

        Args:
            manifest: `self.manifest` with what differs.
        """
        self._after = manifest

    def rewrite(self, number: int, scenes: pa.Table, headers: pa.Table) -> None:
        """Put other rows in place of a part.

        Args:
            number: Of the part, in the collection as it is now.
            scenes: Its rows, perhaps none.
            headers: `problems` and `{band}_header` of the same rows.
        """
        path = require_built(self.index).parts[number].path
        self._replaced.add(path)
        if scenes.num_rows:
            self.write(_month_of(path), scenes, headers)

    def give_headers(self, number: int, rows: pa.Table, headers: pa.Table) -> None:
        """Put other headers in place of those of a part, whose own file stays.

        Args:
            number: Of the part, in the collection as it is now.
            rows: What stands beside the headers, of all its rows.
            headers: `problems` and `{band}_header` of the same rows.
        """
        part = require_built(self.index).parts[number]
        self._replaced.add(part.path)
        self._writing().give_headers(part, rows, headers)

    def leave_old_files(self) -> None:
        """Let parts that are rewritten lie until the next change, so that queries that scan them go on."""
        self._leaves_old_files = True

    def drop(self) -> None:
        """Remove the collection."""
        self._drops = True

    def commit(self) -> None:
        """Let readers see what was done."""
        if self._drops:
            self._remove()
        elif self._writer is not None or self._replaced or self._after is not self._before:
            with current_receipt().reduce:
                self._write_manifest()

    def _write_manifest(self) -> None:
        directory, before = self._staged(), self._before
        done = without_parts(self.manifest, self._replaced)
        if self._writer is not None or self._replaced:
            done = self._writing().finish(done)
        if before is not None:
            # What was added to a collection of an earlier version is not for the programs of then.
            keys = {**done.keys, schema.KEY_INDEX_VERSION.decode(): str(schema.INDEX_VERSION)}
            done = replace(done, version=schema.INDEX_VERSION, keys=keys)
            # Scenes stay in the order that they had.
            order = {part.path: number for number, part in enumerate(before.parts)}
            done = replace(done, parts=tuple(sorted(done.parts, key=lambda part: order.get(part.path, len(order)))))
            left = self._replaced if self._leaves_old_files else set()
            for name in {*done.files(), *left} & {*before.files()}:
                place = directory / name
                place.parent.mkdir(parents=True, exist_ok=True)
                _link(self._path / name, place)
        (directory / schema.MANIFEST).write_text(done.text(), "utf-8")

    def _staged(self) -> Path:
        if self._directory is None:
            self._directory = self._stack.enter_context(published(self._path))
        return self._directory

    def _writing(self) -> CollectionWriter:
        if self._writer is None:
            keys = {key.encode(): value.encode() for key, value in self.manifest.keys.items()}
            self._writer = CollectionWriter(self._staged(), keys, self._before, self.check)
            self._stack.callback(self._writer.abandon)
        return self._writer

    def _remove(self) -> None:
        Journal(self._path, "dropped").remove()
        # A name that nothing reads, and that the next build of the collection clears away if we die now.
        aside = self._path.with_name(f".{self._path.name[:180]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            raise MissingObjectError(f"{self._what}: there is no collection at {self._path} any more") from None
        shutil.rmtree(aside, ignore_errors=True)

    def _end(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """Keep the journal for the next one, or remove it; called after the collection took its place."""
        if self._journal is not None:
            if error is None or not goes_on(error):
                self._journal.remove()
            self._journal.close()
        return False


def without_parts(manifest: Manifest, paths: set[str]) -> Manifest:
    """The manifest without some parts, and without header files that no part needs any more."""
    parts = tuple(part for part in manifest.parts if part.path not in paths)
    needed = {part.headers for part in parts}
    return replace(manifest, parts=parts, headers=tuple(file for file in manifest.headers if file.number in needed))


def _month_of(path: str) -> Month:
    """Partition of a part."""
    year, month = (piece.split("=", 1)[1] for piece in path.split("/")[:2])
    return (int(year), int(month)) if year.isdigit() else None


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links, or a limit of them
        shutil.copy2(source, target)
