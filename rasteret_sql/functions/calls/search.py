"""Runs the functions that look for scenes: in a STAC catalog, and in a collection by place and time."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
from sqlglot import exp

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.functions import types
from rasteret_sql.functions.calls.relation_sql import (
    count_columns,
    features_sql,
    found_column,
    found_columns,
    require_one_geometry,
)
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.registry import geometry_sql
from rasteret_sql.functions.search import KEEP_ZONES, MEETS, ZONES_MET
from rasteret_sql.geo.geometry import GEOMETRY_COLUMNS
from rasteret_sql.geo.lonlat_boxes import longitude_limits
from rasteret_sql.index.read.scene_scan import column, struct_field
from rasteret_sql.index.read.scenes_in_area import AREAS, MARGIN, Zones, lonlat_area, lonlat_areas, meets, near
from rasteret_sql.library.stac_search import SEARCHES, search_source
from rasteret_sql.quoting import quote_text
from rasteret_sql.selection.conditions import date_condition
from rasteret_sql.session.session import Session

_GEOMETRY_TEXT = re.compile(
    r"\s*(SRID\s*=|(POINT|LINESTRING|POLYGON|CURVEPOLYGON|CIRCULARSTRING|COMPOUNDCURVE|MULTI\w+|GEOMETRYCOLLECTION|"
    r"TRIANGLE|TIN|POLYHEDRALSURFACE)\s*(\(|\s\S)|[{\[(]|null\s*$|[0-9A-F]{10,}\s*$)",
    re.IGNORECASE,
)
"""Texts that begin as geometries do, in WKT, GeoJSON or hex of WKB. Any other text is the name of a relation."""


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
        [
            _scenes_sql(session, geometry or {}, named_arguments("rasteret_scenes", text), text)
            for geometry, text in rows
        ],
        pa.string(),
    )


def _scenes_sql(session: Session, geometry: dict[str, Any], arguments: dict[str, Any], text: str) -> str:
    index = session.open(arguments["collection"])
    tests: list[exp.Expression] = []
    if "date_range" in arguments:
        tests.append(date_condition(index, arguments["date_range"]))
    scan = session.scenes.scan_sql(index)
    zones = _relation_name(geometry.get("kind"), geometry.get("text"))
    # As text: sqlglot takes seconds to parse a scan of many files. Times are compared as the files have them.
    if zones is not None:
        return _zones_sql(f"{scan} WHERE {exp.and_(*tests).sql('duckdb')}" if tests else scan, zones, text)
    area = lonlat_area(geometry.get("kind"), geometry.get("wkb"), geometry.get("text"), arguments.get("geom_crs"))
    tests += [exp.false()] if area is None else [near(area), _meets_call(AREAS.add(area))]
    return f"{scan} WHERE {exp.and_(*tests).sql('duckdb')}"


def _relation_name(kind: str | None, text: str | None) -> str | None:
    """The relation that a text names; None for texts that are geometries, whole or not."""
    if kind != "VARCHAR" or text is None or not text.strip() or _GEOMETRY_TEXT.match(text):
        return None
    return text


def _zones_sql(scan: str, zones: str, text: str) -> str:
    """The SQL of scenes with each zone of a relation that they meet.

    Args:
        scan: SQL of the scenes.
        zones: name of the relation.
        text: JSON of the named arguments.
    """
    asked = named_arguments("rasteret_scenes", text).get("geom_column")
    names = GEOMETRY_COLUMNS if asked is None else (asked,)
    footprint, *sides = (part.sql("duckdb") for part in _footprint())
    box = "struct_extract(bbox, '{}')".format
    across = [
        f"({box('xmin')} <= near.lasts[{at}] AND {box('xmax')} >= near.firsts[{at}])"
        for at in range(1, len(longitude_limits(0, 0)) + 1)
    ]
    return f"""WITH
  __found AS (
    SELECT {found_column(names)} AS geom, typeof({found_columns(names)}) AS columns, __row
    FROM (SELECT __rasteret_row AS __row, * FROM {features_sql(zones)} AS __rasteret_row),
      (SELECT NULL AS __rasteret_absent)
  ),
  __kept AS MATERIALIZED (
    SELECT {KEEP_ZONES.name}({quote_text(text)}, any_value(columns), list({geometry_sql("geom")})) AS near,
      list(__row) AS __rows
    FROM __found
  ),
  __met AS (
    SELECT scene.*, __rows, unnest({ZONES_MET.name}({footprint}, {", ".join(sides)}, near.token)) AS __number
    FROM ({scan}) AS scene, __kept
    WHERE {box("ymin")} <= near.north AND {box("ymax")} >= near.south
      AND ({" OR ".join(across)} OR {box("xmin")} > {box("xmax")})
      OR {box("xmin")} IS NULL OR {box("xmax")} IS NULL
  )
