-- Scenes of the rows of a table: builds the index, or reuses the cached one.
CREATE OR REPLACE MACRO rasteret_build_from_table(
  uri, name := NULL, column_map := NULL, href_column := NULL, band_index_map := NULL, bbox_columns := NULL,
  filter_expr := NULL, bbox := NULL, date_range := NULL, enrich_cog := NULL, data_source := NULL,
  band_map := NULL, band_codes := NULL, columns := NULL, url_rewrite_patterns := NULL, force := NULL,
  max_concurrent := NULL, workspace_dir := NULL, cloud_config := NULL, backend := NULL
) AS TABLE
  SELECT *
  FROM query(__rasteret_build_from_table(CAST(json_object(
    'uri', uri, 'name', name, 'column_map', column_map, 'href_column', href_column,
    'band_index_map', band_index_map, 'bbox_columns', bbox_columns, 'filter_expr', filter_expr, 'bbox', bbox,
    'date_range', date_range, 'enrich_cog', enrich_cog, 'data_source', data_source, 'band_map', band_map,
    'band_codes', band_codes, 'columns', columns, 'url_rewrite_patterns', url_rewrite_patterns, 'force', force,
    'max_concurrent', max_concurrent, 'workspace_dir', workspace_dir, 'cloud_config', cloud_config,
    'backend', backend
  ) AS VARCHAR), epoch_us(now())))
  -- a forced build is done once a statement: this tells when a statement was carried out, not just planned
  WHERE CASE WHEN coalesce(TRY_CAST(force AS BOOLEAN), false) THEN __rasteret_executed(id) ELSE true END;
