"""Reads headers that lie in the files of the scenes, as in exports and rasteret's indexes, through DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
from sqlglot import exp

from rasteret_sql import schema
from rasteret_sql.index.format.scene_status import read_status
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.read.band_source import HeaderRows, crs_of
from rasteret_sql.index.read.scene_scan import column, id_in, named, read_parquet, struct_field


def scan_headers(
    cursor: duckdb.DuckDBPyConnection, index: CollectionIndex, scenes: Sequence[str] | None, bands: Sequence[str]
) -> HeaderRows:
    """Rows of some scenes, or of all, with the headers of some bands, in one query."""
    assets = index.schema.field("assets").type
    there = set(index.schema.names)
    null = exp.Null()
    parts = [named(column("id"), "id")]
    parts += [named(column(name) if name in there else null.copy(), name) for name in ("proj:epsg", "crs", "status")]
    for number, band in enumerate(bands):
        has_asset = assets.get_field_index(band) >= 0
        parts.append(named(struct_field("assets", band) if has_asset else null.copy(), f"asset {number}"))
        stored = schema.header_column(band) if index.packed else schema.metadata_column(band)
        parts.append(named(column(stored), f"header {number}"))
    select = exp.select(*parts).from_(read_parquet(index))
    query = (select if scenes is None else select.where(id_in())).sql("duckdb")
    given = [] if scenes is None else [list(scenes)]
    if index.packed:
        columns: list[Any] = [list(values) for values in zip(*cursor.execute(query, given).fetchall(), strict=True)]
        columns = columns or [[] for _ in parts]
    else:
        # Long lists come as Arrow, which makes no Python object of each entry.
        table = cursor.sql(query, params=given).to_arrow_table().combine_chunks()
        columns = [
            _whole(values) if name.startswith("header ") else values.to_pylist()
            for name, values in zip(table.column_names, table.columns, strict=True)
        ]
    ids, epsg, crs, status = columns[:4]
    return HeaderRows(
        f'collection "{index.name}"',
        ids,
        crs_of(crs, epsg),
        [read_status(text, index.bands) for text in status],
        {band: columns[4 + 2 * number] for number, band in enumerate(bands)},
        {band: columns[5 + 2 * number] for number, band in enumerate(bands)},
    )


def _whole(values: Any) -> Any:
    """One array of a column's chunks."""
    return values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
