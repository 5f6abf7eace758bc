"""Runs zonal_series: writes its SQL over that of zonal_stats_table.

Counts, sums and extremes of a period are those of its scenes, put together. For all other statistics, the histograms of
the scenes are added: the pixels of all scenes are one set of values then, and the statistic is exact.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.mosaics import period_sql, step_of
from rasteret_sql.functions.calls.relation_sql import columns_sql, features_sql, texts_of
from rasteret_sql.functions.calls.relations import HIST, zonal_stats_sql
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.geo.geometry import GEOMETRY_COLUMNS
from rasteret_sql.raster.statistic_names import quantiles_in
from rasteret_sql.raster.stats import check_statistic
from rasteret_sql.reading.options import require, require_one_of
from rasteret_sql.session.session import Session

FUNCTION = "zonal_series"
_FILLS = ("linear", "previous")
_OF_STATISTICS = {
    "count": ("coalesce(sum(count), 0)", ()),
    "sum": ('sum("sum")', ("sum",)),
    "mean": ('sum("sum") / nullif(sum(count), 0)', ("sum",)),
    "min": ('min("min")', ("min",)),
    "max": ('max("max")', ("max",)),
}
"""Statistic → SQL over those of the scenes, and which of them besides the count."""
_OF_VALUES = {
    "majority": "list(v ORDER BY n DESC, v)[1]",
    "minority": "list(v ORDER BY n, v)[1]",
    "variety": "count(*)",
    "variance": "sum(n * (v - mean) ** 2) / nullif(any_value(total) - 1, 0)",
    "stddev": "sqrt(sum(n * (v - mean) ** 2) / nullif(any_value(total) - 1, 0))",
    "stddev_pop": "sqrt(sum(n * (v - mean) ** 2) / any_value(total))",
}
"""Statistic → SQL over the values v of a period, with the pixels n of each, of all (total), and their mean."""
_GROUP = "zone, band, period"


def zonal_series(
    _session: Session, _cancelled: Cancelled, scenes: pa.Array, zones: pa.Array, bands: pa.Array, texts: pa.Array
) -> pa.Array:
    """The SQL of each call."""
    return texts_of(("scenes", "zones", "band"), _sql, scenes, zones, bands, texts)


def statistics_of(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The statistics of each scene of which a series is made.

    Raises:
        InvalidArgumentError: `agg`, `fill` or `weighted` cannot be used.
    """
    agg, fill = given.get("agg", "median"), given.get("fill")
    check_statistic(agg)
    require(agg != "valid_percent", "agg", agg, "a statistic of pixels: 'count' counts those that are valid")
    if fill is not None:
        require_one_of("fill", fill, _FILLS)
    if given.get("weighted") and agg not in _OF_STATISTICS:
        raise InvalidArgumentError(
            f"agg := '{agg}' of weighted pixels of several scenes is not defined; expected one of "
            f"{', '.join(_OF_STATISTICS)}, or weighted := false"
        )
    return ("count", *_OF_STATISTICS[agg][1]) if agg in _OF_STATISTICS else ("count", HIST)


def _sql(scenes: str, zones: str, band: str, text: str) -> str:
    given = named_arguments(FUNCTION, text)
    names = statistics_of(given)
    table = json.loads(text) | {"stats": list(names), "fill": None}
    column = given.get("geom_column")
    shapes = columns_sql(GEOMETRY_COLUMNS if column is None else [column])
    inner = zonal_stats_sql(scenes, "__keys", band, json.dumps(table))
    return f"""WITH
  __zones AS MATERIALIZED (SELECT *, row_number() OVER () AS __rasteret_zone FROM {features_sql(zones)}),
  __keys AS (
    SELECT * EXCLUDE (__rasteret_absent) FROM (
      SELECT __rasteret_zone, {shapes}
      FROM __zones, (SELECT NULL AS __rasteret_absent)
    )
  ),
  __measured AS ({inner}),
  {periods_sql(given)}
SELECT __zones.* EXCLUDE (__rasteret_zone), f.band, f.period, f.scenes, f.count, f.value
FROM __filled AS f JOIN __zones ON __zones.__rasteret_zone = f.zone ORDER BY f.zone, f.band, f.period"""  # noqa: S608 - quoted


