-- Scenes of files that no catalog lists: builds the index, or reuses the cached one.
CREATE OR REPLACE MACRO rasteret_build_from_files(
  paths, name := NULL, datetime := NULL, id := NULL, bands := NULL, band_map := NULL, data_source := NULL,
  force := NULL, max_concurrent := NULL, workspace_dir := NULL, cloud_config := NULL, backend := NULL
) AS TABLE
  SELECT *
  FROM query(__rasteret_build_from_files(CAST(json_object(
    'paths', paths, 'name', name, 'datetime', datetime, 'id', id, 'bands', bands, 'band_map', band_map,
    'data_source', data_source, 'force', force, 'max_concurrent', max_concurrent, 'workspace_dir', workspace_dir,
    'cloud_config', cloud_config, 'backend', backend
  ) AS VARCHAR), epoch_us(now())))
  -- a forced build is done once a statement: this tells when a statement was carried out, not just planned
  WHERE CASE WHEN coalesce(TRY_CAST(force AS BOOLEAN), false) THEN __rasteret_executed(id) ELSE true END;
