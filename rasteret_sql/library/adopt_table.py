"""Opens a table that has the layout of a collection already as one, without building."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from rasteret_sql.errors import IndexFormatError, TableError, TableTypeError
from rasteret_sql.index.format.leaves import bounded_leaves
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.io.signed_addresses import keep_signature
from rasteret_sql.schema import (
    KEY_DATA_SOURCE,
    KEY_DATE_RANGE,
    KEY_DESCRIPTION,
    KEY_NAME,
    METADATA_SUFFIX,
    REQUIRED_COLUMNS,
    REQUIRED_METADATA,
)
from rasteret_sql.tables.assets import read_assets
from rasteret_sql.tables.open_table import arrow_table
from rasteret_sql.tables.table_scan import plain_layout
from rasteret_sql.tables.user_columns import plain_column, storable

_ROW_GROUP = 2048


def open_table_collection(
    table: Any,
    directory: Path,
    *,
    name: str,
    data_source: str,
    description: str,
    dates: tuple[datetime | None, datetime | None],
    require_band_metadata: bool,
) -> CollectionIndex:
    """Keep a table as a collection in a directory, and open it.

    Args:
        table: pyarrow Table or Dataset, or what exports an Arrow stream.
        directory: where to keep it.
        name: what the table says of itself by default, else `table`.
        data_source: what the table says by default.
        description: what the table says by default.
        dates: first and last instant; what the table says by default.
        require_band_metadata: False: a table without headers, of which no pixel can be read, will do.

    Raises:
        TableTypeError: it is no table, or the dates are no datetimes.
        TableError: columns that a collection needs are missing.
        IndexFormatError: they have types that a collection cannot have.
    """
    for end in dates:
        if end is not None and not isinstance(end, datetime):
            raise TableTypeError(f"start_date and end_date are datetimes, not {end!r}")
    if isinstance(table, str | Path):
        raise TableTypeError(f"as_collection takes a table, not the path {str(table)!r}; open a path with load")
    rows = table.to_table() if isinstance(table, pads.Dataset) else arrow_table(table)
    _require_columns(rows.schema, with_headers=require_band_metadata)
    said: Mapping[bytes, bytes] = rows.schema.metadata or {}
    given = {KEY_NAME: name, KEY_DATA_SOURCE: data_source, KEY_DESCRIPTION: description, KEY_DATE_RANGE: _range(dates)}
    metadata = {**said, **{key: value.encode() for key, value in given.items() if value}}
    assets = rows.column("assets")
    if plain_column(assets) is not assets:
        for asset in (one for of_row in read_assets("assets", assets) for one in of_row.values()):
            keep_signature(str(asset.get("href") or ""))
    columns = {column: plain_column(storable(plain_layout(rows.column(column)))) for column in rows.column_names}
    columns["datetime"] = _naive(columns["datetime"])
    path = directory / "scenes.parquet"
    stored = pa.table(columns).replace_schema_metadata(metadata)
    pq.write_table(stored, path, row_group_size=_ROW_GROUP, write_statistics=bounded_leaves(stored.schema))
    return open_collection(path, name or said.get(KEY_NAME, b"").decode() or "table")


def _require_columns(schema: pa.Schema, *, with_headers: bool) -> None:
    missing = [column for column in REQUIRED_COLUMNS if column not in schema.names]
    if missing:
        raise TableError(
            f"the table lacks {', '.join(missing)}, which a collection has; it has {', '.join(schema.names[:40])}. "
            "Build a collection of it with build_from_table"
        )
    headers = [field for field in schema if field.name.endswith(METADATA_SUFFIX)]
    if with_headers and not headers:
        raise TableError(
            f"the table has no column that ends with {METADATA_SUFFIX}, so no pixel of it can be read. Build a "
            "collection of it with build_from_table(..., enrich_cog=True), or pass require_band_metadata=False"
        )
    for field in headers:
        has = {child.name for child in field.type} if pa.types.is_struct(field.type) else set()
        lacks = [part for part in REQUIRED_METADATA if part not in has]
        if lacks:
            raise IndexFormatError(f"the column {field.name} of the table lacks {', '.join(lacks)}, so it is no header")


def _range(dates: tuple[datetime | None, datetime | None]) -> str:
    start, end = dates
    return "" if start is None or end is None else f"{start.isoformat()},{end.isoformat()}"


def _naive(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """UTC instants in microseconds without a zone, as the index has them."""
    kind = column.type
    if not pa.types.is_timestamp(kind) or kind.tz not in (None, "UTC", "Etc/UTC", "+00:00", "Z"):
        raise TableError(
            f"the column datetime of the table is of type {kind}; expected a timestamp without zone, or UTC"
        )
    return column.cast(pa.timestamp("us", tz=kind.tz), safe=False).cast(pa.timestamp("us"))
