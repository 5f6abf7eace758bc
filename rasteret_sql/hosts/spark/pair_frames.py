"""Plans the calls over a DataFrame of scenes and one of zones or points.

Executors find where the image of each scene lies, and pack zones or points that are neighbours into parcels. A join by
cells of the globe gives the parcels whose boxes meet a scene. They are sorted by scene, and each scene is in one
partition: so its tiles are read once. Scenes are dealt out to partitions in turn, so that all have as many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.relation_sql import named_error
from rasteret_sql.functions.calls.relations import HIST, asked_statistics
from rasteret_sql.geo.lonlat_cells import MEETING
from rasteret_sql.hosts.spark.errand import errand
from rasteret_sql.hosts.spark.frame_call import (
    FrameCall,
    frame_call,
    geometry_columns,
    partitions_of,
    require_new_names,
)
from rasteret_sql.hosts.spark.parcels import PARCEL, PLACE, ROWS
from rasteret_sql.hosts.spark.spark_types import spark_type
from rasteret_sql.lazy import lazy_module
from rasteret_sql.result_types import CHIP, HISTOGRAM

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, types
    from pyspark.sql import functions as sql
else:
    sql = lazy_module("pyspark.sql.functions")
    types = lazy_module("pyspark.sql.types")

INSTANT = pa.timestamp("us", "UTC")


def zonal_stats_table(
    scenes: DataFrame, zones: DataFrame, band: Any, *, partitions: int | None = None, **named: Any
) -> DataFrame:
    """Statistics of the pixels of each scene and zone that meet, as the SQL function of this name gives them.

    Nothing is read before the DataFrame is used.

    Args:
        scenes: With a column `id`, and `collection` where scenes of several collections are meant; as `scenes` gives.
        zones: With a column of polygons: WKB, WKT, GeoJSON, GEOMETRY or Sedona's.
        band: Name, expression, number from 1, a list of these, or a dict that names them.
        partitions: Parts in which scenes are read; by default as Spark's shuffles, at most four for each core.
        named: Named arguments of the SQL function: `stats=['mean'], mask='SCL = 3', geom_crs='EPSG:32632'`.

    Returns:
        scene_id, datetime, band, the columns of zones, a column for each statistic.

    Raises:
        InvalidArgumentError: an argument cannot be used.
    """
    call = frame_call(scenes.sparkSession, "zonal_stats_table", band, named)
    names = asked_statistics(call.given)
    results = [(name, HISTOGRAM if name == HIST else pa.float64()) for name in names]
    return _of_pairs(call, scenes, zones, "zones", ["band"], results, partitions)


def sample_points(
    scenes: DataFrame, points: DataFrame, band: Any, *, partitions: int | None = None, **named: Any
) -> DataFrame:
    """Values of the pixels at points, for each scene and point that meet, as the SQL function of this name gives them.

    Args:
        scenes: As in `zonal_stats_table`.
        points: With a column of points in any form, or two columns lon and lat, or x and y.
        band: As in `zonal_stats_table`.
        partitions: As in `zonal_stats_table`.
        named: Named arguments of the SQL function.

    Returns:
        scene_id, datetime, the columns of points, a column for each band.
    """
    call = frame_call(scenes.sparkSession, "sample_points", band, named)
    results = [(str(one), pa.float64()) for one in call.relation({}).bands]
    return _of_pairs(call, scenes, points, "points", [], results, partitions)


def read_chips(
    scenes: DataFrame, zones: DataFrame, band: Any, *, partitions: int | None = None, **named: Any
) -> DataFrame:
    """Pixels of each scene and zone that meet, as the SQL function of this name gives them.

    Args:
        scenes: As in `zonal_stats_table`.
        zones: With a column of geometries in any form.
        band: As in `zonal_stats_table`.
        partitions: As in `zonal_stats_table`.
        named: Named arguments of the SQL function.

    Returns:
        scene_id, datetime, the columns of zones, chip.
    """
    call = frame_call(scenes.sparkSession, "read_chips", band, named)
    return _of_pairs(call, scenes, zones, "zones", [], [("chip", CHIP)], partitions)


def _of_pairs(  # noqa: PLR0917 - of one call
    call: FrameCall,
    scenes: DataFrame,
    others: DataFrame,
    what: str,
    before: list[str],
    results: list[tuple[str, pa.DataType]],
    partitions: int | None,
) -> DataFrame:
    """The rows of a call.

    Args:
        call: What is asked for.
        scenes: A row each.
        others: Zones or points.
        what: What these are called.
        before: Names of texts before their columns.
        results: Names and types of the values behind them.
        partitions: As the user says.
    """
    with named_error(call.function):
        columns = geometry_columns(others, what, call.given.get("geom_column"), points=call.function == "sample_points")
        parts = partitions_of(scenes.sparkSession, partitions)
    shown = ("scene_id", "datetime", *before)
    call = replace(call, geometry=columns, before=shown, after=tuple(name for name, _ in results))
    require_new_names(call, others, what)
    texts = [types.StructField(name, spark_type(pa.string())) for name in before]
    values = [types.StructField(name, spark_type(kind)) for name, kind in results]
    fields: list[types.StructField] = [
        types.StructField("scene_id", spark_type(pa.string())),
        types.StructField("datetime", spark_type(INSTANT)),
        *texts,
        *others.schema.fields,
        *values,
    ]
    return sorted_pairs(call, scenes, others, parts).mapInArrow(
        errand("read_pairs", call=call.words()), types.StructType(fields)
    )


def sorted_pairs(call: FrameCall, scenes: DataFrame, others: DataFrame, parts: int) -> DataFrame:
    """The scenes and parcels that may meet, as `read_pairs` takes them: columns scene and parcel.

    Each scene is in one partition, and partitions have as many scenes as others.
    """
    pairs = pairs_of(_placed_scenes(call, scenes, parts), parcels_of(call, others))
    order = ["scene.collection", "scene.id", "place.south", "place.west", "place.north", "place.east"]
    return pairs.repartitionById(parts, "part").sortWithinPartitions(*order).select("scene", "parcel")


def _placed_scenes(call: FrameCall, scenes: DataFrame, parts: int) -> DataFrame:
    """The scenes, with the places of their images and the partitions that read them: columns scene, place and part."""
    return placed_scenes(call, scene_columns(call, scenes), parts)


def placed_scenes(call: FrameCall, chosen: DataFrame, parts: int) -> DataFrame:
    """The same of columns that `scene_columns` gives; others stay."""
    place = types.StructField("place", spark_type(PLACE))
    fields = [*chosen.schema.fields, types.StructField("part", types.IntegerType()), place]
    return chosen.mapInArrow(errand("placed_scenes", call=call.words(), parts=parts), types.StructType(fields))


def scene_columns(call: FrameCall, scenes: DataFrame, more: Mapping[str, Column] | None = None) -> DataFrame:
    """The columns of scenes that a read uses: the column scene, and `more`.

    Raises:
        InvalidArgumentError: there is no column of ids.
    """
    names = {name.casefold(): name for name in scenes.columns}
    if "id" not in names:
        raise InvalidArgumentError(
            f"{call.function}: scenes have no column id; they are a DataFrame with their ids, such as "
            "scenes(spark, name) gives. withColumnRenamed(..., 'id') where the column has another name"
        )
    nothing = sql.lit(None).cast("string")
    collection = sql.col(quoted(names["collection"])).cast("string") if "collection" in names else nothing
    at = _instant(scenes, names["datetime"]) if "datetime" in names else sql.lit(None).cast("timestamp")
    scene = sql.struct(
        sql.col(quoted(names["id"])).cast("string").alias("id"),
        collection.alias("collection"),
        at.alias("datetime"),
    )
    return scenes.select(scene.alias("scene"), *(column.alias(name) for name, column in (more or {}).items()))


def _instant(scenes: DataFrame, name: str) -> Column:
    """A time as an instant: one without a zone is UTC."""
    if scenes.schema[name].dataType.typeName() != "timestamp_ntz":
        return sql.col(quoted(name)).cast("timestamp")
    begin = "timestampdiff(MICROSECOND, timestamp_ntz'1970-01-01 00:00:00', {0})"
    return sql.expr(f"timestampadd(MICROSECOND, {begin}, timestamp_ltz'1970-01-01 00:00:00Z')".format(quoted(name)))


def parcels_of(call: FrameCall, others: DataFrame, rows: int = ROWS) -> DataFrame:
    """The rows of zones or points as parcels of so many rows at most: columns parcel and place."""
    fields = [types.StructField("parcel", spark_type(PARCEL)), types.StructField("place", spark_type(PLACE))]
    return others.mapInArrow(errand("parcels", call=call.words(), most_rows=rows), types.StructType(fields))


def pairs_of(scenes: DataFrame, parcels: DataFrame) -> DataFrame:
    """The scenes and parcels whose boxes meet: columns of scenes but for their place, parcel and its place."""
    names = [name for name in scenes.columns if name != "place"]
    ours = scenes.select(*names, sql.col("place").alias("image"), sql.explode("place.cells").alias("cell"))
    theirs = parcels.withColumn("cell", sql.explode("place.cells"))
    return ours.join(theirs, "cell").where(MEETING).drop("cell", "image")


def quoted(name: str) -> str:
    """A name as an identifier of Spark's SQL: bay as `bay`."""
    return "`" + name.replace("`", "``") + "`"
