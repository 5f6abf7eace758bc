-- Vegetation of one field, a row for each cloudless scene. A later run reads the pixels of newer scenes only.
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

SELECT id, datetime, ndvi.mean AS ndvi, ndvi.count AS pixels, cloud
FROM measured
WHERE cloud < 0.1
