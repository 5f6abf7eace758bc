"""Scenes with their headers in one table, as exports have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from rasteret_sql import schema
from rasteret_sql.index.band_encode import BandRecord, encode_headers, encode_metadata
from rasteret_sql.index.found import unpack_stored


def join_headers(rows: pa.Table, headers: pa.Table, bands: Sequence[str]) -> pa.Table:
    """Add `{band}_metadata`, then `{band}_header`, of all bands.

    Args:
        rows: Scenes.
        headers: Rows of header files, of the same scenes in the same order.
        bands: Of the collection.
    """
    ours = []
    for band in bands:
        name = schema.header_column(band)
        values = headers[name].to_pylist() if name in headers.column_names else [None] * rows.num_rows
        records = [_record(value) for value in values]
        rows = rows.append_column(schema.metadata_column(band), encode_metadata(records))
        ours.append((name, encode_headers(records)))
    for name, column in ours:
        rows = rows.append_column(name, column)
    return rows


def _record(value: Mapping[str, Any] | None) -> BandRecord | None:
    header = unpack_stored(value)
    if header is None or value is None:
        return None
    return BandRecord(header, value["samples"], value["size"], value["etag"], value["modified"])
