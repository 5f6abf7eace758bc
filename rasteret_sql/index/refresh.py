"""A collection brought up to date with its sources: changed scenes read again, new ones added, gone ones marked."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.errors import InterruptedQueryError, MissingObjectError, RasteretError, StacError, StorageError
from rasteret_sql.index.append import new_rows, require_built, with_signed
from rasteret_sql.index.build import silent
from rasteret_sql.index.found import asset_address
from rasteret_sql.index.headers import FileHeader, read_headers
from rasteret_sql.index.journal import writing
from rasteret_sql.index.manifest import Manifest
from rasteret_sql.index.open import CollectionIndex, open_collection
from rasteret_sql.index.reading import problems_of
from rasteret_sql.index.rows import SceneRow, scene_batches
from rasteret_sql.index.store import changed, keys_of, without_parts, write_manifest
from rasteret_sql.index.stored import StoredHeaders
from rasteret_sql.index.write import HEADER_GROUP_ROWS, CollectionWriter
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.fetch import fetch_prefix
from rasteret_sql.io.loop import run
from rasteret_sql.io.stores import default_backend
from rasteret_sql.stac.dates import parse_instant
from rasteret_sql.stac.found import Cancelled, FoundScenes, Progress, SceneSource
from rasteret_sql.stac.item import SceneItem

_NAMED = 3
"""Scenes that a warning names."""

GONE = "gone: its source does not list this scene any more"
"""Status of such a scene. Its row and headers stay, for its files may still be there."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did, in scenes."""

    path: Path
    checked: int
    """Scenes that the collection had."""
    changed: int
    """Those read again: their item says so, or one of their files is another one now."""
    added: int
    """Scenes that are new."""
    gone: int
    """Scenes that were marked now."""


@dataclass(slots=True)
class _Differences:
    changed: dict[str, SceneItem] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    back: set[str] = field(default_factory=set)
    """Marked as gone, and listed again."""
    facts: dict[str, FileFacts] = field(default_factory=dict)
    """Address → what is kept of the file, of scenes whose item is the same."""
    users: dict[str, set[str]] = field(default_factory=dict)
    """Address → scenes that use the file."""


