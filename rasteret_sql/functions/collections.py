"""Functions for the life of a collection."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError, RasteretError, StorageError
from rasteret_sql.functions import types
from rasteret_sql.functions.spec import Argument, Function, Udf
from rasteret_sql.index.export import export_collection
from rasteret_sql.index.open import CollectionIndex, open_collection
from rasteret_sql.index.places import workspace_of
from rasteret_sql.index.remote import stores_of
from rasteret_sql.index.workspace import describe, list_collections
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.kernels import building
from rasteret_sql.kernels.rows import Cancelled
from rasteret_sql.session import Session

_NAME = Argument("name", "VARCHAR", "name of the collection, under which rasteret.<name> shows it")
_BBOX = Argument(
    "bbox", "DOUBLE[4], GEOMETRY or WKT", "area in lon/lat: [west, south, east, north], or a geometry's bounds", "NULL"
)
_DATES = Argument("date_range", "VARCHAR[2]", "first and last day, both included: ['2024-06-01', '2024-07-15']", "NULL")
_QUERY = Argument(
    "query",
    "STRUCT, MAP, JSON or SQL text",
    "conditions on item properties: {'eo:cloud_cover': {'lt': 20}}, or an SQL condition, "
    "'\"eo:cloud_cover\" < 20 AND platform IN (''landsat-8'', ''landsat-9'')'",
    "NULL",
)
_FORCE = Argument("force", "BOOLEAN", "true: build again, once a statement, even when the index is cached", "NULL")
_MAX = Argument("max_concurrent", "INTEGER", "headers read at a time; 50 by default", "NULL")
_WORKSPACE = Argument(
    "workspace_dir", "VARCHAR", "where collections are kept; that of the connection by default", "NULL"
)
_STAC_API = Argument("stac_api", "VARCHAR", "another address for the dataset's STAC API or static catalog", "NULL")
_CLOUD = Argument(
    "cloud_config", "STRUCT or JSON", "{'url_patterns': {'https://cdn.example.com/': 's3://bucket/'}, ...}", "NULL"
)
BACKEND = Argument("backend", "VARCHAR", "name of a backend of rasteret_create_backend, or of a DuckDB secret", "NULL")
"""Of every call that reads."""
_SCENES = "TABLE of scenes: id, datetime, geometry, bbox, assets, proj:epsg, status, and the STAC properties"


_KINDS: dict[str, tuple[type, str]] = {
    "dataset": (str, "text"),
    "stac_api": (str, "text"),
    "collection": (str, "text"),
    "data_source": (str, "text"),
    "workspace_dir": (str, "text"),
    "backend": (str, "the name of a backend"),
    "force": (bool, "true or false"),
    "static_catalog": (bool, "true or false"),
    "prefer_geoparquet": (bool, "true or false"),
    "band_map": (dict, "a STRUCT, MAP or JSON object such as {'B04': 'red'}"),
    "band_index_map": (dict, "a STRUCT, MAP or JSON object such as {'R': 0, 'G': 1}"),
}
"""What arguments have to be that come as JSON; the others are checked where their meaning is."""


def _checked(arguments: dict[str, Any]) -> dict[str, Any]:
    for name, value in arguments.items():
        kind, words = _KINDS.get(name, (object, ""))
        if not isinstance(value, kind):
            raise InvalidArgumentError(f"{name} := {value!r} cannot be used; expected {words}")
    return arguments


@contextmanager
def _writing(what: str, remedy: str) -> Iterator[None]:
    """Say what could not be written; a system's own error does not."""
    try:
        yield
    except OSError as error:
        if isinstance(error, RasteretError):
            raise
        at = f" ({error.filename})" if error.filename else ""
        raise StorageError(f"{what} cannot be written: {error.strerror or error}{at}; {remedy}") from error


def backend_name(arguments: dict[str, Any]) -> str | None:
    """Take the name of a backend out of the arguments of a call."""
    named = arguments.pop("backend", None)
    if named is not None and not isinstance(named, str):
        raise InvalidArgumentError(f"backend := {named!r} cannot be used; expected the name of a backend")
    return named


def _for_each(texts: pa.Array, one: Callable[[str], str]) -> pa.Array:
    return pa.array([None if text is None else one(text) for text in texts.to_pylist()], pa.string())


def _show(session: Session, index: CollectionIndex) -> str:
    """Open a collection, let it be seen, and give DuckDB the query of its scenes."""
    query = session.scenes.scan_sql(index)
    session.add(index)
    session.publish(index.name)
    return query


