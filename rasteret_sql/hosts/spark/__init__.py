"""Runs the functions on Apache Spark: as SQL functions of a session, and over DataFrames. Needs the extra `spark`.

A driver imports this package; executors import `executor`, which the errands of plans call.
"""

from __future__ import annotations

from rasteret_sql.hosts.spark.mosaic_frames import read_mosaic
from rasteret_sql.hosts.spark.pair_frames import read_chips, sample_points, zonal_stats_table
from rasteret_sql.hosts.spark.scalar_functions import register
from rasteret_sql.hosts.spark.scene_table import scenes

__all__ = ["read_chips", "read_mosaic", "register", "sample_points", "scenes", "zonal_stats_table"]
