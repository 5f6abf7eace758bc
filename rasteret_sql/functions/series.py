"""Declares zonal_series: the values of each zone over time."""

from __future__ import annotations

import pyarrow as pa

from rasteret_sql.functions.kinds import TEXT
from rasteret_sql.functions.relations import RELATION_FUNCTIONS
from rasteret_sql.functions.spec import Argument, Function

_OF_TABLE = {
    one.name: one
    for function in RELATION_FUNCTIONS
    if function.name == "zonal_stats_table"
    for one in function.arguments
    if one.name not in ("stats", "fill")
}
"""Arguments of zonal_stats_table, which mean the same here."""

SERIES_FUNCTIONS = (
    Function(
        name="zonal_series",
        family="pixels",
        body="query",
        arguments=(
            *(_OF_TABLE[name] for name in ("scenes", "zones", "band")),
            Argument(
                "every",
                TEXT,
                "'day', 'week', 'month' (default), 'quarter', 'year', or an interval such as '10 days': the periods, "
                "in UTC",
                "NULL",
            ),
            Argument(
                "agg",
                TEXT,
                "statistic of all valid pixels of a period: median (default), any percentile such as p90, mean, min, "
                "max, sum, count, stddev, variance, majority, minority or variety",
                "NULL",
            ),
            Argument(
                "fill",
                TEXT,
                "value of periods without a pixel: 'linear', between those before and after by the begin of the "
                "periods, or 'previous'; not given, and before the first and after the last: NULL",
                "NULL",
            ),
            *(one for name, one in _OF_TABLE.items() if name not in ("scenes", "zones", "band")),
        ),
        returns=pa.string(),
        gives="TABLE(columns of zones, band VARCHAR, period TIMESTAMPTZ, scenes BIGINT, count DOUBLE, value DOUBLE)",
        doc="A row for each zone, band and period, from the first period to the last in which any zone meets a scene: "
        "the statistic of all valid pixels of all scenes of the period. scenes says how many gave a pixel, and count "
        "how many pixels they are; both are 0 where the value is filled. Zones that meet no scene have no row.",
        example="WITH zones AS (SELECT 'west' AS field, 'POLYGON ((-11.5 24.8, -11.4 24.8, -11.4 24.9, -11.5 24.9, "
        "-11.5 24.8))' AS geometry) SELECT field, period, value FROM zonal_series(rasteret.dunes, zones, 'B04')",
        run="series.zonal_series",
        metered=True,
    ),
)
