"""Headers of changed files put in place of the old ones, in a collection that was built here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.errors import InterruptedQueryError, RasteretError
from rasteret_sql.index.append import require_built
from rasteret_sql.index.band_encode import BandRecord, encode_headers
from rasteret_sql.index.found import asset_address, unpack_stored
from rasteret_sql.index.headers import FileHeader
from rasteret_sql.index.journal import writing
from rasteret_sql.index.open import CollectionIndex, open_collection
from rasteret_sql.index.refresh import month_of
from rasteret_sql.index.store import changed, keys_of, without_parts, write_manifest
from rasteret_sql.index.stored import StoredHeaders
from rasteret_sql.index.write import CollectionWriter
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.plain import plain_text

Fresh = Mapping[str, FileHeader | RasteretError]


@dataclass(frozen=True, slots=True, eq=False)
class _Replaced:
    """Rows of a header file as they are to be."""

    rows: pa.Table
    """What stands beside the headers."""
    headers: pa.Table
    scenes: int
    """How many of them differ from what was there."""
    columns: Mapping[str, pa.Array]
    """Columns of the part itself that differ, too."""


def replace_headers(
    index: CollectionIndex, scenes: set[str], fresh: Fresh, *, cancelled: Callable[[], bool] | None = None
) -> int:
    """Put new headers in place of old ones; readers see the collection as it was, or as it is after.

    Parts keep their files, so that a query that scans the collection meanwhile, perhaps the very one that asks for
    this, goes on. Only those whose `status` or CRS changes are written anew.

    Args:
        index: A built collection that can be written.
        scenes: Ids of scenes that use the files.
        fresh: Address → the header it has now, or why there is none.
        cancelled: Polled; stops before anything is changed.

    Returns:
        How many scenes differ now.
    """
    what = f'the refresh of files of "{index.name}"'

    def check() -> None:
        if cancelled is not None and cancelled():
            raise InterruptedQueryError(f"{what} was interrupted; nothing was changed")

    with writing(index.path, what, cancelled):
        now = open_collection(index.path, index.name)
        manifest = require_built(now)
        stored = StoredHeaders(now)
        todo = {
            number: replaced
            for number, table in stored.parts(now.bands, only=stored.parts_of(sorted(scenes)))
            if (replaced := _replaced(table, now.bands, scenes, fresh)).scenes
        }
        if not todo:
            return 0
        paths = [part.path for part in manifest.parts]
        gone = {paths[number] for number, replaced in todo.items() if replaced.columns}
        moved = {paths[number] for number in todo}
        with changed(now.path, without_parts(manifest, gone)) as directory:
            writer = CollectionWriter(directory, keys_of(manifest), manifest, check)
            try:
                for number, replaced in todo.items():
                    if not replaced.columns:
                        writer.give_headers(manifest.parts[number], replaced.rows, replaced.headers)
                for number, replaced in todo.items():
                    if replaced.columns:
                        rows = _part(now, paths[number], replaced.columns)
                        writer.write(month_of(paths[number]), rows, replaced.headers)
                done = writer.finish(without_parts(manifest, moved))
            finally:
                writer.abandon()
            # Scenes stay in the order that they had.
            order = {path: number for number, path in enumerate(paths)}
            parts = sorted(done.parts, key=lambda part: order.get(part.path, len(order)))
            write_manifest(directory, replace(done, parts=tuple(parts)))
    return sum(replaced.scenes for replaced in todo.values())


def _replaced(table: pa.Table, bands: Sequence[str], scenes: set[str], fresh: Fresh) -> _Replaced:
    ids, assets = table["id"].to_pylist(), table["assets"].to_pylist()
    uses = {
        row: found
        for row, (scene, files) in enumerate(zip(ids, assets, strict=True))
        if scene in scenes and (found := _using(files or {}, bands, fresh))
    }
    headers = {name: _stored(table, name) for name in map(schema.header_column, bands)}
    if any(values.type != schema.HEADER_TYPE for values in headers.values()):
        return _Replaced(table, table, 0, {})  # of an older version of the index, which is left as it is
    records: dict[str, dict[int, BandRecord | None]] = {}
    problems: dict[int, dict[str, str]] = {}
    for row, used in uses.items():
        for band, (found, sample) in used.items():
            record = _record(found, sample, str(asset_address(assets[row][band])))
            if isinstance(record, str):
                problems.setdefault(row, {})[band] = record
            records.setdefault(band, {})[row] = record if isinstance(record, BandRecord) else None
    differ: set[int] = set()
    for band, at in records.items():
        name = schema.header_column(band)
        values = encode_headers(list(at.values()))
        differ |= {row for row, new in zip(at, values, strict=True) if not new.equals(headers[name][row])}
        headers[name] = _with(headers[name], list(at), values)
    columns = _columns(table, bands, headers, {row: used for row, used in uses.items() if row in differ}, problems)
    rows = table
    for name, values in columns.items():
        rows = rows.set_column(rows.column_names.index(name), name, values)
    return _Replaced(rows, pa.table(headers), len(differ), columns)


def _using(files: Mapping[str, Any], bands: Iterable[str], fresh: Fresh) -> dict[str, tuple[Any, int]]:
    """Bands of a scene whose file is one of those that were read, with what was read and their sample."""
    assets = {band: files.get(band) for band in bands}
    places = {band: asset_address(asset) for band, asset in assets.items()}
    return {
        band: (fresh[place], (assets[band] or {}).get("band_index") or 0)
        for band, place in places.items()
        if place is not None and place in fresh
    }


def _record(found: FileHeader | RasteretError, sample: int, address: str) -> BandRecord | str:
    """What the index keeps of a band, or why there is nothing to keep."""
    if isinstance(found, RasteretError):
        return plain_text(str(found))
    if sample >= found.header.count:
        return f"{safe_address(address)} has {found.header.count} bands now, and no band_index {sample}"
    facts = found.facts
    return BandRecord(found.header.band(sample), found.header.count, facts.size, facts.etag, facts.modified)


def _stored(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Headers of a band, which scenes of before the band do not have."""
    return table[name] if name in table.column_names else pa.chunked_array([pa.nulls(len(table), schema.HEADER_TYPE)])


