"""Declaration: build_from_table."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError, MissingObjectError
from rasteret_sql.functions.collections import BACKEND, run_build
from rasteret_sql.functions.spec import Argument, Function, Udf
from rasteret_sql.index.open import CollectionIndex
from rasteret_sql.kernels.building import required
from rasteret_sql.kernels.rows import Cancelled
from rasteret_sql.kernels.tabling import Work, build_table
from rasteret_sql.session import Session

_MAP = "STRUCT, MAP or JSON"
_OBJECTS = ("column_map", "bbox_columns", "url_rewrite_patterns")
_LISTS = ("band_codes", "columns")
_TEXTS = ("uri", "href_column", "filter_expr")
_NAME = re.compile(r'(?:[^\W\d]\w*|"[^"]+")(?:\.(?:[^\W\d]\w*|"[^"]+")){0,2}')
_FILES = (".parquet", ".geoparquet", ".pq", ".parq")


def _build_table(session: Session, **arguments: Any) -> CollectionIndex:
    uri = _text("uri", required(arguments, "uri"))
    work = {name: arguments.pop(name) for name in ("force", "progress", "cancelled")}
    for name in ("max_concurrent", "workspace_dir", "backend"):
        if name in arguments:
            work[name] = arguments.pop(name)
    del arguments["uri"]
    for name in _OBJECTS:
        if name in arguments:
            arguments[name] = _object(name, arguments[name])
    for name in _LISTS:
        if name in arguments:
            arguments[name] = _list(name, arguments[name])
    for name in _TEXTS:
        if name in arguments:
            _text(name, arguments[name])
    enrich = arguments.pop("enrich_cog", True)
    if not isinstance(enrich, bool):
        raise InvalidArgumentError(f"enrich_cog := {enrich!r} cannot be used; expected true or false")
    table, label = _table(session, uri)
    arguments.setdefault("name", PurePosixPath(uri.replace('"', "")).name if label else None)
    return build_table(session, table=table, label=label, enrich_cog=enrich, work=Work(**work), **arguments)


def _table(session: Session, uri: str) -> tuple[str | pa.Table, str]:
    """The rows of a table or view of that name, else the address itself; and what to call the former."""
    if not _NAME.fullmatch(uri) or uri.lower().endswith(_FILES):
        return uri, ""
    rows = session.relation(uri)
    if rows is not None:
        return rows, f"the table {uri}"
    if Path(uri).exists():
        return uri, ""
    raise MissingObjectError(
        f'"{uri}" is neither a file nor a table or view that can be seen here: a TEMP or registered one, or one that '
        "is not committed, cannot. Make it with CREATE TABLE or CREATE VIEW and commit, write schema.name where it is "
        "in another schema, or give the relation to rasteret_sql.build_from_table in Python"
    )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{name} := {value!r} cannot be used; expected text")
    return value


def _object(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, dict):
        raise InvalidArgumentError(
            f"{name} := {value!r} cannot be used; expected a STRUCT, MAP or JSON object such as {{'fid': 'id'}}"
        )
    return value


def _list(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidArgumentError(f"{name} := {value!r} cannot be used; expected a list of names such as ['B04']")
    return value


def _run(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    return run_build(session, cancelled, texts, _build_table)


TABLE_FUNCTIONS = (
    Function(
        name="rasteret_build_from_table",
        family="collections",
        table=True,
        arguments=(
            Argument(
                "uri",
                "VARCHAR",
                "path or URI of Parquet, GeoParquet or stac-geoparquet (a file or directory), or the name of a table "
                "or view of the database",
            ),
            Argument("name", "VARCHAR", "name of the collection; that of the file or table by default", "NULL"),
            Argument("column_map", _MAP, "column of the table to name in a collection: {'fid': 'id'}", "NULL"),
            Argument("href_column", "VARCHAR", "column of addresses, where the table has no assets", "NULL"),
            Argument("band_index_map", _MAP, "band name to sample from 0, for bands of one file", "NULL"),
            Argument("bbox_columns", _MAP, "columns of the lon/lat box: {'minx': 'west', ...}", "NULL"),
            Argument("filter_expr", "VARCHAR", "SQL condition over the table's columns, as after WHERE", "NULL"),
            Argument(
                "bbox",
                "DOUBLE[4], GEOMETRY or WKT",
                "area in lon/lat that footprints meet: [west, south, east, north], or a geometry's bounds",
                "NULL",
            ),
            Argument("date_range", "VARCHAR[2]", "first and last day, both included", "NULL"),
            Argument("enrich_cog", "BOOLEAN", "false: no file is read, and no pixel can be; true by default", "NULL"),
            Argument("data_source", "VARCHAR", "id of a dataset, whose names the bands then have", "NULL"),
            Argument("band_map", _MAP, "band name to asset: {'B04': 'red'}", "NULL"),
            Argument("band_codes", "VARCHAR[]", "these bands alone", "NULL"),
            Argument("columns", "VARCHAR[]", "columns of the table that stay; all by default", "NULL"),
            Argument("url_rewrite_patterns", _MAP, "prefix of addresses to what replaces it", "NULL"),
            Argument("force", "BOOLEAN", "true: build again, once a statement, even when it is cached", "NULL"),
            Argument("max_concurrent", "INTEGER", "headers read at a time; 300 by default", "NULL"),
            Argument("workspace_dir", "VARCHAR", "where collections are kept; that of the connection", "NULL"),
            Argument("cloud_config", "STRUCT or JSON", "{'url_patterns': {...}, 'provider': 'aws'}", "NULL"),
            BACKEND,
        ),
        returns="TABLE of scenes: id, datetime, geometry, bbox, assets, proj:epsg, status, and the table's own columns",
        doc="Scenes of the rows of a table that lists files. Conditions are applied before any file is read; headers "
        "are read once and kept with the index, and an identical call reuses it.",
        example="SELECT id FROM rasteret_build_from_table('${DATA}/aef/aef_index.parquet', name := 'embeddings', "
        "column_map := {'fid': 'id', 'geom': 'geometry', 'year': 'datetime'}, href_column := 'path', "
        "band_index_map := {'A00': 0, 'A63': 63}, filter_expr := 'year = 2023')",
        udfs=(Udf("__rasteret_build_from_table", ("VARCHAR",), "VARCHAR", pure=False, run=_run),),
    ),
)