def refresh(
    index: CollectionIndex,
    sources: Sequence[SceneSource],
    *,
    backend: StorageBackend | None = None,
    max_concurrent: int = 50,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Refreshed:
    """Ask all sources again, and compare.

    A scene is read again where its item's `updated` or the address of a file changed, where a file could not be read
    before, and where a file's ETag, else its size or time of change, is another one: asked with one small request each.
    Readers see the collection as it was until all is done.

    Raises:
        InvalidArgumentError: The collection is an export or one of rasteret.
        StacError: The sources list no scene at all, which looks like a mistake; nothing is changed.
        RasteretError: A search fails.
    """
    require_built(index)
    what = f'the refresh of "{index.name}"'
    tell = progress or silent
    with writing(index.path, what, cancelled):
        now = open_collection(index.path, index.name)
        manifest = require_built(now)
        found = _ask(sources, tell, cancelled)
        if not found.scenes:
            raise StacError(
                f'the sources of "{index.name}" list no scene any more, so nothing was changed; drop the collection if '
                "that is right"
            )
        items = {scene.id: scene for scene in found.scenes}
        differences = _compare(now, items)
        reader = backend or default_backend()
        _check_files(differences, items, reader, max_concurrent, tell=tell, cancelled=cancelled)
        known = set(StoredHeaders(now).has(list(items)))
        new = [scene for scene in found.scenes if scene.id not in known]
        again = replace(found, scenes=[*differences.changed.values(), *new])
        headers = _read(again, reader, max_concurrent, tell=tell, cancelled=cancelled)
        unreachable = _unreachable(differences, headers)
        again = replace(again, scenes=[scene for scene in again.scenes if scene.id not in unreachable])
        rows, notes = new_rows(now, again, headers, found.notes) if again.scenes else ([], list(found.notes))
        notes += _left(unreachable)
        if rows or differences.gone or differences.back:
            _publish(now, manifest, rows, differences, what=what, cancelled=cancelled)
    for text in [*notes, *problems_of(rows)]:
        warnings.warn(f'collection "{index.name}": {text}', RuntimeWarning, stacklevel=2)
    return Refreshed(index.path, manifest.rows, len(differences.changed), len(new), len(differences.gone))


def _ask(sources: Sequence[SceneSource], tell: Progress, cancelled: Cancelled | None) -> FoundScenes:
    """The scenes of all sources, each id once."""
    parts = [source.find(tell, cancelled) for source in sources]
    scenes: dict[str, SceneItem] = {}
    for part in parts:
        for scene in part.scenes:
            scenes.setdefault(scene.id, scene)
    bands = tuple(dict.fromkeys(band for part in parts for band in part.bands))
    named = tuple(dict.fromkeys(band for part in parts for band in part.named))
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return FoundScenes(list(scenes.values()), bands, named, notes)


def _compare(index: CollectionIndex, items: Mapping[str, SceneItem]) -> _Differences:
    """What the items say against what is kept."""
    out = _Differences()
    for row in _kept(index):
        scene_id, status = row["id"], row["status"] or schema.STATUS_OK
        item = items.get(scene_id)
        if item is None:
            if status != GONE:
                out.gone.add(scene_id)
            continue
        if status == GONE:
            out.back.add(scene_id)
        addresses = {address for asset in row["assets"].values() if (address := asset_address(asset))}
        there = {asset.href for asset in item.bands.values()}
        unread = status not in (schema.STATUS_OK, GONE)
        if unread or not addresses <= there or _is_newer(item, row["updated"]):
            out.changed[scene_id] = item
            continue
        for band, header in row["headers"].items():
            address = asset_address(row["assets"].get(band))
            if address is not None and header is not None:
                out.facts[address] = FileFacts(header["size"], header["etag"], header["modified"])
                out.users.setdefault(address, set()).add(scene_id)
    return out


def _kept(index: CollectionIndex) -> Iterator[dict[str, Any]]:
    """Each scene with its status, `updated`, assets, and what is kept of its files."""
    manifest = require_built(index)
    headers = StoredHeaders(index)
    for number, table in headers.parts(index.bands, ("size", "etag", "modified")):
        part = index.path / manifest.parts[number].path
        names = pq.read_schema(part).names
        updated = (
            pq.read_table(part, columns=["updated"], partitioning=None)["updated"].to_pylist()
            if "updated" in names
            else [None] * table.num_rows
        )
        columns = {band: table[schema.header_column(band)].to_pylist() for band in index.bands}
        rows = zip(
            table["id"].to_pylist(), table["status"].to_pylist(), table["assets"].to_pylist(), updated, strict=True
        )
        for at, (scene_id, status, assets, when) in enumerate(rows):
            stored = {band: values[at] for band, values in columns.items()}
            yield {"id": scene_id, "status": status, "assets": assets, "updated": when, "headers": stored}


def _is_newer(item: SceneItem, kept: datetime | str | None) -> bool:
    said = item.properties.get("updated")
    if not isinstance(said, str) or kept is None:
        return False
    try:
        before = kept if isinstance(kept, datetime) else parse_instant(kept)
        return parse_instant(said) != before
    except ValueError:
        return said != kept


def _check_files(
    differences: _Differences,
    items: Mapping[str, SceneItem],
    backend: StorageBackend,
    max_concurrent: int,
    *,
    tell: Progress,
    cancelled: Cancelled | None,
) -> None:
    """Ask for the facts of each file, and count scenes of those that differ, or cannot be asked, as changed."""
    addresses = list(differences.facts)
    done = 0
    other: list[str] = []

    async def work(waiting: Iterator[str]) -> None:
        nonlocal done
        for address in waiting:
            try:
                _, facts = await fetch_prefix(backend, address, 1)
                same = not facts.change_from(differences.facts[address])
            except RasteretError:
                same = False  # reading it again says why
            if not same:
                other.append(address)
            done += 1

    async def all_of_them() -> None:
        waiting = iter(addresses)
        async with asyncio.TaskGroup() as group:
            for _ in range(max_concurrent):
                group.create_task(work(waiting))

    def poll() -> bool:
        tell(done, len(addresses), "files")
        return cancelled is not None and cancelled()

    run(all_of_them(), poll)
    for address in other:
        for scene_id in differences.users[address]:
            differences.changed[scene_id] = items[scene_id]


def _unreachable(
    differences: _Differences, headers: Mapping[str, FileHeader | RasteretError]
) -> dict[str, RasteretError]:
    """Scenes whose files may well be there, but cannot be asked now: what is known of them must not be lost."""
    out: dict[str, RasteretError] = {}
    for scene_id, item in list(differences.changed.items()):
        for asset in item.bands.values():
            error = headers[asset.href]
            if isinstance(error, StorageError) and not isinstance(error, MissingObjectError):
                out[scene_id] = error
                differences.changed.pop(scene_id, None)
    return out


def _left(unreachable: Mapping[str, RasteretError]) -> list[str]:
    """A note on the scenes that were left, which names some."""
    if not unreachable:
        return []
    named = [f'"{scene}" ({why})' for scene, why in list(unreachable.items())[:_NAMED]]
    more = len(unreachable) - len(named)
    return [
        f"{len(unreachable)} scenes were left as they were, since their files could not be asked: {'; '.join(named)}"
        + (f"; and {more} more" if more else "")
    ]


def _read(
    found: FoundScenes,
    backend: StorageBackend,
    max_concurrent: int,
    *,
    tell: Progress,
    cancelled: Cancelled | None,
) -> dict[str, FileHeader | RasteretError]:
    """Headers of the scenes' files."""
    addresses = list(dict.fromkeys(asset.href for scene in found.scenes for asset in scene.bands.values()))
    done = 0

    def on_done(_address: str, _found: FileHeader | RasteretError) -> None:
        nonlocal done
        done += 1

    def poll() -> bool:
        tell(done, len(addresses), "headers")
        return cancelled is not None and cancelled()

    return run(read_headers(addresses, backend, max_concurrent, on_done), poll)


def _publish(
    index: CollectionIndex,
    manifest: Manifest,
    rows: Sequence[SceneRow],
    differences: _Differences,
    *,
    what: str,
    cancelled: Cancelled | None,
) -> None:
    """Write the parts with changed rows anew, without those that were read again, which make parts of their own."""

    def check() -> None:
        if cancelled is not None and cancelled():
            raise InterruptedQueryError(f"{what} was interrupted; nothing was changed")

    replaced = set(differences.changed)
    touched = replaced | differences.gone | differences.back
    headers = StoredHeaders(index)
    ids = {number: table["id"].to_pylist() for number, table in headers.parts(())}
    numbers = {number for number, scenes in ids.items() if not touched.isdisjoint(scenes)}
    kept = without_parts(manifest, {manifest.parts[number].path for number in numbers})
    kept = with_signed(kept, (row.item for row in rows))
    with changed(index.path, kept) as directory:
        writer = CollectionWriter(directory, keys_of(manifest), manifest, check)
        try:
            for number, stored in headers.parts(index.bands, only=numbers):
                mask = pa.array([scene not in replaced for scene in ids[number]], pa.bool_())
                scenes = _part_rows(index.path / manifest.parts[number].path, index.schema, differences).filter(mask)
                columns = [schema.header_column(band) for band in index.bands]
                if scenes.num_rows:
                    writer.write(month_of(manifest.parts[number].path), scenes, stored.select(columns).filter(mask))
            for month, scenes, packed in scene_batches(rows, manifest.bands, HEADER_GROUP_ROWS, like=manifest.columns):
                writer.write(month, scenes, packed)
            done = writer.finish(kept)
        finally:
            writer.abandon()
        write_manifest(directory, done)


def _part_rows(file: Path, columns: pa.Schema, differences: _Differences) -> pa.Table:
    """Rows of a part, with the status that they have now."""
    with pq.ParquetFile(file) as source:
        table = source.read().replace_schema_metadata(None)
    table = table.select([name for name in columns.names if name in table.column_names])
    status = [
        GONE if scene in differences.gone else schema.STATUS_OK if scene in differences.back else before
        for scene, before in zip(table["id"].to_pylist(), table["status"].to_pylist(), strict=True)
    ]
    return table.set_column(table.column_names.index("status"), "status", pa.array(status, pa.string()))


def month_of(path: str) -> tuple[int, int] | None:
    """Partition of a part."""
    year, month = (piece.split("=", 1)[1] for piece in path.split("/")[:2])
    return (int(year), int(month)) if year.isdigit() else None
