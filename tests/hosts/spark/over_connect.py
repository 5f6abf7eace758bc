"""Calls functions through Spark Connect, and prints what they give as JSON: `python over_connect.py WORKSPACE`.

A process of its own, since a session of Spark Connect and one of the driver do not go together.
"""

from __future__ import annotations

import json
import sys
import warnings

import pyarrow as pa

from rasteret_sql.hosts import spark as host

AREA = "POLYGON ((-74.6 40.6, -74.5 40.6, -74.5 40.7, -74.6 40.7, -74.6 40.6))"
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "4",
}


def answers(workspace):
    """Name → rows of a call."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.remote("local[2]")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    host.register(spark, workspace_dir=workspace, collections=["year"])
    scenes = host.scenes(spark, "year")
    scenes.createOrReplaceTempView("year")
    zones = spark.createDataFrame(pa.table({"zone": [1], "geometry": [AREA]}))
    scalar = f"SELECT id, zonal_stat(id, 'blue', '{AREA}', 'mean', mask => 'red > 9000') FROM year"
    calls = {
        "zonal_stat": lambda: spark.sql(scalar),
        "zonal_stats_table": lambda: host.zonal_stats_table(scenes, zones, "blue", stats=["count", "mean"]).drop(
            "datetime"
        ),
        "zonal_series": lambda: host.zonal_series(scenes, zones, "blue").select("zone", "scenes", "count", "value"),
        "read_mosaics": lambda: host.read_mosaics(scenes, zones, "blue").select("zone", "scenes", "chip.width"),
        "read_pixels": lambda: host.read_pixels(scenes, "blue", AREA).groupBy().count(),
        "unknown band": lambda: host.zonal_stats_table(scenes, zones, "bleu"),
    }
    for name, call in calls.items():
        try:
            yield name, [list(row) for row in call().collect()]
        except Exception as error:
            yield name, str(error)
    spark.stop()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(dict(answers(sys.argv[1])), default=str))
