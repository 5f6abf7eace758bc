"""Looks up addresses and headers by scene id and band, reading the index when they are first needed."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import duckdb
from sqlglot import exp

from rasteret_sql.errors import AmbiguousSceneError
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.read.band_source import (
    BandSource,
    Found,
    HeaderRows,
    UnreadableBand,
    address_of,
    read_by,
    with_absolute_path,
)
from rasteret_sql.index.read.headers_by_id import StoredHeaders
from rasteret_sql.index.read.headers_by_scan import scan_headers
from rasteret_sql.index.read.scene_scan import column, id_in, read_parquet
from rasteret_sql.io.backend import StorageBackend

__all__ = ["BandSource", "Found", "SceneLookup", "UnreadableBand"]

_CACHE_BYTES = 256 * 2**20
_OBJECT_BYTES = 2_000
"""Rough cost of the Python objects of one level, beside its tables."""
_PRELOAD_BYTES = 2 * 2**20
_SINGLE_QUERY_IDS = 2_048
_KNOWN_IDS = 100_000


class SceneLookup:
    """Finds bands of scenes in open indexes and keeps what it found, least recently used out first.

    Args:
        connection: A DuckDB connection of the session's own; each thread takes a cursor of it.
        cache_bytes: How much to keep, by the size of the tile tables.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, cache_bytes: int = _CACHE_BYTES) -> None:
        self._connection = connection
        self._cache_bytes = cache_bytes
        self._lock = threading.Lock()
        self._local = threading.local()
        self._found: OrderedDict[tuple[str, str, str, str], tuple[Found, int]] = OrderedDict()
        self._bytes = 0
        self._ids: dict[tuple[str, str], set[str]] = {}
        self._loaded: dict[tuple[str, str], Future[_Loaded]] = {}
        self._stored: dict[tuple[str, str], StoredHeaders] = {}
        self._items: dict[tuple[str, str], frozenset[str]] = {}
        self._loader = ThreadPoolExecutor(1, "rasteret-lookup")
        # Footers of unchanged files are parsed once.
        connection.execute("SET parquet_metadata_cache = true")

    def bands(
        self,
        index: CollectionIndex,
        ids: Sequence[str],
        bands: Sequence[str],
        backend: StorageBackend | None = None,
    ) -> dict[tuple[str, str], Found]:
        """Find bands of scenes, with one query for all that is not known yet.

        Args:
            index: Where.
            ids: Of the scenes.
            bands: Names as the index has them.
            backend: Who reads their files; None: the process, as any file.

        Returns:
            (scene id, band) → what is there, in no order. Ids that the index does not have are left out.

        Raises:
            UnknownBandError: The collection has no such band.
            AmbiguousSceneError: The index has a scene twice, with different files.
            IndexFormatError: A stored header cannot be read.
        """
        for band in bands:
            index.require_band(band)
        wanted = {(scene, band) for scene in ids for band in bands}
        out = self._cached(index, wanted)
        missing = wanted - out.keys()
        if missing:
            scenes = sorted({scene for scene, _ in missing})
            unknown = [band for band in dict.fromkeys(bands) if any((scene, band) in missing for scene in scenes)]
            found: dict[tuple[str, str], Found] = {}
            for start in range(0, len(scenes), _SINGLE_QUERY_IDS):
                found |= self._query(index, scenes[start : start + _SINGLE_QUERY_IDS], unknown)
            self._keep(index, found)
            self._remember(index, {scene for scene, _ in found})
            out |= {key: found[key] for key in missing & found.keys()}
        return {key: with_absolute_path(read_by(value, backend)) for key, value in out.items()}

    def preload(self, index: CollectionIndex) -> None:
        """Begin to read a small index as a whole, so that the first look-up need not open its files one by one.

        An index that rasteret wrote, or one of more than 2 MiB, is read when asked.
        """
        place = (str(index.path), index.stamp)
        if not index.packed or not index.bands or _header_bytes(index) > _PRELOAD_BYTES:
            return
        with self._lock:
            if place not in self._loaded:
                self._forget_others(place)
                self._loaded[place] = self._loader.submit(self._load, index)

    def _load(self, index: CollectionIndex) -> _Loaded:
        return _Loaded(self._rows(index, None, index.bands))

    def scenes(self, index: CollectionIndex, ids: Iterable[str]) -> set[str]:
        """Those of the ids that the index has."""
        wanted = set(ids)
        known = self._remember(index, ())
        missing = wanted - known
        stored = self._stored_of(index)
        if missing and stored is not None:
            found = stored.has(sorted(missing))
            self._remember(index, found)
            known |= found
        elif missing:
            query = exp.select(column("id")).distinct().from_(read_parquet(index)).where(id_in()).sql("duckdb")
            rows = self._cursor().execute(query, [sorted(missing)]).fetchall()
            found = {str(scene) for (scene,) in rows}
            self._remember(index, found)
            known |= found
        return wanted & known

    def item_collections(self, index: CollectionIndex) -> frozenset[str]:
        """The STAC collections of which scenes of the index are items."""
        place = (str(index.path), index.stamp)
        with self._lock:
            known = self._items.get(place)
        if known is None:
            known = frozenset[str]()
            if "collection" in index.schema.names:
                query = exp.select(column("collection")).distinct().from_(read_parquet(index)).sql("duckdb")
                known = frozenset(str(name) for (name,) in self._cursor().execute(query).fetchall() if name is not None)
            with self._lock:
                self._forget_others(place)
                self._items[place] = known
        return known

    def some_ids(self, index: CollectionIndex, limit: int = 1_000) -> list[str]:
        """Ids to choose from, for messages."""
        query = exp.select(column("id")).from_(read_parquet(index)).limit(limit).sql("duckdb")
        return [str(scene) for (scene,) in self._cursor().execute(query).fetchall()]

    def forget(self, index: CollectionIndex) -> None:
        """Drop what is kept of a collection that is gone."""
        with self._lock:
            for key in [key for key in self._found if key[0] == str(index.path)]:
                self._bytes -= self._found.pop(key)[1]
            for known in self._of_indexes():
                for place in [place for place in known if place[0] == str(index.path)]:
                    del known[place]

    def _of_indexes(self) -> Iterable[dict[tuple[str, str], Any]]:
        """All that is known of an index as it was at a time, by its path and stamp."""
        return self._ids, self._loaded, self._stored, self._items

    def _forget_others(self, place: tuple[str, str]) -> None:
        """Drop what a collection was before it was changed: a session may see thousands of appends."""
        for known in self._of_indexes():
            for other in [other for other in known if other[0] == place[0] and other != place]:
                del known[other]

    def _rows(self, index: CollectionIndex, scenes: Sequence[str] | None, bands: Sequence[str]) -> HeaderRows:
        stored = self._stored_of(index)
        if stored is None:
            return scan_headers(self._cursor(), index, scenes, bands)
        return stored.all(bands) if scenes is None else stored.rows(scenes, bands)

    def _stored_of(self, index: CollectionIndex) -> StoredHeaders | None:
        """The headers of a built collection; None where they lie with the scenes."""
        if index.manifest is None:
            return None
        place = (str(index.path), index.stamp)
        with self._lock:
            stored = self._stored.get(place)
            if stored is None:
                self._forget_others(place)
                stored = self._stored[place] = StoredHeaders(index)
            return stored

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor = getattr(self._local, "cursor", None)
        if cursor is None:
            with self._lock:
                cursor = self._connection.cursor()
            self._local.cursor = cursor
        return cursor

    def _cached(self, index: CollectionIndex, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Found]:
        out: dict[tuple[str, str], Found] = {}
        with self._lock:
            for scene, band in wanted:
                key = (str(index.path), index.stamp, scene, band)
                entry = self._found.get(key)
                if entry is not None:
                    self._found.move_to_end(key)
                    out[scene, band] = entry[0]
        return out

    def _keep(self, index: CollectionIndex, found: Mapping[tuple[str, str], Found]) -> None:
        with self._lock:
            for (scene, band), value in found.items():
                key = (str(index.path), index.stamp, scene, band)
                before = self._found.pop(key, None)
                size = _size(value)
                self._found[key] = value, size
                self._bytes += size - (before[1] if before else 0)
            while self._bytes > self._cache_bytes and self._found:
                _, (_, size) = self._found.popitem(last=False)
                self._bytes -= size

    def _remember(self, index: CollectionIndex, ids: Iterable[str]) -> set[str]:
        """Add to the ids that are known to exist, and give a copy of them."""
        place = (str(index.path), index.stamp)
        with self._lock:
            if place not in self._ids:
                self._forget_others(place)
            known = self._ids.setdefault(place, set())
            if len(known) > _KNOWN_IDS:
                known.clear()
            known.update(ids)
            return set(known)

    def _query(
        self, index: CollectionIndex, scenes: Sequence[str], bands: Sequence[str]
    ) -> dict[tuple[str, str], Found]:
        loaded = self._loaded.get((str(index.path), index.stamp))
        whole = loaded.result() if loaded is not None and loaded.exception() is None else None
        rows = whole.rows(scenes) if whole else self._rows(index, scenes, bands)
        out: dict[tuple[str, str], Found] = {}
        for band in bands:
            for scene, value in rows.of(band):
                key = (scene, band)
                if key in out and address_of(out[key]) != address_of(value):
                    msg = (
                        f'collection "{index.name}" has scene "{scene}" twice, with different files for band {band}:'
                        f" {address_of(out[key])} and {address_of(value)}; build it again with ids that differ"
                    )
                    raise AmbiguousSceneError(msg)
                out.setdefault(key, value)
        return out


class _Loaded:
    """All rows of a small index, by scene; headers are unpacked when they are asked for."""

    def __init__(self, rows: HeaderRows) -> None:
        self._rows = rows
        self._at: dict[str, list[int]] = {}
        for at, scene in enumerate(rows.ids):
            self._at.setdefault(scene, []).append(at)

    def rows(self, scenes: Sequence[str]) -> HeaderRows:
        """The rows of some scenes."""
        return self._rows.at([at for scene in scenes for at in self._at.get(scene, ())])


def _header_bytes(index: CollectionIndex) -> int:
    """Bytes of the files that hold headers."""
    manifest = index.manifest
    files = index.files if manifest is None else [index.path / file.path for file in manifest.headers]
    return sum(map(os.path.getsize, files))


def _size(found: Found) -> int:
    if not isinstance(found, BandSource):
        return _OBJECT_BYTES
    images = found.header.images()
    return sum(_OBJECT_BYTES + image.offsets.nbytes + image.byte_counts.nbytes for image in images)
