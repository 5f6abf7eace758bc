"""Gives scenes as Arrow with the headers of their bands."""

from __future__ import annotations

import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.read.headers_by_id import StoredHeaders
from rasteret_sql.index.read.scenes_with_headers import join_headers

_ROWS = 512
"""Scenes of which headers are unpacked at a time."""


def with_headers(index: CollectionIndex, rows: pa.Table) -> pa.Table:
    """Add the headers of all bands to some scenes of a built collection, whose headers lie apart.

    Raises:
        InvalidArgumentError: the rows lack the id.
    """
    if "id" not in rows.column_names:
        raise InvalidArgumentError("headers go with scenes by their id; name id among the columns")
    stored = StoredHeaders(index)
    parts = []
    for start in range(0, max(rows.num_rows, 1), _ROWS):
        part = rows.slice(start, _ROWS)
        found = stored.table(part["id"].to_pylist(), index.bands)
        headers = pa.table({}) if found is None else found
        parts.append(join_headers(part, headers, index.bands))
    return pa.concat_tables(parts)
