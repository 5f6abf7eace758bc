-- Vegetation of one field, a row for each scene: NULL where it is clouded. A later run reads the pixels of newer scenes
-- only. Clouded ones stay as rows, else each run would read those after the last clear one again.
{{ config(materialized='incremental', unique_key='id') }}

WITH scenes AS (
  SELECT id, datetime
  FROM {{ ref('stg_scenes') }}
  {% if is_incremental() %}
  WHERE datetime > (SELECT max(datetime) FROM {{ this }})
  {% endif %}
),

measured AS (
  SELECT
    id,
    datetime,
    zonal_stats(id, 'ndvi', '{{ var("field") }}', geom_crs := '{{ var("field_crs") }}') AS ndvi,
    zonal_stats(id, 'clm', '{{ var("field") }}', geom_crs := '{{ var("field_crs") }}').mean AS cloud
  FROM scenes
)

SELECT id, datetime, if(cloud < 0.1, ndvi.mean, NULL) AS ndvi, ndvi.count AS pixels, cloud
FROM measured
