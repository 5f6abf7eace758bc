"""Runs the functions on Apache Spark: as SQL functions of a session, and over DataFrames. Needs the extra `spark`.

A driver imports this package; executors import `executor`, which the errands of plans call.
"""

from __future__ import annotations

from rasteret_sql.hosts.spark.explain_frames import rasteret_explain_table
from rasteret_sql.hosts.spark.mosaic_frames import read_mosaic, read_mosaics
from rasteret_sql.hosts.spark.pair_frames import read_chips, sample_points, zonal_stats_table
from rasteret_sql.hosts.spark.pixel_frames import read_pixels
from rasteret_sql.hosts.spark.scalar_functions import register
from rasteret_sql.hosts.spark.scene_table import scenes
from rasteret_sql.hosts.spark.series_frames import zonal_series

__all__ = [
    "rasteret_explain_table",
    "read_chips",
    "read_mosaic",
    "read_mosaics",
    "read_pixels",
    "register",
    "sample_points",
    "scenes",
    "zonal_series",
    "zonal_stats_table",
]
