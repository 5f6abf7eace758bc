"""Plans read_mosaic over a DataFrame of scenes: executors find those that are near, and make one period at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import shapely
from sqlglot import exp

from rasteret_sql.errors import InvalidGeometryError
from rasteret_sql.functions.calls.mosaics import length_of, method_of, order_terms
from rasteret_sql.functions.calls.relation_sql import named_error
from rasteret_sql.geo.geometry import parse_geometry
from rasteret_sql.hosts.spark.errand import errand
from rasteret_sql.hosts.spark.frame_call import frame_call, partitions_of
from rasteret_sql.hosts.spark.pair_frames import INSTANT, scene_columns
from rasteret_sql.hosts.spark.spark_types import spark_type
from rasteret_sql.lazy import lazy_module
from rasteret_sql.result_types import COMPOSITE

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, types, window
    from pyspark.sql import functions as sql
else:
    sql = lazy_module("pyspark.sql.functions")
    types = lazy_module("pyspark.sql.types")
    window = lazy_module("pyspark.sql.window")


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
        method_of(call.given)
        every = call.given.get("every")
        if every is not None:
            length_of(every)
        shape = parse_geometry(geom)
        if shape is None:
            raise InvalidGeometryError("geom is None; expected a geometry")
        terms = order_terms(call.given.get("order_by"))
        parts = partitions_of(spark, partitions)
    text = shapely.to_wkb(shape, hex=True, include_srid=True)
    keys = {f"order{at}": sql.expr(term.this.sql("spark")) for at, term in enumerate(terms)}
    chosen = scene_columns(call, scenes, keys)
    fields = [*chosen.schema.fields, types.StructField("period", spark_type(INSTANT))]
    near = chosen.mapInArrow(errand("near_scenes", call=call.words(), geometry=text), types.StructType(fields))
    sides = [_in_order(sql.col(name), term) for name, term in zip(keys, terms, strict=True)]
    order = window.Window.partitionBy("period").orderBy(
        *sides, sql.col("scene.datetime").asc_nulls_last(), sql.col("scene.id")
    )
    numbered = near.withColumn("at", sql.row_number().over(order))
    listed = sql.sort_array(sql.collect_list(sql.struct("at", "scene.id", "scene.collection")))
    of_periods = numbered.groupBy("period").agg(listed.alias("scenes"))
    all_periods = of_periods.agg(sql.sort_array(sql.collect_list(sql.struct("period", "scenes"))).alias("all"))
    asked = all_periods.where("size(all) > 0").select(
        "all", sql.explode(sql.expr("sequence(0, size(all) - 1)")).alias("at")
    )
    results = [types.StructField("period", spark_type(INSTANT))]
    results += [types.StructField(field.name, spark_type(field.type)) for field in COMPOSITE]
    made = errand("read_mosaic", call=call.words(), geometry=text)
    return asked.repartition(parts, "at").mapInArrow(made, types.StructType(results))


def _in_order(column: Column, term: exp.Ordered) -> Column:
    """A term of an order. Where it does not say where NULL is, that is last as in DuckDB; Spark would have it first."""
    direction = "desc" if term.args.get("desc") else "asc"
    place = "first" if term.args.get("nulls_first") else "last"
    found: Column = getattr(column, f"{direction}_nulls_{place}")()
    return found
