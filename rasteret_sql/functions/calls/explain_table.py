"""Runs rasteret_explain_table: writes its SQL, and says what pairs, pixels and composites take."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.forecast import Forecast
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.mosaics import mosaics_of, periods_sql, planned_sql
from rasteret_sql.functions.calls.pixel_table import context_of, kept_pixels_sql
from rasteret_sql.functions.calls.relation_sql import named_error, scenes_of, texts_of
from rasteret_sql.functions.calls.relations import by_relation, explained_call, kept_sql, reading_of
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.explain_table import (
    COST,
    COSTS,
    EXPLAINED,
    OF_COMPOSITES,
    PERIOD_COST,
    PERIOD_COSTS,
    PIXEL_COSTS,
)
from rasteret_sql.functions.registry import DECLARED
from rasteret_sql.functions.spec import STATEMENT
from rasteret_sql.reading import explain_composites
from rasteret_sql.reading.explain_pairs import PartCost
from rasteret_sql.reading.explain_pixels import PixelPlanner
from rasteret_sql.reading.options import Whole, require
from rasteret_sql.session.session import Session

FUNCTION = "rasteret_explain_table"
_OF_PERIODS = ("read_mosaic", "read_mosaics")
_OF_ONE_GEOMETRY = ("read_pixels", "read_mosaic")
_GRID = ("crs", "resolution", "shape", "align")


def rasteret_explain_table(
    _session: Session,
    _cancelled: Cancelled,
    scenes: pa.Array,
    zones: pa.Array,
    bands: pa.Array,
    geometries: pa.StructArray,
    texts: pa.Array,
) -> pa.Array:
    """The SQL of each call of rasteret_explain_table."""

    def one(scene: str, band: str, zone: str | None, geometry: dict[str, Any], text: str) -> str:
        given = named_arguments(FUNCTION, text)
        call = explained_call(given)
        require(call in EXPLAINED, "call", call, " or ".join(f"'{name}'" for name in EXPLAINED))
        require_fitting(call, zone, geometry, given)
        if call in _OF_PERIODS:
            periods = periods_sql(FUNCTION, (scene, geometry if zone is None else zone, band, text))
            shown = ", ".join(f"cost.{one.name} AS {one.name}" for one in PERIOD_COST if one.name != "period")
            return f"""{periods},
  __costs AS (
    SELECT periods, unnest({PERIOD_COSTS.name}({planned_sql(FUNCTION, text)})) AS cost FROM __all, __kept
    WHERE scenes IS NOT NULL
  )
SELECT periods[cost.period] AS period, {shown} FROM __costs"""  # noqa: S608 - quoted
        of_pixels = call == "read_pixels"
        kept = kept_pixels_sql(scene, band, geometry, _arguments_of("read_pixels", text)) if of_pixels else None
        costs, shown = PIXEL_COSTS if of_pixels else COSTS, ", ".join(f"cost.{one.name} AS {one.name}" for one in COST)
        return f"""{kept or kept_sql(FUNCTION, (scene, str(zone), band, text))},
  __costs AS (
    SELECT id, datetime, unnest({costs.name}(id, collection, token, {STATEMENT})) AS cost FROM __scenes, __kept
  )
