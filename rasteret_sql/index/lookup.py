"""Scene ids and bands → addresses and headers, read from the Parquet index when they are first needed."""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import duckdb
from sqlglot import exp

from rasteret_sql import schema
from rasteret_sql.errors import AmbiguousSceneError, IndexFormatError
from rasteret_sql.index.band_decode import decode_metadata
from rasteret_sql.index.open import CollectionIndex
from rasteret_sql.index.packed import unpack_header
from rasteret_sql.index.scan import column, named, read_parquet, struct_field
from rasteret_sql.tiff.header import BandHeader
from rasteret_sql.types import Bounds

_CACHE_BYTES = 256 * 2**20
_OBJECT_BYTES = 2_000
"""Rough cost of the Python objects of one level, beside its tables."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_ALTERNATES = ("s3", "aws", "https", "http", "cloudfront")
_PRELOAD_BYTES = 2 * 2**20
_SINGLE_QUERY_IDS = 2_048
_KNOWN_IDS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class BandSource:
    """All that reading one band of one scene needs."""

    scene_id: str
    band: str
    address: str
    """URL or absolute path of the file."""
    header: BandHeader


@dataclass(frozen=True, slots=True, eq=False)
class UnreadableBand:
    """A band whose file could not be read when the collection was built."""

    scene_id: str
    band: str
    address: str
    reason: str
    """The scene's `status`."""


Found = BandSource | UnreadableBand | None
"""None where the scene has no such band."""


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
        self._loader = ThreadPoolExecutor(1, "rasteret-lookup")
        # Footers of unchanged files are parsed once.
        connection.execute("SET parquet_metadata_cache = true")

    def bands(self, index: CollectionIndex, ids: Sequence[str], bands: Sequence[str]) -> dict[tuple[str, str], Found]:
        """Find bands of scenes, with one query for all that is not known yet.

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
        return {key: _here(value) for key, value in out.items()}

    def preload(self, index: CollectionIndex) -> None:
        """Begin to read a small index as a whole, so that the first look-up need not open its files one by one.

        An index that rasteret wrote, or one of more than 2 MiB, is read when asked.
        """
        place = (str(index.path), index.stamp)
        if not index.packed or not index.bands or sum(map(os.path.getsize, index.files)) > _PRELOAD_BYTES:
            return
        with self._lock:
            if place not in self._loaded:
                self._loaded[place] = self._loader.submit(self._load, index)

    def _load(self, index: CollectionIndex) -> _Loaded:
        return _Loaded(_Rows(self._cursor(), index, None, index.bands))

    def scenes(self, index: CollectionIndex, ids: Iterable[str]) -> set[str]:
        """Those of the ids that the index has."""
        wanted = set(ids)
        known = self._remember(index, ())
        missing = wanted - known
        if missing:
            query = exp.select(column("id")).distinct().from_(read_parquet(index)).where(_id_in()).sql("duckdb")
            rows = self._cursor().execute(query, [sorted(missing)]).fetchall()
            found = {str(scene) for (scene,) in rows}
            self._remember(index, found)
            known |= found
        return wanted & known

    def some_ids(self, index: CollectionIndex, limit: int = 1_000) -> list[str]:
        """Ids to choose from, for messages."""
        query = exp.select(column("id")).from_(read_parquet(index)).limit(limit).sql("duckdb")
        return [str(scene) for (scene,) in self._cursor().execute(query).fetchall()]

    def scenes_near(self, index: CollectionIndex, bounds: Bounds) -> list[str]:
        """Ids of the scenes whose bbox meets `bounds` (lon/lat, touching counts), in the order of the index."""
        west, south, east, north = (exp.Literal.number(repr(float(side))) for side in bounds)
        meets = exp.and_(
            exp.LTE(this=struct_field("bbox", "xmin"), expression=east),
            exp.GTE(this=struct_field("bbox", "xmax"), expression=west),
            exp.LTE(this=struct_field("bbox", "ymin"), expression=north),
            exp.GTE(this=struct_field("bbox", "ymax"), expression=south),
        )
        query = exp.select(column("id")).from_(read_parquet(index)).where(meets).sql("duckdb")
        return [str(scene) for (scene,) in self._cursor().execute(query).fetchall()]

    def forget(self, index: CollectionIndex) -> None:
        """Drop what is kept of a collection that is gone."""
        with self._lock:
            for key in [key for key in self._found if key[0] == str(index.path)]:
                self._bytes -= self._found.pop(key)[1]
            for known in (self._ids, self._loaded):
                for place in [place for place in known if place[0] == str(index.path)]:
                    del known[place]

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
        rows = whole.rows(scenes) if whole else _Rows(self._cursor(), index, scenes, bands)
        out: dict[tuple[str, str], Found] = {}
        for band in bands:
            for scene, asset, header, status in rows.of(band):
                value = _found(scene, band, asset, header, status)
                key = (scene, band)
                if key in out and _address_of(out[key]) != _address_of(value):
                    msg = (
                        f'collection "{index.name}" has scene "{scene}" twice, with different files for band {band}:'
                        f" {_address_of(out[key])} and {_address_of(value)}; build it again with ids that differ"
                    )
                    raise AmbiguousSceneError(msg)
                out.setdefault(key, value)
        return out


class _Rows:
    """The answer of one query: rows of the asked scenes with the asked bands' columns."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        index: CollectionIndex,
        scenes: Sequence[str] | None,
        bands: Sequence[str],
    ) -> None:
        """Ask for some scenes, or for all."""
        self._index = index
        assets = index.schema.field("assets").type
        there = set(index.schema.names)
        null = exp.Null()
        parts = [named(column("id"), "id")]
        parts += [
            named(column(name) if name in there else null.copy(), name) for name in ("proj:epsg", "crs", "status")
        ]
        for number, band in enumerate(bands):
            has_asset = assets.get_field_index(band) >= 0
            parts.append(named(struct_field("assets", band) if has_asset else null.copy(), f"asset {number}"))
            stored = (
                struct_field(schema.header_column(band), "packed")
                if index.packed
                else column(schema.metadata_column(band))
            )
            parts.append(named(stored, f"header {number}"))
        select = exp.select(*parts).from_(read_parquet(index))
        query = (select if scenes is None else select.where(_id_in())).sql("duckdb")
        given = [] if scenes is None else [list(scenes)]
        self._places = {band: number for number, band in enumerate(bands)}
        if index.packed:
            self._columns: list[Any] = list(zip(*cursor.execute(query, given).fetchall(), strict=True))
            self._columns = self._columns or [()] * len(parts)
        else:
            # Long lists come as Arrow, which makes no Python object of each entry.
            table = cursor.sql(query, params=given).to_arrow_table().combine_chunks()
            self._columns = [
                _whole(values) if name.startswith("header ") else values.to_pylist()
                for name, values in zip(table.column_names, table.columns, strict=True)
            ]

    @property
    def ids(self) -> Sequence[str]:
        """Scene id of each row."""
        return self._columns[0]  # type: ignore[no-any-return]

    def at(self, rows: Sequence[int]) -> _Rows:
        """Some of the rows."""
        part = copy(self)
        part._columns = [[values[row] for row in rows] for values in self._columns]  # noqa: SLF001  a copy of ours
        return part

    def of(self, band: str) -> Iterable[tuple[str, Any, BandHeader | None, str | None]]:
        """(scene id, asset, header, status) of each row."""
        ids, epsg, crs, status = self._columns[:4]
        at = 4 + 2 * self._places[band]
        assets, stored = self._columns[at : at + 2]
        codes = [text or (None if code is None else f"EPSG:{code}") for text, code in zip(crs, epsg, strict=True)]
        where = f'collection "{self._index.name}", band {band}'
        if self._index.packed:
            headers = [
                _unpacked(data, code, f'{where}, scene "{scene}"')
                for scene, data, code in zip(ids, stored, codes, strict=True)
            ]
        else:
            samples = [asset.get("band_index") if isinstance(asset, dict) else None for asset in assets]
            headers = decode_metadata(stored, samples, codes, where)
        return zip(ids, assets, headers, status, strict=True)


