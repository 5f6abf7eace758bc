"""Declares the functions for a collection's life: build, load, export, list, append, refresh, drop."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from rasteret_sql.functions import types
from rasteret_sql.functions.kinds import (
    AREA,
    BACKEND_NAME,
    CONDITIONS,
    CONFIG,
    DATES,
    FLAG,
    NAMES,
    TEXT,
    Kind,
    mapping,
)
from rasteret_sql.functions.spec import REQUIRED, Argument, Function, Udf
from rasteret_sql.library.build_options import DOCS

_COUNT = Kind("INTEGER")
_BAND_MAP = mapping("{'B04': 'red'}")
_SAMPLES = mapping("{'R': 0, 'G': 1}")
_COLUMNS = mapping("{'fid': 'id'}")


def _option(name: str, kind: Kind, doc: str = "", default: str | object = "NULL") -> Argument:
    """An option of builds; `doc` in place of the one it has there."""
    return Argument(name, kind, doc or DOCS[name], default)


BACKEND = Argument(
    "backend", BACKEND_NAME, "name of a backend of rasteret_create_backend, or of a DuckDB secret", "NULL"
)
"""Of every call that reads."""
HEADERS = _option("headers", Kind("STRUCT, MAP or JSON"))
"""Of every call that searches. Checked where they are used, since their values are secrets."""
BBOX = _option("bbox", AREA)
DATE_RANGE = _option("date_range", DATES)
QUERY = _option("query", CONDITIONS)
STAC_ADDRESS = Argument(
    "stac_api", TEXT, "URL of a STAC API, or URL or path of a static catalog, collection or item collection"
)
_FORCE = _option("force", FLAG)
_MAX = _option("max_concurrent", _COUNT, f"{DOCS['max_concurrent']}; 50 by default")
_WORKSPACE = _option("workspace_dir", TEXT)
_CLOUD = _option("cloud_config", CONFIG)
_BAND_INDEX_MAP = _option("band_index_map", _SAMPLES)
_KNOWN = Argument("name", TEXT, "name of an open or cached collection")
_SCENES = "TABLE of scenes: id, datetime, geometry, bbox, assets, proj:epsg, status, and the STAC properties"
_EXECUTED = Udf("__rasteret_executed", (pa.string(),), pa.bool_(), run="collections.executed")

COLLECTION_FUNCTIONS = (
    Function(
        name="rasteret_build",
        family="collections",
        body="written",
        arguments=(
            Argument("dataset", TEXT, "id of a registered dataset, see rasteret_datasets()"),
            _option("name", TEXT, "name of the collection; that of the dataset by default"),
            BBOX,
            DATE_RANGE,
            QUERY,
            _FORCE,
            _MAX,
            _WORKSPACE,
            _option("prefer_geoparquet", FLAG),
            _option("stac_api", TEXT),
            _CLOUD,
            BACKEND,
            HEADERS,
        ),
        returns=pa.string(),
        gives=_SCENES,
        doc="Builds a collection of a registered dataset, and gives its scenes. Searches, reads each file's header "
        "once and keeps the index; an identical call reuses it without any request. A dataset of a STAC API needs "
        "bbox and date_range. Runs while the statement is planned, also for EXPLAIN.",
        example="SELECT id FROM rasteret_build('earthsearch/naip', name := 'fields', "
        "stac_api := '${DATA}/catalog/catalog.json', bbox := [-88, 42.9, -87.8, 43], "
        "date_range := ['2020-01-01', '2020-12-31'])",
        run="collections.build_of_dataset",
        metered=True,
        others=(_EXECUTED,),
    ),
    Function(
        name="rasteret_build_from_stac",
        family="collections",
        body="written",
        arguments=(
            _option("name", TEXT, default=REQUIRED),
            STAC_ADDRESS,
            _option("collection", TEXT),
            BBOX,
            DATE_RANGE,
            QUERY,
            _option("band_map", _BAND_MAP),
            _BAND_INDEX_MAP,
            _option("data_source", TEXT),
            _FORCE,
            _MAX,
            _WORKSPACE,
            Argument("static_catalog", FLAG, "ignored, accepted for existing code: the address tells", "NULL"),
            _CLOUD,
            BACKEND,
            HEADERS,
        ),
        returns=pa.string(),
        gives=_SCENES,
        doc="Builds a collection of any STAC API or static STAC catalog, as rasteret_build does.",
        example="SELECT id FROM rasteret_build_from_stac(name := 'dunes', stac_api := '${DATA}/catalog/catalog.json', "
        "collection := 'sentinel-s2-l2a-cogs')",
        run="collections.build_of_stac",
        metered=True,
    ),
    Function(
        name="rasteret_build_from_table",
        family="collections",
        body="written",
        arguments=(
            Argument(
                "uri",
                TEXT,
                "path or URI of Parquet, GeoParquet or stac-geoparquet (a file or directory), or the name of a table "
                "or view of the database",
            ),
            _option("name", TEXT, "name of the collection; that of the file or table by default"),
            _option("column_map", _COLUMNS),
            _option("href_column", TEXT),
            _BAND_INDEX_MAP,
            _option("bbox_columns", _COLUMNS),
            _option("filter_expr", TEXT),
            replace(BBOX, doc=f"{DOCS['bbox']}; rows whose footprint meets it"),
            DATE_RANGE,
            _option("enrich_cog", FLAG, f"{DOCS['enrich_cog']}; true by default"),
            _option("data_source", TEXT, "id of a dataset, whose names the bands then have; kept with the index"),
            _option(
                "band_map",
                _BAND_MAP,
                "band name to asset, or a pattern of assets or file names: {'B04': 'red', 'B08': '*_B08*'}",
            ),
            _option("band_codes", NAMES),
            _option("columns", NAMES),
            _option("url_rewrite_patterns", mapping("{'https://cdn.example.com/': 's3://bucket/'}")),
            _FORCE,
            _option("max_concurrent", _COUNT, f"{DOCS['max_concurrent']}; 300 by default"),
            _WORKSPACE,
            _CLOUD,
            BACKEND,
        ),
        returns=pa.string(),
        gives="TABLE of scenes: id, datetime, geometry, bbox, assets, proj:epsg, status, and the table's own columns",
        doc="Builds a collection of a table that lists files, and gives its scenes. Conditions are applied before any "
        "file is read; headers are read once and kept with the index, and an identical call reuses it.",
        example="SELECT id FROM rasteret_build_from_table('${DATA}/aef/aef_index.parquet', name := 'embeddings', "
        "column_map := {'fid': 'id', 'geom': 'geometry', 'year': 'datetime'}, href_column := 'path', "
        "band_index_map := {'A00': 0, 'A63': 63}, filter_expr := 'year = 2023')",
        run="tables.build",
        metered=True,
    ),
    Function(
        name="rasteret_source",
        family="collections",
        body="query",
        arguments=(
            replace(_KNOWN, doc="name of the collection"),
            Argument(
                "source",
                Kind("STRUCT, MAP or JSON"),
                "arguments of the build: one of dataset, stac_api, files and table, and what else it takes, such as "
                "{'stac_api': ..., 'collection': ..., 'bbox': [...]}; not given: the collection is cached",
                "NULL",
            ),
        ),
        returns=pa.string(),
        gives=_SCENES,
        doc="Gives the scenes of a collection, which is built where it is absent. One value says what it is, as in a "
        "source of dbt. `dataset` is built as by rasteret_build, `stac_api` as by rasteret_build_from_stac, `files` as "
        "by rasteret_build_from_files, `table` as by rasteret_build_from_table.",
        example="SELECT id FROM rasteret_source('photos', {'files': '${DATA}/naip', 'datetime': '_(\\d{8})'})",
        run="source.source",
        metered=True,
    ),
    Function(
        name="rasteret_load",
        family="collections",
        body="query",
        arguments=(
            Argument("path", TEXT, "directory or Parquet file of an index, or the name of a cached collection"),
            Argument("name", TEXT, "name of the collection; the one kept in the index by default", "NULL"),
            BACKEND,
        ),
        returns=pa.string(),
        gives=_SCENES,
        doc="Opens a collection that a build, rasteret_export or rasteret wrote, and gives its scenes. From then on, "
        "its name refers to it in the workspace, in every process. Its files stay where they are.",
        example="SELECT id FROM rasteret_load('${EXPORT}', name := 'loaded')",
        run="collections.load",
        metered=True,
        others=(Udf("__rasteret_open", (pa.string(),), pa.string(), run="collections.open_by_name"),),
    ),
    Function(
        name="rasteret_export",
        family="collections",
        body="rows",
        arguments=(_KNOWN, Argument("path", TEXT, "directory to write"), BACKEND),
        returns=types.EXPORTED,
        doc="Writes a collection as portable, partitioned GeoParquet, with all columns and headers.",
        example="SELECT scenes FROM rasteret_export('dunes', '${TMP}/dunes-export')",
        run="collections.export",
        metered=True,
    ),
    Function(
        name="rasteret_collections",
        family="collections",
        body="rows",
        arguments=(
            Argument("workspace_dir", TEXT, "where to look; that of the connection by default", "NULL"),
            BACKEND,
        ),
        returns=types.COLLECTION,
        doc="Lists the collections that are open in this session or cached in its workspace.",
        example="SELECT name, size FROM rasteret_collections()",
        run="collections.collections",
    ),
)

_SOURCE_TODAY = _option("stac_api", TEXT, "address of the source, if it has moved; that of the build by default")
_KEPT_AT = _option("workspace_dir", TEXT, "where the collection is kept; that of the connection")

LIFE_FUNCTIONS = (
    Function(
        name="rasteret_append",
        family="collections",
        body="rows",
        arguments=(
            _KNOWN,
            _option("bbox", AREA, "where the new scenes are; as in the build"),
            _option("date_range", DATES, "first and last day of the new scenes; as in the build"),
            _option("query", CONDITIONS, "conditions on the new items; as in the build"),
            _SOURCE_TODAY,
            _MAX,
            _KEPT_AT,
            BACKEND,
            HEADERS,
        ),
        returns=types.APPENDED,
        doc="Adds scenes of the collection's source that it does not have yet. Only their files are read.",
        example="SELECT found, added FROM rasteret_append('dunes')",
        run="maintain.append",
        metered=True,
    ),
    Function(
        name="rasteret_refresh",
        family="collections",
        body="rows",
        arguments=(_KNOWN, _SOURCE_TODAY, _MAX, _KEPT_AT, BACKEND, HEADERS),
        returns=types.REFRESHED,
        doc="Searches the collection's sources again: reads scenes again whose files changed, or whose items say "
        "another scale, offset, unit or nodata of a band, adds new ones, and marks in status those that are gone.",
        example="SELECT checked, changed, added, gone FROM rasteret_refresh('dunes')",
        run="maintain.refresh",
        metered=True,
    ),
    Function(
        name="rasteret_drop",
        family="collections",
        body="rows",
        arguments=(_KNOWN, _KEPT_AT, BACKEND),
        returns=types.DROPPED,
        doc="Removes all collections of the workspace that were built under a name, with their files. A "
        "collection that was loaded from elsewhere loses its name only.",
        example="SELECT scenes FROM rasteret_drop('dropped')",
        run="maintain.drop",
        metered=True,
    ),
)
