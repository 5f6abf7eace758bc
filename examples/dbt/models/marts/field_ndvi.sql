-- Vegetation of each field on each scene, without clouds. A later run reads the scenes that were not measured yet,
-- whatever their day: catalogs also publish old scenes late.
{{ config(materialized='incremental', unique_key=['scene_id', 'field']) }}

WITH scenes AS (
  SELECT id, datetime
  FROM {{ ref('stg_scenes') }}
  {% if is_incremental() %}
  WHERE id NOT IN (SELECT scene_id FROM {{ this }})
  {% endif %}
),

fields AS (
  SELECT field, crop, wkt FROM {{ ref('fields') }}
)

SELECT scene_id, datetime, field, crop, mean AS ndvi, count AS pixels
FROM zonal_stats_table(scenes, fields, 'ndvi', stats := ['mean', 'count'], mask := 'clm = 1')
