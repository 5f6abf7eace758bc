"""Runs the functions that look for scenes: in a STAC catalog, and in a collection by place and time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from sqlglot import exp

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.functions import types
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.search import MEETS
from rasteret_sql.index.read.scene_scan import column, struct_field
from rasteret_sql.index.read.scenes_in_area import AREAS, lonlat_area, meets, near
from rasteret_sql.library.stac_search import SEARCHES, search_source
from rasteret_sql.selection.conditions import date_condition
from rasteret_sql.session.session import Session


def page(session: Session, cancelled: Cancelled, texts: pa.Array, tokens: pa.Array, numbers: pa.Array) -> pa.Array:
    """The next page of each search."""
    asked = zip(texts.to_pylist(), tokens.to_pylist(), numbers.to_pylist(), strict=True)
    pages = []
    for text, token, number in asked:
        arguments = named_arguments("rasteret_stac_search", text)
        source = search_source(arguments, session.through(arguments.pop("backend", None)).backend)
        pages.append(SEARCHES.page(source, token, number, cancelled))
    return pa.array(pages, types.PAGE)


def scenes(session: Session, _cancelled: Cancelled, geometries: pa.Array, texts: pa.Array) -> pa.Array:
    """The query of the scenes that meet each geometry."""
    rows = zip(geometries.to_pylist(), texts.to_pylist(), strict=True)
    return pa.array(
        [_scenes_sql(session, geometry or {}, named_arguments("rasteret_scenes", text)) for geometry, text in rows],
        pa.string(),
    )


def _scenes_sql(session: Session, geometry: dict[str, Any], arguments: dict[str, Any]) -> str:
    index = session.open(arguments["collection"])
    area = lonlat_area(geometry.get("kind"), geometry.get("wkb"), geometry.get("text"), arguments.get("geom_crs"))
    tests: list[exp.Expression] = []
    if "date_range" in arguments:
        tests.append(date_condition(index, arguments["date_range"]))
    tests += [exp.false()] if area is None else [near(area), _meets_call(AREAS.add(area))]
    scan = session.scenes.scan_sql(index)
    # As text: sqlglot takes seconds to parse a scan of many files. Times are compared as the files have them.
    return f"{scan} WHERE {exp.and_(*tests).sql('duckdb')}"


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
    return exp.Anonymous(this=MEETS.name, expressions=[wkb, *sides, exp.Literal.string(key)])


def meets_areas(
    _session: Session, _cancelled: Cancelled, wkbs: pa.Array, wests: pa.Array, easts: pa.Array, keys: pa.Array
) -> pa.Array:
    """True for each footprint that meets the area of its key."""
    areas = np.array(keys.to_pylist(), dtype=object)
    footprints = np.array(wkbs.to_pylist(), dtype=object)
    sides = [side.cast(pa.float64()).to_numpy(zero_copy_only=False) for side in (wests, easts)]
    found = np.zeros(len(footprints), dtype=bool)
    for key in set(areas.tolist()):  # one, as a rule
        rows = np.flatnonzero(areas == key)
        found[rows] = meets(footprints[rows], sides[0][rows], sides[1][rows], AREAS.get(key))
    return pa.array(found)