def periods_sql(given: Mapping[str, Any], ends: str | None = None) -> str:
    """The SQL of `__filled`, the rows of all periods, over `__measured`, the statistics of each zone and scene.

    Args:
        given: The named arguments of the call.
        ends: A relation with the column datetime, whose first and last are those of the whole series; None: of
            `__measured`.
    """
    every, agg, fill = given.get("every", "month"), given.get("agg", "median"), given.get("fill")
    shown = ", ".join(f'"{name}"' for name in statistics_of(given))
    period = period_sql(FUNCTION, every)
    of_ends = "__in" if ends is None else f"(SELECT {period} AS period FROM {ends})"  # noqa: S608 - of this module
    return f"""__in AS MATERIALIZED (
    SELECT __rasteret_zone AS zone, band, {period} AS period, {shown} FROM __measured
  ),
  __counted AS (
    SELECT {_GROUP}, count(*) FILTER (count > 0) AS scenes, coalesce(sum(count), 0) AS count FROM __in GROUP BY ALL
  ),
  {_values_sql(agg)},
  __span AS (
    SELECT make_timestamp(epoch_us(min(period))) AS low, make_timestamp(epoch_us(max(period))) AS high
    FROM {of_ends}
  ),
  __steps AS (
    SELECT make_timestamptz(epoch_us(unnest(generate_series(low, high, {step_of(every)})))) AS period FROM __span
  ),
  __rows AS (
    SELECT {_GROUP}, coalesce(scenes, 0) AS scenes, CAST(coalesce(count, 0) AS DOUBLE) AS count,
      {_value_of(agg)} AS value
    FROM (SELECT DISTINCT zone, band FROM __in) CROSS JOIN __steps
      LEFT JOIN __counted USING ({_GROUP}) LEFT JOIN __values USING ({_GROUP})
  ),
  __filled AS (SELECT {_GROUP}, scenes, count, {_filled_sql(fill)} AS value FROM __rows)"""  # noqa: S608 - quoted


def _values_sql(agg: str) -> str:
    """The SQL of `__values`: the statistic of each zone, band and period with a pixel."""
    if agg in _OF_STATISTICS:
        return f"__values AS (SELECT {_GROUP}, {_OF_STATISTICS[agg][0]} AS value FROM __in GROUP BY ALL)"  # noqa: S608
    quantile = quantiles_in((agg,)).get(agg)
    value = _OF_VALUES.get(agg, "low + (high - low) * (place - floor(place))")
    merged = f"""__entries AS (SELECT {_GROUP}, unnest(map_entries({HIST})) AS entry FROM __in),
  __merged AS (SELECT {_GROUP}, entry.key AS v, sum(entry.value) AS n FROM __entries GROUP BY ALL),
  __ranked AS (
    SELECT *, sum(n) OVER (PARTITION BY {_GROUP} ORDER BY v) AS upto, sum(n) OVER (PARTITION BY {_GROUP}) AS total,
      sum(n * v) OVER (PARTITION BY {_GROUP}) / sum(n) OVER (PARTITION BY {_GROUP}) AS mean
    FROM __merged
  )"""  # noqa: S608 - of this module
    if quantile is None:
        return f"""{merged},
  __values AS (SELECT {_GROUP}, {value} AS value FROM __ranked GROUP BY ALL)"""  # noqa: S608 - of this module
    # As quantile_cont: at position (total - 1) q of the sorted pixels, between two of them linearly.
    return f"""{merged},
  __placed AS (SELECT *, (total - 1) * CAST({quantile!r} AS DOUBLE) AS place FROM __ranked),
  __between AS (
    SELECT {_GROUP}, place, min(v) FILTER (upto > floor(place)) AS low, min(v) FILTER (upto > ceil(place)) AS high
    FROM __placed GROUP BY ALL
  ),
  __values AS (SELECT {_GROUP}, {value} AS value FROM __between)"""  # noqa: S608 - of this module


def _value_of(agg: str) -> str:
    """A period without scenes has no value, but for the count."""
    return "CAST(coalesce(value, 0) AS DOUBLE)" if agg == "count" else "CAST(value AS DOUBLE)"


def _filled_sql(fill: str | None) -> str:
    """The value, and where there is none what is made of its neighbours."""
    if fill is None:
        return "value"
    time = "epoch_us(period)"

    def nearest(what: str, function: str, rows: str) -> str:
        known = f"CASE WHEN value IS NOT NULL THEN {what} END"
        return f"{function}({known} IGNORE NULLS) OVER (PARTITION BY zone, band ORDER BY period ROWS BETWEEN {rows})"

    before = "UNBOUNDED PRECEDING AND CURRENT ROW"
    after = "CURRENT ROW AND UNBOUNDED FOLLOWING"
    first, begin = (nearest(what, "last_value", before) for what in ("value", time))
    second, end = (nearest(what, "first_value", after) for what in ("value", time))
    if fill == "previous":
        return f"coalesce(value, {first})"
    return f"coalesce(value, {first} + ({second} - {first}) * ({time} - {begin}) / ({end} - {begin}))"
