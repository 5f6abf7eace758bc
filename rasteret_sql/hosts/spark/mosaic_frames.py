"""Plans composites over a DataFrame of scenes.

read_mosaic: executors find the scenes that are near, and make one period at a time. read_mosaics: a join by cells gives
the scenes of parcels of zones, and an executor makes all composites of a parcel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from rasteret_sql.errors import InvalidGeometryError
from rasteret_sql.functions.calls.mosaics import length_of, method_of, order_terms
from rasteret_sql.functions.calls.relation_sql import named_error
from rasteret_sql.hosts.spark.errand import errand
from rasteret_sql.hosts.spark.frame_call import (
    FrameCall,
    frame_call,
    geometry_columns,
    partitions_of,
    require_new_names,
)
from rasteret_sql.hosts.spark.pair_frames import INSTANT, pairs_of, parcels_of, placed_scenes, scene_columns
from rasteret_sql.hosts.spark.pixel_frames import geometry_text
from rasteret_sql.hosts.spark.spark_types import spark_type
from rasteret_sql.lazy import lazy_module
from rasteret_sql.reading.options import Whole
from rasteret_sql.result_types import COMPOSITE

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, types, window
    from pyspark.sql import functions as sql
else:
    sql = lazy_module("pyspark.sql.functions")
    types = lazy_module("pyspark.sql.types")
    window = lazy_module("pyspark.sql.window")

_ZONES_TOGETHER = 64
"""Zones of a parcel: one executor makes all their composites."""


def read_mosaic(scenes: DataFrame, band: Any, geom: Any, *, partitions: int | None = None, **named: Any) -> DataFrame:
    """One image of scenes over a geometry, or one for each period, as the SQL function of this name gives them.

    A period is made by one executor, and all are on one grid.

    Args:
        scenes: With a column `id`; as `zonal_stats_table` takes them.
        band: Name, expression, number from 1, a list of these, or a dict that names them.
        geom: A geometry: WKT, WKB, GeoJSON, (xmin, ymin, xmax, ymax) as a dict, or one of shapely.
        partitions: Parts in which periods are made.
        named: Named arguments of the SQL function: `method='median', every='month', mask='clouds'`. `order_by` is over
            columns of scenes.

    Returns:
        period, scenes (how many), chip.

    Raises:
        InvalidArgumentError: an argument cannot be used.
    """
    spark = scenes.sparkSession
    call = frame_call(spark, "read_mosaic", band, named)
    with named_error("read_mosaic"):
        _check(call)
        text = geometry_text(geom)
        if text == Whole.IMAGE.value:
            raise InvalidGeometryError("geom is missing; expected the geometry of the composites")
        parts = partitions_of(spark, partitions)
    all_periods = periods_of_scenes(call, scenes, text)
    asked = all_periods.where("size(all) > 0").select(
        "all", sql.explode(sql.expr("sequence(0, size(all) - 1)")).alias("at")
    )
    results = [types.StructField("period", spark_type(INSTANT))]
    results += [types.StructField(field.name, spark_type(field.type)) for field in COMPOSITE]
    made = errand("read_mosaic", call=call.words(), geometry=text)
    return asked.repartition(parts, "at").mapInArrow(made, types.StructType(results))


def read_mosaics(
    scenes: DataFrame, zones: DataFrame, band: Any, *, partitions: int | None = None, **named: Any
) -> DataFrame:
    """One image of scenes over each zone, or one for each zone and period, as the SQL function of this name gives them.

    Neighbouring zones, up to 64 of them, are made by one executor, with all their periods.

    Args:
        scenes: As in `read_mosaic`.
        zones: With a column of geometries in any form.
        band: As in `read_mosaic`.
        partitions: Parts in which zones are made.
        named: As in `read_mosaic`.

    Returns:
        The columns of zones, period, scenes (how many), chip.

    Raises:
        InvalidArgumentError: an argument cannot be used.
    """
    spark = scenes.sparkSession
    call = frame_call(spark, "read_mosaics", band, named)
    with named_error("read_mosaics"):
        _check(call)
        columns = geometry_columns(zones, "zones", call.given.get("geom_column"), points=False)
        parts = partitions_of(spark, partitions)
    results = [("period", INSTANT), *((field.name, field.type) for field in COMPOSITE)]
    call = replace(call, geometry=columns, after=tuple(name for name, _ in results))
    require_new_names(call, zones, "zones")
    keys, order = _order_of(call)
    chosen = scene_columns(call, scenes, keys)
    period = types.StructField("period", spark_type(INSTANT))
    dated = chosen.mapInArrow(
        errand("scene_periods", call=call.words()), types.StructType([*chosen.schema.fields, period])
    )
    # A number for each: parcels of equal rows are different ones.
    numbered = parcels_of(call, zones, _ZONES_TOGETHER).withColumn("number", sql.monotonically_increasing_id())
    pairs = pairs_of(placed_scenes(call, dated, parts), numbered).repartition(parts, "number")
    of_parcel = window.Window.partitionBy("number").orderBy("period", *order)
    placed = pairs.withColumn("at", sql.row_number().over(of_parcel))
    listed = sql.sort_array(sql.collect_list(sql.struct("at", "period", "scene.id", "scene.collection")))
    asked = placed.groupBy("number").agg(sql.first("parcel").alias("parcel"), listed.alias("scenes"))
    fields = [*zones.schema.fields, *(types.StructField(name, spark_type(kind)) for name, kind in results)]
    return asked.mapInArrow(errand("read_mosaics", call=call.words()), types.StructType(fields))


def _check(call: FrameCall) -> None:
    """Raise where the arguments of composites cannot be used."""
    method_of(call.given)
    every = call.given.get("every")
    if every is not None:
        length_of(every)
    order_terms(call.given.get("order_by"))


def _order_of(call: FrameCall) -> tuple[dict[str, Column], list[Column]]:
    """Columns of scenes by which they are sorted, and the order over these, over time and ids."""
    terms = order_terms(call.given.get("order_by"))
    keys = {f"order{at}": sql.expr(term.this.sql("spark")) for at, term in enumerate(terms)}
    sides = [_in_order(sql.col(name), term) for name, term in zip(keys, terms, strict=True)]
    return keys, [*sides, sql.col("scene.datetime").asc_nulls_last(), sql.col("scene.id")]


def periods_of_scenes(call: FrameCall, scenes: DataFrame, geometry: str) -> DataFrame:
    """One row with the column `all`: the scenes near a geometry in their order, period by period."""
    keys, order = _order_of(call)
    chosen = scene_columns(call, scenes, keys)
    fields = [*chosen.schema.fields, types.StructField("period", spark_type(INSTANT))]
    near = chosen.mapInArrow(errand("near_scenes", call=call.words(), geometry=geometry), types.StructType(fields))
    numbered = near.withColumn("at", sql.row_number().over(window.Window.partitionBy("period").orderBy(*order)))
    listed = sql.sort_array(sql.collect_list(sql.struct("at", "scene.id", "scene.collection")))
    of_periods = numbered.groupBy("period").agg(listed.alias("scenes"))
    return of_periods.agg(sql.sort_array(sql.collect_list(sql.struct("period", "scenes"))).alias("all"))


def _in_order(column: Column, term: exp.Ordered) -> Column:
    """A term of an order. Where it does not say where NULL is, that is last as in DuckDB; Spark would have it first."""
    direction = "desc" if term.args.get("desc") else "asc"
    place = "first" if term.args.get("nulls_first") else "last"
    found: Column = getattr(column, f"{direction}_nulls_{place}")()
    return found
