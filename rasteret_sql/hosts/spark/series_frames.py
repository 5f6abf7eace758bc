"""Plans zonal_series over DataFrames: pairs are read scene by scene, and put together zone by zone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rasteret_sql.functions.calls.mosaics import length_of
from rasteret_sql.functions.calls.relation_sql import named_error
from rasteret_sql.functions.calls.relations import HIST
from rasteret_sql.functions.calls.rows import named_arguments
from rasteret_sql.functions.calls.series import FUNCTION, statistics_of
from rasteret_sql.hosts.spark.errand import errand
from rasteret_sql.hosts.spark.frame_call import (
    checked_arguments,
    frame_call,
    geometry_columns,
    partitions_of,
    require_new_names,
)
from rasteret_sql.hosts.spark.pair_frames import INSTANT, quoted, sorted_pairs
from rasteret_sql.hosts.spark.series_batches import GEOMETRY, ROW, ZONE
from rasteret_sql.hosts.spark.spark_types import spark_type
from rasteret_sql.lazy import lazy_module
from rasteret_sql.result_types import HISTOGRAM

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, types
    from pyspark.sql import functions as sql
else:
    sql = lazy_module("pyspark.sql.functions")
    types = lazy_module("pyspark.sql.types")

_OWN = ("every", "agg", "fill")
"""Named arguments that zonal_stats_table has not, or that mean something else there."""


def zonal_series(
    scenes: DataFrame, zones: DataFrame, band: Any, *, partitions: int | None = None, **named: Any
) -> DataFrame:
    """The values of each zone over time, as the SQL function of this name gives them.

    Args:
        scenes: As in `zonal_stats_table`, with a column `datetime`.
        zones: As in `zonal_stats_table`.
        band: As in `zonal_stats_table`.
        partitions: Parts in which scenes are read, and in which series are made.
        named: Named arguments of the SQL function: `every='month', agg='median', fill='linear', mask='clouds'`.

    Returns:
        The columns of zones, band, period, scenes, count, value.

    Raises:
        InvalidArgumentError: an argument cannot be used.
    """
    spark = scenes.sparkSession
    with named_error(FUNCTION):
        text = json.dumps(checked_arguments(FUNCTION, named))
        given = named_arguments(FUNCTION, text)
        names = statistics_of(given)
        length_of(given.get("every", "month"))
        columns = geometry_columns(zones, "zones", given.get("geom_column"), points=False)
        parts = partitions_of(spark, partitions)
    others = {name: value for name, value in named.items() if name not in (*_OWN, "geom_column")}
    read = frame_call(spark, "zonal_stats_table", band, {**others, "stats": list(names)})
    read = replace(read, geometry=(GEOMETRY,), before=("scene_id", "datetime", "band"), after=names)
    results = [("band", pa.string()), ("period", INSTANT), ("scenes", pa.int64())]
    results += [("count", pa.float64()), ("value", pa.float64())]
    require_new_names(replace(read, function=FUNCTION, before=(), after=tuple(dict(results))), zones, "zones")
    number = sql.monotonically_increasing_id()
    own = [sql.col(quoted(name)) for name in zones.columns if name not in columns]
    numbered = zones.select(number.alias(ZONE), sql.col(quoted(columns[0])).alias(GEOMETRY), *own)
    kept = numbered.select(ZONE, GEOMETRY, sql.struct(sql.col(ZONE), *own).alias(ROW))
    fields = [
        types.StructField("part", types.IntegerType()),
        *(types.StructField(name, kept.schema[name].dataType) for name in (ZONE, ROW, GEOMETRY)),
        types.StructField("band", types.StringType()),
        types.StructField("datetime", spark_type(INSTANT)),
        *(types.StructField(name, spark_type(HISTOGRAM if name == HIST else pa.float64())) for name in names),
    ]
    sent = sorted_pairs(read, scenes, kept, parts).mapInArrow(
        errand("sent_series", call=read.words(), parts=parts), types.StructType(fields)
    )
    made = [*zones.schema.fields, *(types.StructField(name, spark_type(kind)) for name, kind in results)]
    return sent.repartitionById(parts, "part").mapInArrow(
        errand("zonal_series", call=read.words(), series=text, zones=zones.columns), types.StructType(made)
    )
