-- Scenes of a registered dataset: builds the index, or reuses the cached one.
CREATE OR REPLACE MACRO rasteret_build(
  dataset, name := NULL, bbox := NULL, date_range := NULL, query := NULL, force := NULL,
  max_concurrent := NULL, workspace_dir := NULL, prefer_geoparquet := NULL, stac_api := NULL,
  cloud_config := NULL, backend := NULL, headers := NULL
) AS TABLE
  SELECT *
  FROM query(__rasteret_build(CAST(json_object(
    'dataset', dataset, 'name', name, 'bbox', bbox, 'date_range', date_range, 'query', query, 'force', force,
    'max_concurrent', max_concurrent, 'workspace_dir', workspace_dir, 'prefer_geoparquet', prefer_geoparquet,
    'stac_api', stac_api, 'cloud_config', cloud_config, 'backend', backend, 'headers', headers
  ) AS VARCHAR), epoch_us(now())))
  -- a forced build is done once a statement: this tells when a statement was carried out, not just planned
  WHERE CASE WHEN coalesce(TRY_CAST(force AS BOOLEAN), false) THEN __rasteret_executed(id) ELSE true END;
