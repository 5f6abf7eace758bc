"""Brings a collection up to date with its sources: reads changed scenes again, adds new ones, marks gone ones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.errors import MissingObjectError, RasteretError, StacError, StorageError
from rasteret_sql.index.change.append import new_rows, with_signed
from rasteret_sql.index.change.build import silent
from rasteret_sql.index.change.scene_headers import problems_of
from rasteret_sql.index.change.transaction import Change, change, require_built
from rasteret_sql.index.format.header_codec import is_as_item_says, sidecars_in
from rasteret_sql.index.format.scene_rows import SceneRow
from rasteret_sql.index.format.scene_status import GONE, Problem, problems_column, problems_in, status_text
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.read.band_source import asset_address
from rasteret_sql.index.read.file_headers import FileHeader, named_sidecars, read_headers
from rasteret_sql.index.read.headers_by_id import StoredHeaders
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.fetch import fetch_prefix
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT
from rasteret_sql.receipt import current_receipt
from rasteret_sql.scenes.dates import parse_instant
from rasteret_sql.scenes.scene import SceneItem
from rasteret_sql.scenes.source import FoundScenes, SceneSource
from rasteret_sql.warning import warn

_NAMED = 3
"""Scenes that a warning names."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The result of a refresh, in scenes."""

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
    max_concurrent: int = DEFAULT_MAX_CONCURRENT,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Refreshed:
    """Ask all sources again, and compare.

    A scene is read again where its item's `updated`, the address of a file, or what the item says of a band (scale,
    offset, unit, common name, nodata) changed, where a file could not be read before, and where a file's ETag, else its
    size or time of change, is another one: asked with one small request each.
    Readers see the collection as it was until all is done.

    Raises:
        InvalidArgumentError: The collection is an export or one of rasteret.
        StacError: The sources list no scene at all, which looks like a mistake; nothing is changed.
        RasteretError: A search fails.
    """
    tell = progress or silent
    with change(index, f'the refresh of "{index.name}"', cancelled) as tx:
        now, manifest = tx.index, tx.manifest
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
            _write(tx, rows, differences)
    for text in [*notes, *problems_of(rows)]:
        warn(f'collection "{index.name}": {text}')
    return Refreshed(index.path, manifest.rows, len(differences.changed), len(new), len(differences.gone))


def _ask(sources: Sequence[SceneSource], tell: Progress, cancelled: Cancelled | None) -> FoundScenes:
    """The scenes of all sources, each id once."""
    with current_receipt().plan:
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
    """Compare the items with what is kept."""
    out = _Differences()
    for row in _kept(index):
        scene_id, problems = row["id"], row["problems"]
        item = items.get(scene_id)
        if item is None:
            if problems != [GONE]:
                out.gone.add(scene_id)
            continue
        if problems == [GONE]:
            out.back.add(scene_id)
        addresses = {address for asset in row["assets"].values() if (address := asset_address(asset))}
        there = {asset.href for asset in item.bands.values()}
        # Of a file, or of a value that the item does not have any more.
        unread = problems not in (SceneRow(item).said_problems, [GONE])
        if unread or not addresses <= there or _is_newer(item, row["updated"]) or _says_other(item, row["headers"]):
            out.changed[scene_id] = item
            continue
        for band, header in row["headers"].items():
            address = asset_address(row["assets"].get(band))
            if address is not None and header is not None:
                out.facts[address] = FileFacts(header["size"], header["etag"], header["modified"])
                out.users.setdefault(address, set()).add(scene_id)
                for beside in sidecars_in(header["layout"]):
                    out.facts[address + beside.suffix] = FileFacts(beside.size, beside.etag, beside.modified)
                    out.users.setdefault(address + beside.suffix, set()).add(scene_id)
    return out


def _kept(index: CollectionIndex) -> Iterator[dict[str, Any]]:
    """Each scene with its problems, `updated`, assets, and what is kept of its files."""
    manifest = require_built(index)
    headers = StoredHeaders(index)
    for number, table in headers.parts(index.bands, ("size", "etag", "modified", "layout")):
        part = index.path / manifest.parts[number].path
        names = pq.read_schema(part).names
        updated = (
            pq.read_table(part, columns=["updated"], partitioning=None)["updated"].to_pylist()
            if "updated" in names
            else [None] * table.num_rows
        )
        columns = {band: table[schema.header_column(band)].to_pylist() for band in index.bands}
        rows = zip(
            table["id"].to_pylist(), problems_in(table["problems"]), table["assets"].to_pylist(), updated, strict=True
        )
        for at, (scene_id, problems, assets, when) in enumerate(rows):
            stored = {band: values[at] for band, values in columns.items()}
            yield {"id": scene_id, "problems": problems, "assets": assets, "updated": when, "headers": stored}


def _is_newer(item: SceneItem, kept: datetime | str | None) -> bool:
    said = item.properties.get("updated")
    if not isinstance(said, str) or kept is None:
        return False
    try:
        before = kept if isinstance(kept, datetime) else parse_instant(kept)
        return parse_instant(said) != before
    except ValueError:
        return said != kept


def _says_other(item: SceneItem, headers: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """True where an item says something else of a band than is kept in its header: another scale, say."""
    kept = ((item.bands.get(band), header) for band, header in headers.items())
    return any(
        not is_as_item_says(header["layout"], asset.item, asset.nodata)
        for asset, header in kept
        if asset is not None and header is not None and header["layout"] is not None
    )


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

    return run(read_headers(addresses, backend, max_concurrent, on_done, named_sidecars(found.scenes)), poll)


def _write(tx: Change, rows: Sequence[SceneRow], differences: _Differences) -> None:
    """Write the parts with changed rows anew, without those that were read again, which make parts of their own."""
    index, manifest = tx.index, tx.manifest
    replaced = set(differences.changed)
    touched = replaced | differences.gone | differences.back
    headers = StoredHeaders(index)
    ids = {number: table["id"].to_pylist() for number, table in headers.parts(())}
    numbers = {number for number, scenes in ids.items() if not touched.isdisjoint(scenes)}
    columns = [schema.header_column(band) for band in index.bands]
    for number, stored in headers.parts(index.bands, only=numbers):
        mask = pa.array([scene not in replaced for scene in ids[number]], pa.bool_())
        problems = [
            [GONE] if scene in differences.gone else [] if scene in differences.back else before
            for scene, before in zip(ids[number], problems_in(stored["problems"]), strict=True)
        ]
        scenes = _part_rows(index.path / manifest.parts[number].path, index.schema, problems).filter(mask)
        packed = stored.select(columns).append_column("problems", problems_column(problems))
        tx.rewrite(number, scenes, packed.filter(mask))
    tx.describe(with_signed(manifest, (row.item for row in rows)))
    if rows:
        tx.add(rows)


def _part_rows(file: Path, columns: pa.Schema, problems: Sequence[Sequence[Problem]]) -> pa.Table:
    """Rows of a part, with the status that they have now."""
    with pq.ParquetFile(file) as source:
        table = source.read().replace_schema_metadata(None)
    table = table.select([name for name in columns.names if name in table.column_names])
    status = pa.array(map(status_text, problems), pa.string())
    return table.set_column(table.column_names.index("status"), "status", status)
