"""Headers of changed files put in place of the old ones, in a collection that was built here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.errors import InterruptedQueryError, RasteretError
from rasteret_sql.index.append import require_built
from rasteret_sql.index.band_encode import BandRecord, encode_headers
from rasteret_sql.index.found import asset_address
from rasteret_sql.index.headers import FileHeader
from rasteret_sql.index.journal import writing
from rasteret_sql.index.open import CollectionIndex, open_collection
from rasteret_sql.index.refresh import month_of
from rasteret_sql.index.store import changed, keys_of, without_parts, write_manifest
from rasteret_sql.index.stored import StoredHeaders
from rasteret_sql.index.write import CollectionWriter

Fresh = Mapping[str, FileHeader | RasteretError]


def replace_headers(
    index: CollectionIndex, scenes: set[str], fresh: Fresh, *, cancelled: Callable[[], bool] | None = None
) -> int:
    """Write the parts that have these scenes anew; readers see the collection as it was, or as it is after.

    Args:
        index: A built collection that can be written.
        scenes: Ids of scenes that use the files.
        fresh: Address → the header it has now, or why there is none.
        cancelled: Polled; stops before anything is changed.

    Returns:
        How many scenes there were.
    """
    what = f'the refresh of files of "{index.name}"'

    def check() -> None:
        if cancelled is not None and cancelled():
            raise InterruptedQueryError(f"{what} was interrupted; nothing was changed")

    with writing(index.path, what, cancelled):
        now = open_collection(index.path, index.name)
        manifest = require_built(now)
        headers = StoredHeaders(now)
        numbers = {number for number, table in headers.parts(()) if not scenes.isdisjoint(table["id"].to_pylist())}
        if not numbers:
            return 0
        count = 0
        kept = without_parts(manifest, {manifest.parts[number].path for number in numbers})
        with changed(now.path, kept) as directory:
            writer = CollectionWriter(directory, keys_of(manifest), manifest, check)
            try:
                for number, stored in headers.parts(now.bands, only=numbers):
                    path = manifest.parts[number].path
                    with pq.ParquetFile(now.path / path) as file:
                        rows = file.read().replace_schema_metadata(None)
                    rows, packed, touched = _replaced(rows, stored, now.bands, scenes, fresh)
                    count += touched
                    writer.write(month_of(path), rows, packed)
                done = writer.finish(kept)
            finally:
                writer.abandon()
            write_manifest(directory, done)
    return count


def _replaced(
    rows: pa.Table, stored: pa.Table, bands: Sequence[str], scenes: set[str], fresh: Fresh
) -> tuple[pa.Table, pa.Table, int]:
    """Scenes and headers of a part with what their files are now, and how many scenes that concerns."""
    ids, status = stored["id"].to_pylist(), rows["status"].to_pylist()
    problems: dict[int, list[str]] = {}
    columns: dict[str, pa.ChunkedArray] = {}
    for band in bands:
        name = schema.header_column(band)
        if name not in stored.column_names:
            continue
        assets = stored["assets"].combine_chunks().field(band).to_pylist()
        at: list[int] = []
        records: list[BandRecord | None] = []
        for row, (scene, asset) in enumerate(zip(ids, assets, strict=True)):
            address = asset_address(asset)
            if scene not in scenes or address is None or address not in fresh:
                continue
            record = _record(fresh[address], (asset or {}).get("band_index") or 0)
            at.append(row)
            problems.setdefault(row, [])
            if isinstance(record, BandRecord):
                records.append(record)
            else:
                records.append(None)
                problems[row].append(f"{band}: {record}")
        columns[name] = _with(stored[name], at, encode_headers(records))
    for row, said in problems.items():
        # What was wrong with other files of the scene still is.
        status[row] = "; ".join(said) or status[row]
    place = rows.column_names.index("status")
    return rows.set_column(place, "status", pa.array(status, pa.string())), pa.table(columns), len(problems)


def _record(found: FileHeader | RasteretError, sample: int) -> BandRecord | str:
    """What the index keeps of a band, or why there is nothing to keep."""
    if isinstance(found, RasteretError):
        return str(found)
    if sample >= found.header.count:
        return f"the file has {found.header.count} bands, and no band {sample}"
    facts = found.facts
    return BandRecord(found.header.band(sample), found.header.count, facts.size, facts.etag, facts.modified)


def _with(column: pa.ChunkedArray, at: Sequence[int], values: pa.StructArray) -> pa.ChunkedArray:
    """The column with other values in some rows."""
    if not at:
        return column
    order = np.arange(len(column))
    order[list(at)] = len(column) + np.arange(len(at))
    return pa.chunked_array([*column.chunks, values.cast(column.type)]).take(pa.array(order))
