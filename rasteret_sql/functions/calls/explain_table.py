"""Runs rasteret_explain_table: writes its SQL, and says what the pairs or pixels of each scene and band take."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.forecast import Forecast
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.pixel_table import context_of, kept_pixels_sql
from rasteret_sql.functions.calls.relation_sql import named_error, scenes_of, texts_of
from rasteret_sql.functions.calls.relations import by_relation, explained_call, kept_sql, reading_of
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.registry import DECLARED
from rasteret_sql.functions.relations import COST, COSTS, EXPLAINED, PIXEL_COSTS
from rasteret_sql.functions.spec import STATEMENT
from rasteret_sql.reading.explain_pairs import PartCost
from rasteret_sql.reading.explain_pixels import PixelPlanner
from rasteret_sql.reading.options import Whole, require
from rasteret_sql.session.session import Session

FUNCTION = "rasteret_explain_table"


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
        of_pixels = call == "read_pixels"
        for name in ("crs", "resolution", "shape", "align") if call == "sample_points" else ():
            value = given.get(name)
            require(value is None, name, value, "no value with call := 'sample_points', which has no grid")
        if zone is None and not of_pixels:
            raise InvalidArgumentError("zones is missing: it is NULL, expected a name; only read_pixels has no zones")
        require(zone is None or not of_pixels, "zones", zone, "NULL with call := 'read_pixels', which takes geom :=")
        is_given = geometry["wkb"] is not None or geometry["text"] not in (None, Whole.IMAGE.value)
        require(of_pixels or not is_given, "geom", geometry["text"], "a geometry with call := 'read_pixels' only")
        kept = kept_pixels_sql(scene, band, geometry, _arguments_of("read_pixels", text)) if of_pixels else None
        costs, shown = PIXEL_COSTS if of_pixels else COSTS, ", ".join(f"cost.{one.name} AS {one.name}" for one in COST)
        return f"""{kept or kept_sql(FUNCTION, (scene, str(zone), band, text))},
  __costs AS (
    SELECT id, datetime, unnest({costs.name}(id, collection, token, {STATEMENT})) AS cost FROM __scenes, __kept
  )
SELECT id AS scene_id, datetime, {shown} FROM __costs"""  # noqa: S608 - quoted

    return texts_of(("scenes", "band"), one, scenes, bands, zones, geometries, texts)


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
