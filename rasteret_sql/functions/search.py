"""Functions that look for scenes: in a STAC catalog before anything is built, and in a collection by place and time."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from sqlglot import exp

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions import types
from rasteret_sql.functions.spec import Argument, Function, Udf, struct_type
from rasteret_sql.index.scan import column, struct_field
from rasteret_sql.kernels.building import required
from rasteret_sql.kernels.footprints import AREAS, lonlat_area, meets, near
from rasteret_sql.kernels.rows import Cancelled
from rasteret_sql.kernels.searching import PAGE, SEARCHES, search_source
from rasteret_sql.selection.conditions import date_condition
from rasteret_sql.session import Session

_BOX = struct_type([(side, "DOUBLE") for side in ("xmin", "ymin", "xmax", "ymax")])
_ITEM = struct_type(
    [
        ("id", "VARCHAR"),
        ("collection", "VARCHAR"),
        ("datetime", "TIMESTAMP"),
        ("geometry", "BLOB"),
        ("bbox", _BOX),
        ("properties", "VARCHAR"),
        ("assets", "VARCHAR"),
        ("links", "VARCHAR"),
        ("stac_version", "VARCHAR"),
    ]
)
_PAGE = struct_type([("token", "VARCHAR"), ("number", "BIGINT"), ("done", "BOOLEAN"), ("items", f"{_ITEM}[]")])


def _page(session: Session, cancelled: Cancelled, texts: pa.Array, tokens: pa.Array, numbers: pa.Array) -> pa.Array:
    asked = zip(texts.to_pylist(), tokens.to_pylist(), numbers.to_pylist(), strict=True)
    pages = [
        SEARCHES.page(search_source(text, lambda name: session.through(name).backend), token, number, cancelled)
        for text, token, number in asked
    ]
    return pa.array(pages, PAGE)


def _scenes(session: Session, _cancelled: Cancelled, geometries: pa.Array, texts: pa.Array) -> pa.Array:
    """The query of the scenes that meet each geometry."""
    rows = zip(geometries.to_pylist(), texts.to_pylist(), strict=True)
    return pa.array([_scenes_sql(session, geometry or {}, json.loads(text)) for geometry, text in rows], pa.string())


def _scenes_sql(session: Session, geometry: dict[str, Any], arguments: dict[str, Any]) -> str:
    name, crs = required(arguments, "collection"), arguments.get("geom_crs")
    if not isinstance(name, str):
        raise InvalidArgumentError(f"collection := {name!r} cannot be used; expected a text")
    index = session.open(name)
    area = lonlat_area(
        geometry.get("kind"), geometry.get("wkb"), geometry.get("text"), None if crs is None else str(crs)
    )
    tests: list[exp.Expression] = []
    if arguments.get("date_range") is not None:
        tests.append(date_condition(index, arguments["date_range"]))
    tests += [exp.false()] if area is None else [near(area), _meets_call(AREAS.add(area))]
    scenes = exp.maybe_parse(session.scenes.scan_sql(index), dialect="duckdb")
    return str(exp.select("*").from_(exp.Subquery(this=scenes)).where(*tests).sql("duckdb"))


def _meets_call(key: str) -> exp.Expression:
    """The exact test as SQL. The column is a GEOMETRY, or a BLOB where its file does not say so."""
    geometry = column("geometry")
    kind = exp.Anonymous(this="typeof", expressions=[geometry])
    is_geometry = exp.Anonymous(this="starts_with", expressions=[kind, exp.Literal.string("GEOMETRY")])
    as_wkb = exp.Anonymous(
        this="st_aswkb", expressions=[exp.TryCast(this=geometry, to=exp.DataType.build("GEOMETRY", dialect="duckdb"))]
    )
    as_blob = exp.TryCast(this=geometry, to=exp.DataType.build("BLOB", dialect="duckdb"))
    wkb = exp.Case(ifs=[exp.If(this=is_geometry, true=as_wkb)], default=as_blob)
    sides = [exp.cast(struct_field("bbox", side), "DOUBLE") for side in ("xmin", "xmax")]
    return exp.Anonymous(this=_MEETS.name, expressions=[wkb, *sides, exp.Literal.string(key)])


def _meets(
    _session: Session, _cancelled: Cancelled, wkbs: pa.Array, wests: pa.Array, easts: pa.Array, keys: pa.Array
) -> pa.Array:
    areas = np.array(keys.to_pylist(), dtype=object)
    footprints = np.array(wkbs.to_pylist(), dtype=object)
    sides = [side.cast(pa.float64()).to_numpy(zero_copy_only=False) for side in (wests, easts)]
    found = np.zeros(len(footprints), dtype=bool)
    for key in set(areas.tolist()):  # one, as a rule
        rows = np.flatnonzero(areas == key)
        found[rows] = meets(footprints[rows], sides[0][rows], sides[1][rows], AREAS.get(key))
    return pa.array(found)


_MEETS = Udf("__rasteret_meets", ("BLOB", "DOUBLE", "DOUBLE", "VARCHAR"), "BOOLEAN", pure=True, run=_meets)

SEARCH_FUNCTIONS = (
    Function(
        name="rasteret_stac_search",
        family="collections",
        table=True,
        arguments=(
            Argument("stac_api", "VARCHAR", "URL of a STAC API, or URL or path of a static catalog"),
            Argument("collection", "VARCHAR", "STAC collection; not given: all that the address has", "NULL"),
            Argument(
                "bbox",
                "DOUBLE[4], GEOMETRY or WKT",
                "area in lon/lat: [west, south, east, north], or a geometry's bounds",
                "NULL",
            ),
            Argument("date_range", "VARCHAR[2]", "first and last day, both included", "NULL"),
            Argument(
                "query",
                "STRUCT, MAP, JSON or SQL text",
                "conditions on item properties: {'eo:cloud_cover': {'lt': 20}} or '\"eo:cloud_cover\" < 20'",
                "NULL",
            ),
            Argument("page_size", "INTEGER", "items asked of an API at a time, 1 to 1000; 100 by default", "NULL"),
            Argument("backend", "VARCHAR", "name of a backend that reads static catalogs in buckets", "NULL"),
        ),
        returns="TABLE(id VARCHAR, collection VARCHAR, datetime TIMESTAMP, geometry GEOMETRY, bbox STRUCT, "
        "properties JSON, assets JSON, links JSON, stac_version VARCHAR)",
        doc="Items of a STAC API or static catalog, before anything is built: no file is opened. Pages are asked for "
        "as rows are used, so that LIMIT ends the search; WHERE is applied here, the arguments by the server.",
        example="SELECT id, properties->>'gsd' FROM rasteret_stac_search('${DATA}/catalog/catalog.json', "
        "collection := 'sentinel-s2-l2a-cogs') LIMIT 5",
        udfs=(Udf("__rasteret_stac_page", ("VARCHAR", "VARCHAR", "BIGINT"), _PAGE, pure=False, run=_page),),
    ),
    Function(
        name="rasteret_scenes",
        family="collections",
        table=True,
        arguments=(
            Argument("collection", "VARCHAR", "name of an open or cached collection"),
            Argument("geom", "any geometry", "the area; NULL or empty: no rows"),
            Argument("date_range", "VARCHAR[2]", "first and last day, both included; all by default", "NULL"),
            Argument("geom_crs", "VARCHAR or INTEGER", "CRS of geom; that of its type or EWKT, else lon/lat", "NULL"),
        ),
        returns="TABLE of scenes: all columns of the collection",
        doc="Scenes of a collection whose footprint meets a geometry; touching counts, also across the antimeridian. "
        "A scene without footprint meets nothing.",
        example="SELECT id FROM rasteret_scenes('dunes', 'POINT (-11.45 24.85)', "
        "date_range := ['2020-01-01', '2020-12-31'])",
        udfs=(
            Udf("__rasteret_scenes", (types.GEOMETRY, "VARCHAR"), "VARCHAR", pure=False, run=_scenes),
            _MEETS,
        ),
    ),
)
