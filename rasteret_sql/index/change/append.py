"""Adds the scenes of another search that a collection does not have yet, at the cost of what is new."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.errors import InvalidArgumentError, RasteretError
from rasteret_sql.index.change.band_samples import name_samples
from rasteret_sql.index.change.build import silent
from rasteret_sql.index.change.scene_headers import problems_of, read_files, scene_row, signed_hosts
from rasteret_sql.index.change.transaction import change, require_built
from rasteret_sql.index.format.manifest import Manifest
from rasteret_sql.index.format.scene_rows import SceneRow
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.read.band_source import asset_address
from rasteret_sql.index.read.file_headers import FileHeader
from rasteret_sql.index.read.headers_by_id import StoredHeaders
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT
from rasteret_sql.receipt import current_receipt
from rasteret_sql.scenes.dates import DateRange
from rasteret_sql.scenes.scene import SceneItem
from rasteret_sql.scenes.source import FoundScenes, SceneSource
from rasteret_sql.stac.item_to_scene import refuse_two_collections
from rasteret_sql.warning import warn


@dataclass(frozen=True, slots=True)
class Appended:
    """The result of an append."""

    path: Path
    """Directory of the collection."""
    found: int
    """Scenes of the search."""
    added: int
    """Those that were new."""
    scenes: int
    """Scenes of the collection now."""


def append(
    index: CollectionIndex,
    source: SceneSource,
    *,
    backend: StorageBackend | None = None,
    max_concurrent: int = DEFAULT_MAX_CONCURRENT,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Appended:
    """Add the scenes of a source that the collection does not have, told apart by id; only their files are read.

    Readers see the collection as it was until all is there. An append that was killed or stopped goes on where it was
    when it is asked for again within a day.

    Raises:
        InvalidArgumentError: The collection is an export or one of rasteret, or has no band of the new scenes.
        RasteretError: The search fails, or no file at all could be read.
        InterruptedQueryError: `cancelled` said so.
    """
    with change(index, f'the append to "{index.name}"', cancelled) as tx:
        now, manifest = tx.index, tx.manifest
        identity = json.dumps(source.identity(secrets=True), sort_keys=True, default=str)
        journal = tx.resume("append " + hashlib.sha256(identity.encode()).hexdigest())
        found = journal.scenes()
        if found is None:
            with current_receipt().plan:
                found = source.find(progress or silent, cancelled)
            journal.keep_scenes(found)
        new, notes = only_new(now, found)
        rows: list[SceneRow] = []
        if new.scenes:
            headers = read_files(
                new.scenes,
                journal,
                backend=backend,
                max_concurrent=max_concurrent,
                tell=progress or silent,
                cancelled=cancelled,
            )
            rows, notes = new_rows(now, new, headers, notes)
        tx.describe(with_signed(with_search(manifest, source), new.scenes))
        if rows:
            tx.add(rows, new.columns)
    for text in [*notes, *problems_of(rows)]:
        warn(f'collection "{index.name}": {text}')
    return Appended(index.path, len(found.scenes), len(rows), manifest.rows + len(rows))


def only_new(index: CollectionIndex, found: FoundScenes) -> tuple[FoundScenes, list[str]]:
    """The scenes that the collection does not have, and notes.

    Raises:
        StacError: A scene has the id of one that the collection has from another STAC collection, with other files.
    """
    known = StoredHeaders(index).has([scene.id for scene in found.scenes])
    _refuse_another_collection(index, [scene for scene in found.scenes if scene.id in known])
    places = [at for at, scene in enumerate(found.scenes) if scene.id not in known]
    columns = None if found.columns is None else found.columns.take(pa.array(places, pa.int64()))
    return replace(found, scenes=[found.scenes[at] for at in places], columns=columns), list(found.notes)


def _refuse_another_collection(index: CollectionIndex, scenes: Sequence[SceneItem]) -> None:
    """Scenes are read by their id alone, so one id cannot stand for files of two STAC collections."""
    given = {scene.id: scene for scene in scenes if scene.collection is not None}
    for part in require_built(index).parts if given else ():
        with pq.ParquetFile(index.path / part.path) as file:
            said = {scene.collection for scene in given.values()}
            if _only_value(file, "collection") in said and len(said) == 1:
                continue
        columns, wanted = ["id", "collection", "assets"], [("id", "in", list(given))]
        rows = pq.read_table(index.path / part.path, columns=columns, filters=wanted, partitioning=None)
        for row in rows.to_pylist():
            scene = given[row["id"]]
            if row["collection"] not in (None, scene.collection):
                kept = {asset_address(asset) for asset in row["assets"].values()}
                if not {asset.href for asset in scene.bands.values()} <= kept:
                    refuse_two_collections(scene.id, [row["collection"], scene.collection])


def _only_value(file: pq.ParquetFile, column: str) -> str | None:
    """The one text that a column has in all rows, by the statistics of the file; None where it has several."""
    found: set[str | None] = set()
    names = file.schema_arrow.names
    for number in range(file.metadata.num_row_groups if column in names else 0):
        group = file.metadata.row_group(number)
        statistics = next(
            group.column(at).statistics for at in range(group.num_columns) if group.column(at).path_in_schema == column
        )
        is_one = statistics is not None and statistics.has_min_max and statistics.min == statistics.max
        found.add(statistics.min if is_one else None)
    return found.pop() if len(found) == 1 else None


def new_rows(
    index: CollectionIndex,
    new: FoundScenes,
    headers: Mapping[str, FileHeader | RasteretError],
    notes: Sequence[str],
) -> tuple[list[SceneRow], list[str]]:
    """Rows with the bands that the collection has, and notes on others.

    Raises:
        InvalidArgumentError: No scene has any of them.
    """
    scenes, bands = name_samples(new.scenes, new.bands, new.named, headers)
    strange = [band for band in bands if band not in index.bands]
    if strange and len(strange) == len(bands):
        raise InvalidArgumentError(
            f'the new scenes have the bands {", ".join(bands)}, and collection "{index.name}" has '
            f"{', '.join(index.bands)}; build a collection of their own, or say which is which with band_map"
        )
    more = [f"the new scenes have bands that the collection lacks, left out: {', '.join(strange)}"] if strange else []
    kept = [
        replace(scene, bands={band: asset for band, asset in scene.bands.items() if band in index.bands})
        for scene in scenes
    ]
    return [scene_row(scene, headers) for scene in kept], [*notes, *more]


def with_signed(manifest: Manifest, scenes: Iterable[SceneItem]) -> Manifest:
    """The manifest that remembers the hosts whose addresses were signed, too; the same object where it does already."""
    name = schema.KEY_SIGNED.decode()
    known = json.loads(manifest.keys.get(name, "[]"))
    hosts = sorted({*known, *signed_hosts(scenes)})
    return manifest if hosts == known else replace(manifest, keys={**manifest.keys, name: json.dumps(hosts)})


def with_search(manifest: Manifest, source: SceneSource) -> Manifest:
    """The manifest that remembers the source, too; the same object where it does already."""
    identity = json.loads(json.dumps(source.identity()))
    if identity in [dict(search) for search in manifest.searches]:
        return manifest
    keys = dict(manifest.keys)
    name = schema.KEY_DATE_RANGE.decode()
    keys[name] = _widened(keys.get(name, ""), source.dates)
    return replace(manifest, keys=keys, searches=(*manifest.searches, identity), generation=manifest.generation + 1)


def _widened(said: str, more: DateRange | None) -> str:
    """`start,end` of the collection after another search."""
    ends = said.split(",")
    if len(ends) != 2 or not all(ends) or more is None or more.start is None or more.end is None:
        return ""
    start, end = (datetime.fromisoformat(text) for text in ends)
    return f"{min(start, more.start).isoformat()},{max(end, more.end).isoformat()}"
