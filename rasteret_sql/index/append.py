"""More scenes into a collection: those of another search that it does not have yet, at the cost of what is new."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from rasteret_sql import schema
from rasteret_sql.errors import InterruptedQueryError, InvalidArgumentError, RasteretError
from rasteret_sql.index.build import silent
from rasteret_sql.index.headers import FileHeader
from rasteret_sql.index.journal import Journal, writing
from rasteret_sql.index.manifest import Manifest
from rasteret_sql.index.open import CollectionIndex, open_collection
from rasteret_sql.index.reading import problems_of, read_files, scene_row, signed_hosts
from rasteret_sql.index.rows import SceneRow
from rasteret_sql.index.samples import name_samples
from rasteret_sql.index.store import add_scenes, changed, keys_of, write_manifest
from rasteret_sql.index.stored import StoredHeaders
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.stac.dates import DateRange
from rasteret_sql.stac.found import Cancelled, FoundScenes, Progress, SceneSource
from rasteret_sql.stac.item import SceneItem


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did."""

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
    max_concurrent: int = 50,
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
    require_built(index)
    what = f'the append to "{index.name}"'
    with writing(index.path, what, cancelled):
        now = open_collection(index.path, index.name)
        manifest = require_built(now)
        identity = json.dumps(source.identity(secrets=True), sort_keys=True, default=str)
        journal = Journal(now.path, "append " + hashlib.sha256(identity.encode()).hexdigest())
        try:
            found = journal.scenes()
            if found is None:
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
            done = with_signed(with_search(manifest, source), new.scenes)
            if rows or done is not manifest:
                _publish(now, done, rows, new.columns, what=what, cancelled=cancelled)
        except RasteretError as error:
            if not isinstance(error, InterruptedQueryError):
                journal.remove()
            raise
        finally:
            journal.close()
        journal.remove()
    for text in [*notes, *problems_of(rows)]:
        warnings.warn(f'collection "{index.name}": {text}', RuntimeWarning, stacklevel=2)
    return Appended(index.path, len(found.scenes), len(rows), manifest.rows + len(rows))


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


def only_new(index: CollectionIndex, found: FoundScenes) -> tuple[FoundScenes, list[str]]:
    """The scenes that the collection does not have, and notes."""
    known = StoredHeaders(index).has([scene.id for scene in found.scenes])
    places = [at for at, scene in enumerate(found.scenes) if scene.id not in known]
    columns = None if found.columns is None else found.columns.take(pa.array(places, pa.int64()))
    return replace(found, scenes=[found.scenes[at] for at in places], columns=columns), list(found.notes)


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


def _publish(
    index: CollectionIndex,
    manifest: Manifest,
    rows: Sequence[SceneRow],
    columns: pa.Table | None,
    *,
    what: str,
    cancelled: Cancelled | None,
) -> None:
    def check() -> None:
        if cancelled is not None and cancelled():
            raise InterruptedQueryError(f"{what} was interrupted; asked for again it goes on where it was")

    before = require_built(index)
    with changed(index.path, before) as directory:
        if rows:
            add_scenes(directory, manifest, rows, keys_of(manifest), columns=columns, base=before, check=check)
        else:
            write_manifest(directory, manifest)


def _widened(said: str, more: DateRange | None) -> str:
    """`start,end` of the collection after another search."""
    ends = said.split(",")
    if len(ends) != 2 or not all(ends) or more is None or more.start is None or more.end is None:
        return ""
    start, end = (datetime.fromisoformat(text) for text in ends)
    return f"{min(start, more.start).isoformat()},{max(end, more.end).isoformat()}"
