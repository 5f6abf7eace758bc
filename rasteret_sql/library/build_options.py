"""Declares the options of a build, once for SQL, Python and the command line."""

# ruff: noqa: RUF009 - _option makes a field

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT

if TYPE_CHECKING:
    from rasteret_sql.catalog.cloud_config import CloudConfig
    from rasteret_sql.io.backend import StorageBackend

TABLE_MAX_CONCURRENT = 300
"""Of builds of tables from SQL and Python, which often name one small header a row, of many files."""


def _option(doc: str, default: Any = None) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """Options of a build beside its dataset, address or table. Each field's doc is that of the argument.

    The fields are checked where their meaning is.
    """

    name: str | None = _option("name of the collection, under which rasteret.<name> shows it")
    data_source: str = _option("source kept with the index; the STAC collection by default", "")
    collection: str | None = _option("STAC collection; not given: all of a static catalog")
    stac_api: str | os.PathLike[str] | None = _option("another address for the dataset's STAC API or static catalog")
    prefer_geoparquet: bool = _option("true: the dataset's table, if it has one, not its STAC API", False)
    bbox: Any = _option("area in lon/lat: [west, south, east, north], or a geometry's bounds")
    date_range: Any = _option("first and last day, both included: ['2024-06-01', '2024-07-15']")
    query: Any = _option(
        "conditions on item properties: {'eo:cloud_cover': {'lt': 20}}, or an SQL condition as text: "
        "\"eo:cloud_cover\" < 20 AND platform = 'landsat-8'"
    )
    band_map: Mapping[str, str] | None = _option(
        "band name to asset, or a pattern of its key or file: {'B04': '*_B04*'}; not given: the names that items give"
    )
    band_index_map: Mapping[str, int] | None = _option("band name to sample from 0, for bands of one file")
    headers: Mapping[str, str] | str | None = _option(
        "sent only to the STAC server, to sign in: {'Authorization': 'Bearer ...'}; never kept"
    )
    cloud_config: CloudConfig | Mapping[str, Any] | None = _option(
        "how the files are reached: {'url_patterns': {'https://cdn.example.com/': 's3://bucket/'}, ...}"
    )
    column_map: Mapping[str, str] | None = _option(
        "column of the table to `id`, `datetime`, `geometry`, `assets`, `bbox`, `proj:epsg` or any new name: "
        "{'fid': 'id'}"
    )
    href_column: str | None = _option("column of addresses, where the table has no assets")
    bbox_columns: Mapping[str, str] | None = _option(
        "minx, miny, maxx and maxy to columns of the lon/lat box: {'minx': 'west', ...}"
    )
    filter_expr: Any = _option("SQL condition over the table's columns, as after WHERE")
    columns: Sequence[str] | None = _option("columns of the table to keep; all by default")
    band_codes: Sequence[str] | None = _option("only these bands, in this order")
    url_rewrite_patterns: Mapping[str, str] | None = _option("prefix of addresses to what replaces it")
    filesystem: Any = _option("filesystem of pyarrow or fsspec that reads the table")
    enrich_cog: bool = _option("true: headers are read, which pixels need; false: no file is opened", False)
    force: bool = _option("true: build again, in SQL once per statement, even if the index is cached", False)
    max_concurrent: int = _option("headers read at a time", DEFAULT_MAX_CONCURRENT)
    workspace_dir: str | os.PathLike[str] | None = _option(
        "where collections are kept; that of the connection, else ~/rasteret_workspace, by default"
    )
    backend: StorageBackend | None = _option("reads tables at URLs, headers and pixels")
    progress: Progress | None = _option("called with (done, total or None, what) while it runs")
    cancelled: Cancelled | None = _option("polled while it runs; True stops the build")


DOCS: Mapping[str, str] = {one.name: one.metadata["doc"] for one in fields(BuildOptions)}
"""What each option means."""
