"""Replaces the headers of changed files in a built collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import RasteretError
from rasteret_sql.index.change.transaction import change
from rasteret_sql.index.format.band_encode import BandRecord, encode_headers
from rasteret_sql.index.format.scene_status import problems_column, problems_in, status_text
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.read.band_source import asset_address, unpack_stored
from rasteret_sql.index.read.file_headers import FileHeader
from rasteret_sql.index.read.header_overrides import band_now
from rasteret_sql.index.read.headers_by_id import StoredHeaders
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.redact import plain_text
from rasteret_sql.tiff.header import BandHeader

Fresh = Mapping[str, FileHeader | RasteretError]


@dataclass(frozen=True, slots=True, eq=False)
class _Replaced:
    """Rows of a header file as they are to be."""

    rows: pa.Table
    """The columns beside the headers."""
    headers: pa.Table
    """`problems`, and the headers of each band."""
    scenes: int
    """The number of those that differ from what was there."""
    columns: Mapping[str, pa.Array]
    """Columns of the part itself that differ, too."""


def replace_headers(
    index: CollectionIndex, scenes: set[str], fresh: Fresh, *, cancelled: Cancelled | None = None
) -> int:
    """Put new headers in place of old ones; readers see the collection as it was, or as it is after.

    Parts keep their files, and those whose `status` or CRS changes, which are written anew, lie until the next change:
    a query that scans the collection meanwhile, perhaps the very one that asks for this, goes on.

    Args:
        index: A built collection that can be written.
        scenes: Ids of scenes that use the files.
        fresh: Address → the header it has now, or why there is none.
        cancelled: Polled; stops before anything is changed.

    Returns:
        How many scenes differ now.
    """
    with change(index, f'the refresh of files of "{index.name}"', cancelled) as tx:
        now = tx.index
        stored = StoredHeaders(now)
        todo = {
            number: replaced
            for number, table in stored.parts(now.bands, only=stored.parts_of(sorted(scenes)))
            if (replaced := _replaced(table, now.bands, scenes, fresh)).scenes
        }
        for number, replaced in todo.items():
            if not replaced.columns:
                tx.give_headers(number, replaced.rows, replaced.headers)
        for number, replaced in todo.items():
            if replaced.columns:
                rows = _part(now, tx.manifest.parts[number].path, replaced.columns)
                tx.rewrite(number, rows, replaced.headers)
        tx.leave_old_files()
    return sum(replaced.scenes for replaced in todo.values())


def _replaced(table: pa.Table, bands: Sequence[str], scenes: set[str], fresh: Fresh) -> _Replaced:
    ids, assets = table["id"].to_pylist(), table["assets"].to_pylist()
    uses = {
        row: found
        for row, (scene, files) in enumerate(zip(ids, assets, strict=True))
        if scene in scenes and (found := _using(files or {}, bands, fresh))
    }
    headers = {name: _stored(table, name) for name in map(schema.header_column, bands)}
    records: dict[str, dict[int, BandRecord | None]] = {}
    problems: dict[int, dict[str, str]] = {}
    for row, used in uses.items():
        for band, (found, sample) in used.items():
            before = unpack_stored(headers[schema.header_column(band)][row].as_py())
            record = _record(found, sample, str(asset_address(assets[row][band])), before)
            if isinstance(record, str):
                problems.setdefault(row, {})[band] = record
            records.setdefault(band, {})[row] = record if isinstance(record, BandRecord) else None
    differ: set[int] = set()
    for band, at in records.items():
        name = schema.header_column(band)
        values = encode_headers(list(at.values()))
        differ |= {row for row, new in zip(at, values, strict=True) if not new.equals(headers[name][row])}
        headers[name] = _with(headers[name], list(at), values)
    changed = {row: used for row, used in uses.items() if row in differ}
    stated = problems_in(table["problems"])
    said = [*stated]
    for row, used in changed.items():
        said[row] = [(of, why) for of, why in said[row] if of not in used] + list(problems.get(row, {}).items())
    columns = _places(table, headers, changed)
    rows = _with_columns(table, columns)
    if said != stated:
        columns["status"] = pa.array(map(status_text, said), pa.string())
    return _Replaced(rows, pa.table({"problems": problems_column(said), **headers}), len(differ), columns)


def _using(files: Mapping[str, Any], bands: Iterable[str], fresh: Fresh) -> dict[str, tuple[Any, int]]:
    """Bands of a scene whose file is one of those that were read, with what was read and their sample."""
    assets = {band: files.get(band) for band in bands}
    places = {band: asset_address(asset) for band, asset in assets.items()}
    return {
        band: (fresh[place], (assets[band] or {}).get("band_index") or 0)
        for band, place in places.items()
        if place is not None and place in fresh
    }


def _record(
    found: FileHeader | RasteretError, sample: int, address: str, before: BandHeader | None
) -> BandRecord | str:
    """The record that the index keeps of a band, or why there is nothing to keep; what the item said of it stays."""
    if isinstance(found, RasteretError):
        return plain_text(str(found))
    header = band_now(found, sample, before)
    return f"{safe_address(address)} {header}" if isinstance(header, str) else found.record(header)


def _stored(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Headers of a band, which scenes of before the band do not have."""
    return table[name] if name in table.column_names else pa.chunked_array([pa.nulls(len(table), schema.HEADER_TYPE)])


def _places(table: pa.Table, headers: Mapping[str, pa.ChunkedArray], rows: Iterable[int]) -> dict[str, pa.Array]:
    """`crs` and `proj:epsg` of all rows, where one of some rows is another one now."""
    crs, epsg = (table[name].to_pylist() for name in ("crs", "proj:epsg"))
    for row in rows:
        found = [unpack_stored(values[row].as_py()) for values in headers.values() if values[row].is_valid]
        places = {header.crs for header in found if header is not None} - {None}
        if len(places) == 1 and places != {crs[row]}:
            (crs[row],) = places
            code = (crs[row] or "").removeprefix("EPSG:")
            epsg[row] = int(code) if code.isdigit() else None
    now = {"crs": pa.array(crs, table["crs"].type), "proj:epsg": pa.array(epsg, table["proj:epsg"].type)}
    return {name: values for name, values in now.items() if values.to_pylist() != table[name].to_pylist()}


def _part(index: CollectionIndex, path: str, columns: Mapping[str, pa.Array]) -> pa.Table:
    """Rows of a part with other values in some columns."""
    with pq.ParquetFile(index.path / path) as file:
        return _with_columns(file.read().replace_schema_metadata(None), columns)


def _with_columns(rows: pa.Table, columns: Mapping[str, pa.Array]) -> pa.Table:
    for name, values in columns.items():
        rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows


def _with(column: pa.ChunkedArray, at: Sequence[int], values: pa.StructArray) -> pa.ChunkedArray:
    """The column with other values in some rows."""
    order = np.arange(len(column))
    order[list(at)] = len(column) + np.arange(len(at))
    return pa.chunked_array([*column.chunks, values]).take(pa.array(order))
