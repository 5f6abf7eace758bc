"""The directory of a collection, made whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from rasteret_sql.index.manifest import Manifest
from rasteret_sql.index.metadata import CollectionMetadata, geo_metadata
from rasteret_sql.index.publish import published
from rasteret_sql.index.rows import SceneRow, scene_batches
from rasteret_sql.index.write import HEADER_GROUP_ROWS, CollectionWriter
from rasteret_sql.schema import MANIFEST


def write_collection(
    rows: Sequence[SceneRow],
    metadata: CollectionMetadata,
    target: Path,
    *,
    columns: pa.Table | None = None,
    search: Mapping[str, Any] | None = None,
    check: Callable[[], None] | None = None,
) -> None:
    """Write the scenes as the collection at `target`, which appears whole or not at all; what stood there is replaced.

    Args:
        rows: At least one scene.
        metadata: What holds for all of them.
        target: The collection's directory.
        columns: Typed columns of the scenes, a row each, in place of their properties.
        search: What was asked for, for later refreshs.
        check: Called between row groups; raises to stop the write.
    """
    key_values = metadata.key_values(geo_metadata(row.item.geometry for row in rows))
    empty = Manifest(
        bands=metadata.bands,
        parts=(),
        headers=(),
        ids=(),
        uniform=True,
        columns=pa.schema([]),
        keys={key.decode(): value.decode() for key, value in key_values.items()},
        searches=() if search is None else (search,),
    )
    with published(target) as directory:
        add_scenes(directory, empty, rows, key_values, columns=columns, base=None, check=check)


def add_scenes(
    directory: Path,
    manifest: Manifest,
    rows: Sequence[SceneRow],
    key_values: dict[bytes, bytes],
    *,
    columns: pa.Table | None,
    base: Manifest | None,
    check: Callable[[], None] | None,
) -> Manifest:
    """Write scenes into a directory, and the manifest last.

    Args:
        directory: Not yet seen by any reader.
        manifest: What the collection has without them.
        rows: The scenes.
        key_values: For the files.
        columns: Typed columns of the scenes, a row each, in place of their properties.
        base: What the directory holds; None where it is empty.
        check: Called between row groups; raises to stop the write.
    """
    writer = CollectionWriter(directory, key_values, base, check)
    try:
        for month, scenes, headers in scene_batches(
            rows, manifest.bands, HEADER_GROUP_ROWS, columns, like=base.columns if base else None
        ):
            writer.write(month, scenes, headers)
        done = writer.finish(manifest)
    finally:
        writer.abandon()
    write_manifest(directory, done)
    return done


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest of a directory that no reader sees yet."""
    (directory / MANIFEST).write_text(manifest.text(), "utf-8")


@contextmanager
def changed(target: Path, manifest: Manifest) -> Iterator[Path]:
    """Give a directory with the files of a collection; when the block ends well it takes the collection's place.

    Files are linked, not copied, so that the cost is that of what the block adds. The block writes new files, never
    into old ones, and a manifest. Readers see the collection as it was, or as it is after; files that the new manifest
    does not name are gone then.
    """
    with published(target) as directory:
        for name in manifest.files():
            place = directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(target / name, place)
        yield directory


def keys_of(manifest: Manifest, **changes: str) -> dict[bytes, bytes]:
    """Key/value metadata for new files of a collection."""
    return {key.encode(): value.encode() for key, value in {**manifest.keys, **changes}.items()}


def without_parts(manifest: Manifest, paths: set[str]) -> Manifest:
    """The manifest without some parts, and without header files that no part needs any more."""
    parts = tuple(part for part in manifest.parts if part.path not in paths)
    needed = {part.headers for part in parts}
    return replace(manifest, parts=parts, headers=tuple(file for file in manifest.headers if file.number in needed))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links, or a limit of them
        shutil.copy2(source, target)
