"""Plans read_pixels over a DataFrame of scenes: each scene is read by one executor, block by block."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import shapely

from rasteret_sql.errors import InvalidGeometryError
from rasteret_sql.functions.calls.relation_sql import named_error
from rasteret_sql.geo.geometry import parse_geometry
from rasteret_sql.hosts.spark.errand import errand
from rasteret_sql.hosts.spark.frame_call import FrameCall, frame_call, partitions_of
from rasteret_sql.hosts.spark.pair_frames import INSTANT, scene_columns
from rasteret_sql.hosts.spark.spark_types import spark_type
from rasteret_sql.lazy import lazy_module
from rasteret_sql.reading.options import Whole

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, types
else:
    types = lazy_module("pyspark.sql.types")

_PLACES = (("row", pa.int64()), ("col", pa.int64()), ("x", pa.float64()), ("y", pa.float64()))


def read_pixels(
    scenes: DataFrame, band: Any, geom: Any = Whole.IMAGE, *, partitions: int | None = None, **named: Any
) -> DataFrame:
    """A row for each pixel of a geometry on each scene, as the SQL function of this name gives them.

    Conditions behind it are tested when pixels were read: ask for a small geometry, or for few scenes.

    Args:
        scenes: As in `zonal_stats_table`.
        band: As in `zonal_stats_table`.
        geom: As in `read_mosaic`; not given: all pixels of the scenes.
        partitions: As in `zonal_stats_table`.
        named: Named arguments of the SQL function.

    Returns:
        scene_id, datetime, row, col, x, y, a column for each band.

    Raises:
        InvalidArgumentError: an argument cannot be used.
    """
    call = frame_call(scenes.sparkSession, "read_pixels", band, named)
    names = tuple(str(one) for one in call.relation({}).bands)
    call = replace(call, after=names)
    with named_error(call.function):
        text = geometry_text(geom)
        parts = partitions_of(scenes.sparkSession, partitions)
    fields = [
        types.StructField("scene_id", spark_type(pa.string())),
        types.StructField("datetime", spark_type(INSTANT)),
        *(types.StructField(name, spark_type(kind)) for name, kind in _PLACES),
        *(types.StructField(name, spark_type(pa.float64())) for name in names),
    ]
    made = errand("read_pixels", call=call.words(), geometry=text)
    return dealt_scenes(call, scenes, parts).mapInArrow(made, types.StructType(fields))


def dealt_scenes(call: FrameCall, scenes: DataFrame, parts: int) -> DataFrame:
    """The scenes, dealt out to partitions in turn: the column scene."""
    chosen = scene_columns(call, scenes)
    fields = [*chosen.schema.fields, types.StructField("part", types.IntegerType())]
    dealt = chosen.mapInArrow(errand("dealt_scenes", parts=parts), types.StructType(fields))
    return dealt.repartitionById(parts, "part").select("scene")


def geometry_text(geom: Any) -> str:
    """A geometry as it may lie in a plan; the text of a whole image as it is.

    Raises:
        InvalidGeometryError: it is none.
    """
    if geom is Whole.IMAGE or geom == Whole.IMAGE.value:
        return Whole.IMAGE.value
    shape = parse_geometry(geom)
    if shape is None:
        raise InvalidGeometryError("geom is None; expected a geometry")
    return str(shapely.to_wkb(shape, hex=True, include_srid=True))
