-- Scenes of a STAC API or a static STAC catalog: builds the index, or reuses the cached one.
CREATE OR REPLACE MACRO rasteret_build_from_stac(
  name, stac_api, collection := NULL, bbox := NULL, date_range := NULL, query := NULL, band_map := NULL,
  band_index_map := NULL, data_source := NULL, force := NULL, max_concurrent := NULL, workspace_dir := NULL,
  static_catalog := NULL, cloud_config := NULL, backend := NULL, headers := NULL
) AS TABLE
  SELECT *
  FROM query(__rasteret_build_from_stac(CAST(json_object(
    'name', name, 'stac_api', stac_api, 'collection', collection, 'bbox', bbox, 'date_range', date_range,
    'query', query, 'band_map', band_map, 'band_index_map', band_index_map, 'data_source', data_source,
    'force', force, 'max_concurrent', max_concurrent, 'workspace_dir', workspace_dir,
    'static_catalog', static_catalog, 'cloud_config', cloud_config, 'backend', backend, 'headers', headers
  ) AS VARCHAR), epoch_us(now())))
  -- a forced build is done once a statement: this tells when a statement was carried out, not just planned
  WHERE CASE WHEN coalesce(TRY_CAST(force AS BOOLEAN), false) THEN __rasteret_executed(id) ELSE true END;
