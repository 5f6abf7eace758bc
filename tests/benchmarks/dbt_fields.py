"""Makes a dbt project of realistic size: fields and stations on all scenes of a catalog, incremental by datetime.

The scenes are the nine files of the world under other names, of 28 days. Models with many rows are incremental; a mart
is made anew from them in each run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.relations import EPSG, SCENES, octagons, scene_files
from tests.benchmarks.world import ORIGINS, PIXEL, SIZE, ensure_world
from tests.contract.scenes import item, write_items

STATIONS = 200

MODELS = {
    "sources.yml": """
sources:
  - name: collections
    database: rasteret
    schema: main
    config:
      meta:
        external_location: "rasteret_source('{identifier}', {rasteret})"
    tables:
      - name: region
        config:
          meta:
            rasteret: {stac_api: '{{ var("catalog") }}'}
        columns:
          - {name: id, data_tests: [unique, not_null]}
  - name: files
    config: {meta: {external_location: "{name}.parquet"}}
    tables: [{name: fields}, {name: stations}]
models:
  - {name: field_values, columns: [{name: scene_id, data_tests: [not_null]}, {name: mean, data_tests: [not_null]}]}
  - {name: station_values, columns: [{name: scene_id, data_tests: [not_null]}]}
  - {name: field_days, columns: [{name: field, data_tests: [not_null]}]}
""",
    "stg_scenes.sql": """
{{ config(materialized='ephemeral') }}
SELECT id, datetime FROM {{ source('collections', 'region') }}
""",
    "field_values.sql": """
{{ config(materialized='incremental', unique_key=['scene_id', 'field'], incremental_strategy='append') }}
WITH scenes AS (
  SELECT id, datetime FROM {{ ref('stg_scenes') }}
  {% if is_incremental() %} WHERE datetime > (SELECT max(datetime) FROM {{ this }}) {% endif %}
),
fields AS (FROM {{ source('files', 'fields') }})
SELECT scene_id, datetime, field, mean, count
FROM zonal_stats_table(scenes, fields, 'B04', stats := ['mean', 'count'], geom_crs := 32632)
""",
    "station_values.sql": """
{{ config(materialized='incremental', incremental_strategy='append') }}
WITH scenes AS (
  SELECT id, datetime FROM {{ ref('stg_scenes') }}
  {% if is_incremental() %} WHERE datetime > (SELECT max(datetime) FROM {{ this }}) {% endif %}
),
stations AS (FROM {{ source('files', 'stations') }})
SELECT scene_id, datetime, station, B04 AS value
FROM sample_points(scenes, stations, 'B04', geom_crs := 32632)
""",
    "field_days.sql": """
SELECT field, datetime::DATE AS day, avg(mean) AS mean, sum(count) AS pixels
FROM {{ ref('field_values') }} GROUP BY ALL
""",
}

PROJECT = """
name: fields
version: "1.0"
config-version: 2
profile: fields
flags: {send_anonymous_usage_stats: false}
models: {fields: {+materialized: table}}
vars: {catalog: ''}
"""
PROFILE = """
fields:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: fields.duckdb
      threads: 4
      plugins: [{module: rasteret_sql.hosts.dbt, alias: rasteret, config: {workspace_dir: workspace}}]
"""


def serve_scenes(folder: Path, scenes: int) -> str:
    """Put so many scenes into a folder that is served; the path of their catalog below it."""
    files = scene_files(ensure_world(), SCENES)
    for n in range(scenes):
        (folder / f"s{n}.tif").symlink_to(files[n % len(files)])
    write_items(folder / "items.json", [item(f"s{n}", day=1 + n % 28, B04=f"s{n}.tif") for n in range(scenes)])
    return "items.json"


def make_project(folder: Path, fields: int) -> Path:
    """Write the project, with files of so many fields and of stations."""
    (folder / "models").mkdir(parents=True)
    for name, text in MODELS.items():
        (folder / "models" / name).write_text(text.lstrip())
    (folder / "dbt_project.yml").write_text(PROJECT.lstrip())
    (folder / "profiles.yml").write_text(PROFILE.lstrip())
    zones = pa.table({"field": range(fields), "geometry": [zone.wkt for zone in octagons(fields)]})
    pq.write_table(zones, folder / "fields.parquet")
    west, north = ORIGINS[EPSG]
    places = np.random.default_rng(7).uniform(0, SIZE * PIXEL, (STATIONS, 2)) * (1, -1) + (west, north)
    points = pa.table({"station": range(STATIONS), "x": places[:, 0], "y": places[:, 1]})
    pq.write_table(points, folder / "stations.parquet")
    return folder
