"""Declares rasteret_explain_table: what a call over relations takes, before it is made."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pyarrow as pa

from rasteret_sql.functions.kinds import NAMES, NUMBER, TEXT, Kind
from rasteret_sql.functions.mosaics import MOSAIC_FUNCTIONS, PERIODS
from rasteret_sql.functions.pixels import ALL_TOUCHED, GEOM_OR_ALL, MAX_DISTANCE, WEIGHTED
from rasteret_sql.functions.relations import RELATION_FUNCTIONS, SCENE_KEYS, ZONES_ON_DUNES
from rasteret_sql.functions.spec import Argument, Function, Udf

_OF_TABLE, _OF_MOSAIC = (
    {one.name: one for function in functions if function.name == name for one in function.arguments}
    for functions, name in ((RELATION_FUNCTIONS, "zonal_stats_table"), (MOSAIC_FUNCTIONS, "read_mosaic"))
)
OF_COMPOSITES = ("method", "every", "order_by", "best_by")
"""Arguments that only calls that make composites have."""
_SAID = (
    *("scenes", "zones", "band", "stats", "weighted", "geom_column", "collection", "geom_crs", "all_touched", "fill"),
    "max_bytes",
)
"""Arguments of zonal_stats_table that stand before the others here, or that a dry run has none of."""
EXPLAINED = ("zonal_stats_table", "sample_points", "read_chips", "read_pixels", "read_mosaic", "read_mosaics")
"""Functions whose cost can be asked for."""

_step = partial(Udf, metered=True, names_itself=True)
_TOKEN = _STATEMENT = pa.int64()
_COST = [(name, pa.int64()) for name in ("tiles", "requests", "bytes")]
COST = pa.struct([("band", pa.string()), ("pairs", pa.int64()), *_COST])
"""What the pairs of a scene and a band take."""
COSTS = _step(
    "__rasteret_costs", (*SCENE_KEYS, _TOKEN, _STATEMENT), pa.list_(COST), run="explain_table.costs", pure=True
)
"""(scene, collection, token) → what it takes."""
PIXEL_COSTS = _step(
    "__rasteret_pixel_costs",
    (*SCENE_KEYS, _TOKEN, _STATEMENT),
    pa.list_(COST),
    run="explain_table.pixel_costs",
    pure=True,
)
"""(scene, collection, token) → what its pixels take."""
PERIOD_COST = pa.struct([("period", pa.int32()), ("scenes", pa.int64()), ("chips", pa.int64()), *_COST])
"""What the composites of a period take: its number from 1, scenes that meet geometries, chips."""
PERIOD_COSTS = _step(
    "__rasteret_period_costs",
    (_TOKEN, pa.string(), pa.string(), PERIODS, _STATEMENT),
    pa.list_(PERIOD_COST),
    run="explain_table.period_costs",
    pure=True,
)
"""(token, function, JSON of named arguments, scenes of each period in their order) → what each period takes."""

EXPLAIN_FUNCTIONS = (
    Function(
        name="rasteret_explain_table",
        family="pixels",
        body="query",
        arguments=(
            _OF_TABLE["scenes"],
            replace(
                _OF_TABLE["zones"],
                doc="relation of polygons, points or any geometries, as the call takes them; NULL for read_pixels and "
                "read_mosaic",
            ),
            _OF_TABLE["band"],
            Argument(
                "call",
                TEXT,
                "'zonal_stats_table' (default), 'sample_points', 'read_chips', 'read_pixels', 'read_mosaic' or "
                "'read_mosaics': what is explained",
                "NULL",
            ),
            replace(GEOM_OR_ALL, doc="as read_pixels' and read_mosaic's; of no other call"),
            *(replace(_OF_MOSAIC[name], doc=f"as read_mosaic's {name}; of no other call") for name in OF_COMPOSITES),
            WEIGHTED,
            MAX_DISTANCE,
            *(_OF_TABLE[name] for name in ("geom_column", "collection", "geom_crs")),
            ALL_TOUCHED,
            Argument("clip", Kind("BOOLEAN"), "as read_chips' and read_pixels'", "NULL"),
            Argument("fill", NUMBER, "as read_chips'; costs nothing", "NULL"),
            Argument("stats", NAMES, "as zonal_stats_table's; cost nothing", "NULL"),
            *(one for name, one in _OF_TABLE.items() if name not in _SAID),
        ),
        returns=pa.string(),
        gives="TABLE(scene_id VARCHAR, datetime TIMESTAMPTZ, band VARCHAR, pairs BIGINT, tiles BIGINT, "
        "requests BIGINT, bytes BIGINT); of read_mosaic and read_mosaics TABLE(period TIMESTAMPTZ, scenes BIGINT, "
        "chips BIGINT, tiles BIGINT, requests BIGINT, bytes BIGINT)",
        doc="A dry run of a call over relations: for each scene and band the pairs that meet, the stored tiles under "
        "them, and the requests and bytes that fetch these, with nothing cached and all rows asked for. A tile that "
        "several need counts for the first. A pair of read_pixels is a scene and its geometry. Of read_mosaic and "
        "read_mosaics, a row for each period: the scenes that meet geometries, the chips that are made of them, and "
        "what these take; the methods first and last may need less, since they end when all pixels have a value. Makes "
        "no request for pixels.",
        example=f"{ZONES_ON_DUNES}rasteret_explain_table(rasteret.dunes, zones, ['B04', 'B11'])",
        run="explain_table.rasteret_explain_table",
        metered=True,
        others=(COSTS, PIXEL_COSTS, PERIOD_COSTS),
    ),
)