def _columns(
    table: pa.Table,
    bands: Sequence[str],
    headers: Mapping[str, pa.ChunkedArray],
    uses: Mapping[int, Mapping[str, object]],
    problems: Mapping[int, Mapping[str, str]],
) -> dict[str, pa.Array]:
    """`status`, `crs` and `proj:epsg` of all rows, where one of them is another one now."""
    status, crs, epsg = (table[name].to_pylist() for name in ("status", "crs", "proj:epsg"))
    for row, used in uses.items():
        said = {band: why for band, why in _said(status[row], bands).items() if band not in used}
        said |= problems.get(row, {})
        status[row] = "; ".join(f"{band}: {why}" for band, why in said.items()) or schema.STATUS_OK
        found = [unpack_stored(values[row].as_py()) for values in headers.values() if values[row].is_valid]
        places = {header.crs for header in found if header is not None} - {None}
        if len(places) == 1 and places != {crs[row]}:
            (crs[row],) = places
            code = (crs[row] or "").removeprefix("EPSG:")
            epsg[row] = int(code) if code.isdigit() else None
    now = {
        "status": pa.array(status, table["status"].type),
        "crs": pa.array(crs, table["crs"].type),
        "proj:epsg": pa.array(epsg, table["proj:epsg"].type),
    }
    return {name: values for name, values in now.items() if values.to_pylist() != table[name].to_pylist()}


def _said(status: str | None, bands: Sequence[str]) -> dict[str, str]:
    """What a status says, by band, or by its first word where it is no band's."""
    out: dict[str, str] = {}
    last = ""
    for piece in [] if status in (None, schema.STATUS_OK) else str(status).split("; "):
        name, colon, why = piece.partition(": ")
        if last and not (colon and name in bands):
            out[last] += f"; {piece}"  # a reason may have semicolons of its own
        else:
            last = name
            out[last] = why
    return out


def _part(index: CollectionIndex, path: str, columns: Mapping[str, pa.Array]) -> pa.Table:
    """Rows of a part with other values in some columns."""
    with pq.ParquetFile(index.path / path) as file:
        rows = file.read().replace_schema_metadata(None)
    for name, values in columns.items():
        rows = rows.set_column(rows.column_names.index(name), name, values)
    return rows


def _with(column: pa.ChunkedArray, at: Sequence[int], values: pa.StructArray) -> pa.ChunkedArray:
    """The column with other values in some rows."""
    order = np.arange(len(column))
    order[list(at)] = len(column) + np.arange(len(at))
    return pa.chunked_array([*column.chunks, values]).take(pa.array(order))