SELECT id AS scene_id, datetime, {shown} FROM __costs"""  # noqa: S608 - quoted

    return texts_of(("scenes", "band"), one, scenes, bands, zones, geometries, texts)


def require_fitting(call: str, zone: str | None, geometry: dict[str, Any], given: dict[str, Any]) -> None:
    """Raise where a call does not take what is given."""
    of_one = call in _OF_ONE_GEOMETRY
    for name in _GRID if call == "sample_points" else () if call in _OF_PERIODS else OF_COMPOSITES:
        value = given.get(name)
        why = "which has no grid" if name in _GRID else "which makes no composites"
        require(value is None, name, value, f"no value with call := '{call}', {why}")
    names = " and ".join(_OF_ONE_GEOMETRY)
    if zone is None and not of_one:
        raise InvalidArgumentError(f"zones is missing: it is NULL, expected a name; only {names} have no zones")
    require(zone is None or not of_one, "zones", zone, f"NULL with call := '{call}', which takes geom :=")
    is_given = geometry["wkb"] is not None or geometry["text"] not in (None, Whole.IMAGE.value)
    require(
        of_one or not is_given, "geom", geometry["text"], "a geometry with call := 'read_pixels' or 'read_mosaic' only"
    )
    if call == "read_mosaic" and geometry["text"] == Whole.IMAGE.value:
        raise InvalidArgumentError("geom is missing; call := 'read_mosaic' needs the geometry of the composites")


def _arguments_of(function: str, text: str) -> str:
    """JSON of those named arguments that a function takes."""
    names = {argument.name for argument in DECLARED[function].named}
    return json.dumps({name: value for name, value in json.loads(text).items() if name in names})


def costs(session: Session, cancelled: Cancelled, ids: pa.Array, collections: pa.Array, tokens: pa.Array) -> pa.Array:
    """Say what each scene and band takes."""
    scenes = scenes_of(ids, collections)
    found: list[list[PartCost]] = [[] for _ in scenes]
    for (relation, _, planner), rows in by_relation(session, tokens):
        assert planner is not None
        asked = {row: scene for row in rows.tolist() if (scene := scenes[row]) is not None}
        some = [*asked.values()]
        context = reading_of(session, relation)
        with named_error(relation.function):
            of_scenes = planner.costs(some, relation.pairs(some, context), context, cancelled)
        for row, of_scene in zip(asked, of_scenes, strict=True):
            found[row] = of_scene
    return _rows_of(found)


def pixel_costs(
    session: Session, cancelled: Cancelled, ids: pa.Array, collections: pa.Array, tokens: pa.Array
) -> pa.Array:
    """Say what the pixels of each scene and band take."""
    scenes, kept = scenes_of(ids, collections), tokens.to_pylist()
    found: list[list[PartCost]] = [[] for _ in scenes]
    with named_error(FUNCTION):
        for token in dict.fromkeys(kept):
            asked = {row: one for row, one in enumerate(scenes) if kept[row] == token and one is not None}
            table = session.pixel_tables.get(token)
            make = partial(PixelPlanner, table, Forecast(session.engine))
            planner = session.receipt.shared((PixelPlanner, token), make)
            of_scenes = planner.costs([*asked.values()], context_of(session, table, FUNCTION), cancelled)
            for row, of_scene in zip(asked, of_scenes, strict=True):
                found[row] = of_scene
    return _rows_of(found)


def period_costs(  # noqa: PLR0917 - columns
    session: Session,
    cancelled: Cancelled,
    tokens: pa.Array,
    functions: pa.Array,
    texts: pa.Array,
    periods: pa.ListArray,
) -> pa.Array:
    """Say what the composites of each period take."""
    found = []
    for mosaic, groups, context in mosaics_of(session, tokens, functions, texts, periods):
        with named_error(FUNCTION):
            costs = explain_composites.period_costs(mosaic, groups, Forecast(session.engine), context, cancelled)
        found.append(
            [
                {
                    "period": one.period + 1,
                    "scenes": len(one.scenes),
                    "chips": one.chips,
                    "tiles": one.cost.tiles,
                    "requests": one.cost.requests,
                    "bytes": one.cost.bytes,
                }
                for one in costs
            ]
        )
    return pa.array(found, PERIOD_COSTS.returns)


def _rows_of(found: list[list[PartCost]]) -> pa.Array:
    """A list of STRUCTs for each scene."""
    return pa.array(
        [
            [
                {"band": one.bands, "pairs": one.pairs, "tiles": c.tiles, "requests": c.requests, "bytes": c.bytes}
                for one in of_scene
                for c in (one.cost,)
            ]
            for of_scene in found
        ],
        COSTS.returns,
    )