class _Loaded:
    """All rows of a small index, by scene; headers are unpacked when they are asked for."""

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows
        self._at: dict[str, list[int]] = {}
        for at, scene in enumerate(rows.ids):
            self._at.setdefault(scene, []).append(at)

    def rows(self, scenes: Sequence[str]) -> _Rows:
        """The rows of some scenes."""
        return self._rows.at([at for scene in scenes for at in self._at.get(scene, ())])


def _whole(values: Any) -> Any:
    """One array of a column's chunks."""
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()


def _unpacked(data: bytes | None, crs: str | None, where: str) -> BandHeader | None:
    if data is None:
        return None
    try:
        header = unpack_header(data)
    except IndexFormatError as error:
        msg = f"{where}: {error}"
        raise IndexFormatError(msg) from error
    # A file that does not say its CRS has the one that its scene says.
    return header if header.crs is not None else replace(header, crs=crs)


def _id_in() -> exp.Expression:
    """`id` among the one parameter, a list: a join, through which DuckDB pushes the ids into the scan."""
    ids = exp.select(exp.Anonymous(this="unnest", expressions=[exp.Placeholder()]))
    return exp.In(this=column("id"), query=ids.subquery())


def _found(scene: str, band: str, asset: Any, header: BandHeader | None, status: str | None) -> Found:
    address = _asset_address(asset)
    if address is None:
        return None
    if header is None:
        reason = status if status not in (None, schema.STATUS_OK) else "the index holds no header of this band's file"
        return UnreadableBand(scene, band, address, str(reason))
    return BandSource(scene, band, address, header)


def _asset_address(asset: Any) -> str | None:
    """The address in any of the shapes that an asset takes: text, or a struct with href, alternates or links."""
    if asset is None or isinstance(asset, str):
        return asset or None
    if asset.get("href"):
        return str(asset["href"])
    alternate = asset.get("alternate")
    if isinstance(alternate, dict):
        for key in (*_ALTERNATES, *alternate):
            address = _asset_address(alternate.get(key))
            if address is not None:
                return address
    links = asset.get("links")
    return _asset_address(links[0]) if isinstance(links, list) and links else None


def _address_of(found: Found) -> str | None:
    return None if found is None else found.address


def _here(found: Found) -> Found:
    """Relative paths are relative to the current directory at the time of reading, as rasteret has it."""
    if found is None or _SCHEME.match(found.address) or os.path.isabs(found.address):  # noqa: PTH117
        return found
    return replace(found, address=os.path.abspath(found.address))  # noqa: PTH100


def _size(found: Found) -> int:
    if not isinstance(found, BandSource):
        return _OBJECT_BYTES
    images = [*found.header.levels, *(mask for mask in found.header.masks if mask is not None)]
    return sum(_OBJECT_BYTES + image.offsets.nbytes + image.byte_counts.nbytes for image in images)