def run_build(
    session: Session, cancelled: Cancelled, texts: pa.Array, make: Callable[..., CollectionIndex]
) -> pa.Array:
    """Build with the named arguments of each call, and give DuckDB the query of the scenes."""

    def one(text: str) -> str:
        arguments = _checked(building.sql_arguments(text))
        force = arguments.pop("force", False)
        # DuckDB may plan a statement twice: what the first planning made is there for the second.
        fresh = force and not session.forced.is_pending(text)
        workspace = arguments.get("workspace_dir") or session.workspace_dir
        named = arguments.pop("backend", None)
        if named is not None:
            arguments["backend"] = session.through(named).backend
        writing = _writing(f"the collection in {workspace}", "give workspace_dir := a directory that can be written")
        with writing, stores_of(session.through(named).backend):
            index = make(session, force=fresh, progress=session.progress, cancelled=cancelled, **arguments)
        if fresh:
            session.forced.made(text)
        return _show(session, index)

    return _for_each(texts, one)


def _build_dataset(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    return run_build(session, cancelled, texts, building.build_dataset)


def _build_stac(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    return run_build(session, cancelled, texts, building.build_stac)


def _executed(session: Session, _cancelled: Cancelled, ids: pa.Array) -> pa.Array:
    session.forced.executed()
    return pa.array([True] * len(ids))


def _load(session: Session, _cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    def one(text: str) -> str:
        arguments = json.loads(text)
        path, named = building.required(arguments, "path"), backend_name(arguments)
        with stores_of(session.through(named).backend):
            return _show(session, open_collection(path, arguments.get("name") or ""))

    return _for_each(texts, one)


def _open(session: Session, _cancelled: Cancelled, names: pa.Array) -> pa.Array:
    with stores_of(session.backend):
        return _for_each(names, lambda name: session.scenes.scan_sql(session.open(name)))


def _export(session: Session, _cancelled: Cancelled, names: pa.Array, paths: pa.Array, backends: pa.Array) -> pa.Array:
    rows = []
    for name, path, named in zip(names.to_pylist(), paths.to_pylist(), backends.to_pylist(), strict=True):
        index = session.open(building.required({"name": name}, "name"))
        asked = building.required({"path": path}, "path")
        writing = _writing(f'the export of "{index.name}" to {safe_address(asked)}', "give another path")
        with writing, stores_of(session.through(named).backend):
            target = export_collection(index, asked)
        rows.append({"name": index.name, "path": os.fspath(target), "scenes": index.count_rows()})
    return pa.array([[row] for row in rows])


def _collections(session: Session, _cancelled: Cancelled, workspaces: pa.Array, backends: pa.Array) -> pa.Array:
    def rows(workspace: str | None, backend: str | None) -> list[dict[str, Any]]:
        where = workspace_of(workspace) if workspace else session.workspace_dir
        opened = {} if workspace else {index.place: index for index in session.collections}
        with stores_of(session.through(backend).backend):
            listed = {entry["path"]: entry for entry in list_collections(where)}
        listed |= {path: describe(index) for path, index in opened.items()}
        for path, entry in listed.items():
            entry["open"] = path in opened
            entry["date_start"], entry["date_end"] = entry["date_range"] or (None, None)
        return sorted(listed.values(), key=lambda entry: (entry["name"], entry["path"]))

    asked = zip(workspaces.to_pylist(), backends.to_pylist(), strict=True)
    return pa.array([rows(workspace, backend) for workspace, backend in asked], pa.list_(_COLLECTION))


_COLLECTION = pa.struct(
    [
        ("name", pa.string()),
        ("open", pa.bool_()),
        ("size", pa.int64()),
        ("bands", pa.list_(pa.string())),
        ("data_source", pa.string()),
        ("kind", pa.string()),
        ("date_start", pa.string()),
        ("date_end", pa.string()),
        ("created", pa.timestamp("us")),
        ("path", pa.string()),
    ]
)

_EXECUTED = Udf("__rasteret_executed", ("VARCHAR",), "BOOLEAN", pure=False, run=_executed)

COLLECTION_FUNCTIONS = (
    Function(
        name="rasteret_build",
        family="collections",
        table=True,
        arguments=(
            Argument("dataset", "VARCHAR", "id of a registered dataset, see rasteret_datasets()"),
            Argument("name", "VARCHAR", "name of the collection; that of the dataset by default", "NULL"),
            _BBOX,
            _DATES,
            _QUERY,
            _FORCE,
            _MAX,
            _WORKSPACE,
            Argument(
                "prefer_geoparquet", "BOOLEAN", "true: the dataset's table, if it has one, not its STAC API", "NULL"
            ),
            _STAC_API,
            _CLOUD,
            BACKEND,
        ),
        returns=_SCENES,
        doc="Scenes of a registered dataset. Searches, reads each file's header once and keeps the index; an identical "
        "call reuses it without any request. Runs while the statement is planned, also for EXPLAIN.",
        example="SELECT id FROM rasteret_build('earthsearch/naip', name := 'fields', "
        "stac_api := '${DATA}/catalog/catalog.json', bbox := [-88, 42.9, -87.8, 43], "
        "date_range := ['2020-01-01', '2020-12-31'])",
        udfs=(Udf("__rasteret_build", ("VARCHAR",), "VARCHAR", pure=False, run=_build_dataset), _EXECUTED),
    ),
    Function(
        name="rasteret_build_from_stac",
        family="collections",
        table=True,
        arguments=(
            _NAME,
            Argument("stac_api", "VARCHAR", "URL of a STAC API, or URL or path of a static catalog"),
            Argument("collection", "VARCHAR", "STAC collection; not given: all of a static catalog", "NULL"),
            _BBOX,
            _DATES,
            _QUERY,
            Argument(
                "band_map",
                "STRUCT, MAP or JSON",
                "band name to asset: {'B04': 'red'}; not given: as the items say",
                "NULL",
            ),
            Argument(
                "band_index_map", "STRUCT, MAP or JSON", "band name to sample from 0, for bands of one file", "NULL"
            ),
            Argument("data_source", "VARCHAR", "source kept with the index; the STAC collection by default", "NULL"),
            _FORCE,
            _MAX,
            _WORKSPACE,
            Argument("static_catalog", "BOOLEAN", "true: a static catalog; not given: recognised", "NULL"),
            _CLOUD,
            BACKEND,
        ),
        returns=_SCENES,
        doc="Scenes of any STAC API or static STAC catalog, as rasteret_build.",
        example="SELECT id FROM rasteret_build_from_stac(name := 'dunes', stac_api := '${DATA}/catalog/catalog.json', "
        "collection := 'sentinel-s2-l2a-cogs')",
        udfs=(Udf("__rasteret_build_from_stac", ("VARCHAR",), "VARCHAR", pure=False, run=_build_stac),),
    ),
    Function(
        name="rasteret_load",
        family="collections",
        table=True,
        arguments=(
            Argument("path", "VARCHAR", "directory or Parquet file of an index"),
            Argument("name", "VARCHAR", "name of the collection; the one kept in the index by default", "NULL"),
            BACKEND,
        ),
        returns=_SCENES,
        doc="Scenes of an index on disk, made by a build, by rasteret_export, or by rasteret.",
        example="SELECT id FROM rasteret_load('${EXPORT}', name := 'loaded')",
        udfs=(
            Udf("__rasteret_load", ("VARCHAR",), "VARCHAR", pure=False, run=_load),
            Udf("__rasteret_open", ("VARCHAR",), "VARCHAR", pure=False, run=_open),
        ),
    ),
    Function(
        name="rasteret_export",
        family="collections",
        table=True,
        arguments=(
            Argument("name", "VARCHAR", "name of an open or cached collection"),
            Argument("path", "VARCHAR", "directory to write"),
            BACKEND,
        ),
        returns="TABLE(name VARCHAR, path VARCHAR, scenes BIGINT)",
        doc="Writes a collection as portable, partitioned GeoParquet with everything it knows.",
        example="SELECT scenes FROM rasteret_export('dunes', '${TMP}/dunes-export')",
        udfs=(
            Udf("__rasteret_export", ("VARCHAR", "VARCHAR", "VARCHAR"), f"{types.EXPORTED}[]", pure=False, run=_export),
        ),
    ),
    Function(
        name="rasteret_collections",
        family="collections",
        table=True,
        arguments=(
            Argument("workspace_dir", "VARCHAR", "where to look; that of the connection by default", "NULL"),
            BACKEND,
        ),
        returns=f"TABLE of {types.COLLECTION}",
        doc="Collections that are open in this session or cached in its workspace.",
        example="SELECT name, size FROM rasteret_collections()",
        udfs=(
            Udf(
                "__rasteret_collections",
                ("VARCHAR", "VARCHAR"),
                f"{types.COLLECTION}[]",
                pure=False,
                run=_collections,
            ),
        ),
    ),
)