SELECT * EXCLUDE (__rows, __number), unnest(__rows[__number]) FROM __met"""  # noqa: S608 - quoted


def keep_zones(
    session: Session, _cancelled: Cancelled, texts: pa.Array, columns: pa.Array, geometries: pa.Array
) -> pa.Array:
    """Keep the zones of each call; gives their token, and where scenes may meet them."""
    kept = []
    for row, text in enumerate(texts.to_pylist()):
        given = named_arguments("rasteret_scenes", text)
        shapes = geometries[row].values if geometries[row].is_valid else pa.array([], geometries.type.value_type)
        if columns[row].is_valid:
            require_one_geometry(count_columns(columns[row].as_py()), "the relation", given.get("geom_column"))
        kinds, wkbs, words = (column.to_pylist() for column in shapes.flatten())
        zones = Zones(lonlat_areas(kinds, wkbs, words, given.get("geom_crs")))
        lasts, firsts = zip(*longitude_limits(zones.west - MARGIN, zones.east + MARGIN), strict=True)
        kept.append(
            {
                "token": session.zones.keep(zones),
                "south": zones.south - MARGIN,
                "north": zones.north + MARGIN,
                "lasts": list(lasts),
                "firsts": list(firsts),
            }
        )
    return pa.array(kept, KEEP_ZONES.returns)


def zones_met(
    session: Session, _cancelled: Cancelled, wkbs: pa.Array, wests: pa.Array, easts: pa.Array, tokens: pa.Array
) -> pa.Array:
    """Numbers of the zones that each footprint meets."""
    kept = np.array(tokens.to_pylist())
    footprints = np.array(wkbs.to_pylist(), dtype=object)
    sides = [side.cast(pa.float64()).to_numpy(zero_copy_only=False) for side in (wests, easts)]
    found: list[Any] = [None] * len(kept)
    for token in set(kept.tolist()):  # one, as a rule
        rows = np.flatnonzero(kept == token)
        met = session.zones.get(token).met_by(footprints[rows], sides[0][rows], sides[1][rows])
        for row, numbers in zip(rows.tolist(), met, strict=True):
            found[row] = numbers
    return pa.array(found, ZONES_MET.returns)


def _meets_call(key: str) -> exp.Expression:
    """The exact test as SQL."""
    return exp.Anonymous(this=MEETS.name, expressions=[*_footprint(), exp.Literal.string(key)])


def _footprint() -> list[exp.Expression]:
    """WKB of a scene's footprint, west and east of its box. The column is a GEOMETRY, or a BLOB in some files."""
    geometry = column("geometry")
    kind = exp.Anonymous(this="typeof", expressions=[geometry])
    is_geometry = exp.Anonymous(this="starts_with", expressions=[kind, exp.Literal.string("GEOMETRY")])
    as_wkb = exp.Anonymous(
        this="st_aswkb", expressions=[exp.TryCast(this=geometry, to=exp.DataType.build("GEOMETRY", dialect="duckdb"))]
    )
    as_blob = exp.TryCast(this=geometry, to=exp.DataType.build("BLOB", dialect="duckdb"))
    wkb = exp.Case(ifs=[exp.If(this=is_geometry, true=as_wkb)], default=as_blob)
    sides = [exp.cast(struct_field("bbox", side), "DOUBLE") for side in ("xmin", "xmax")]
    return [wkb, *sides]


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
