"""Plans rasteret_explain_table over DataFrames: executors plan what they would read, and count it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.calls.explain_table import FUNCTION, require_fitting
from rasteret_sql.functions.calls.relation_sql import named_error
from rasteret_sql.functions.calls.relations import explained_call
from rasteret_sql.functions.explain_table import EXPLAINED
from rasteret_sql.hosts.spark.errand import errand
from rasteret_sql.hosts.spark.frame_call import frame_call, geometry_columns, partitions_of
from rasteret_sql.hosts.spark.mosaic_frames import periods_of_scenes
from rasteret_sql.hosts.spark.pair_frames import INSTANT, sorted_pairs
from rasteret_sql.hosts.spark.pixel_frames import dealt_scenes, geometry_text
from rasteret_sql.hosts.spark.spark_types import spark_type
from rasteret_sql.lazy import lazy_module
from rasteret_sql.reading.options import Whole, require

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, types
    from pyspark.sql import functions as sql
else:
    sql = lazy_module("pyspark.sql.functions")
    types = lazy_module("pyspark.sql.types")

_COUNTS = ("tiles", "requests", "bytes")


def rasteret_explain_table(
    scenes: DataFrame,
    zones: DataFrame | None,
    band: Any,
    *,
    geom: Any = Whole.IMAGE,
    partitions: int | None = None,
    **named: Any,
) -> DataFrame:
    """Say what a call over DataFrames takes, before it is made, as the SQL function of this name does.

    Partitions do not know of each other: a tile that scenes of several of them share counts for each.

    Args:
        scenes: As in the call.
        zones: Zones or points of the call; None for read_pixels and read_mosaic.
        band: As in the call.
        geom: The geometry of read_pixels and read_mosaic.
        partitions: As in the call.
        named: Named arguments of the SQL function: `call='sample_points'`, and those of the call.

    Returns:
        scene_id, datetime, band, pairs, tiles, requests, bytes; of read_mosaic period, scenes, chips and the last
        three.

    Raises:
        InvalidArgumentError: an argument cannot be used, or the call is read_mosaics, whose periods no process sees.
    """
    spark = scenes.sparkSession
    call = frame_call(spark, FUNCTION, band, named)
    with named_error(FUNCTION):
        what = explained_call(call.given)
        require(what in EXPLAINED, "call", what, " or ".join(f"'{name}'" for name in EXPLAINED))
        if what == "read_mosaics":
            raise InvalidArgumentError(
                "call := 'read_mosaics' is not explained over DataFrames, since no process sees all zones of a period; "
                "DuckDB explains it"
            )
        text = geometry_text(geom)
        given = {"wkb": None, "text": text}
        require_fitting(what, None if zones is None else "zones", given, call.given)
        parts = partitions_of(spark, partitions)
    if what == "read_mosaic":
        made = errand("explain_mosaic", call=call.words(), geometry=text)
        fields = _fields({"period": INSTANT}, ("scenes", "chips", *_COUNTS))
        return periods_of_scenes(call, scenes, text).where("size(all) > 0").mapInArrow(made, fields)
    keys = {"scene_id": pa.string(), "datetime": INSTANT, "band": pa.string()}
    fields = _fields(keys, ("pairs", *_COUNTS))
    if what == "read_pixels":
        made = errand("explain_pixels", call=call.words(), geometry=text)
        return dealt_scenes(call, scenes, parts).mapInArrow(made, fields)
    assert zones is not None
    with named_error(FUNCTION):
        columns = geometry_columns(zones, "zones", call.given.get("geom_column"), points=what == "sample_points")
    call = replace(call, geometry=columns)
    made = errand("explain_pairs", call=call.words())
    found = sorted_pairs(call, scenes, zones, parts).mapInArrow(made, fields)
    # The pairs of a scene may come in several chunks.
    totals = [sql.sum(name).alias(name) for name in ("pairs", *_COUNTS)]
    return found.groupBy(*keys).agg(*totals)


def _fields(keys: dict[str, pa.DataType], counts: tuple[str, ...]) -> types.StructType:
    kinds = {**keys, **dict.fromkeys(counts, pa.int64())}
    return types.StructType([types.StructField(name, spark_type(kind)) for name, kind in kinds.items()])
