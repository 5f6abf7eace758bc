"""Joins scenes and their headers in one table, as exports have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rasteret_sql import schema
from rasteret_sql.index.format.band_encode import BandRecord, encode_headers, encode_metadata
from rasteret_sql.index.read.band_source import unpack_stored


def join_headers(rows: pa.Table, headers: pa.Table, bands: Sequence[str]) -> pa.Table:
    """Add `{band}_metadata`, then `{band}_header`, of all bands.

    Args:
        rows: Scenes.
        headers: Rows of header files, of the same scenes in the same order.
        bands: Of the collection.
    """
    metadata: dict[str, pa.Array | pa.ChunkedArray] = {}
    ours: dict[str, pa.Array | pa.ChunkedArray] = {}
    there = set(headers.column_names)
    # A collection may have thousands of bands, of which a scene has two.
    nothing = pa.nulls(rows.num_rows, schema.METADATA_TYPE), pa.nulls(rows.num_rows, schema.HEADER_TYPE)
    for band in bands:
        name = schema.header_column(band)
        column = headers[name] if name in there else None
        if column is None or column.null_count == rows.num_rows:
            metadata[schema.metadata_column(band)], ours[name] = nothing
            continue
        valid = column.is_valid().to_numpy()
        records = [_record(value) for value in column.filter(pa.array(valid)).to_pylist()]
        at = pa.array(np.cumsum(valid) - 1, mask=~valid)
        metadata[schema.metadata_column(band)] = encode_metadata(records).take(at)
        ours[name] = encode_headers(records).take(at)
    return pa.table(dict(zip(rows.column_names, rows.columns, strict=True)) | metadata | ours)


def _record(value: Mapping[str, Any] | None) -> BandRecord | None:
    header = unpack_stored(value)
    if header is None or value is None:
        return None
    return BandRecord(header, value["samples"], value["size"], value["etag"], value["modified"])
