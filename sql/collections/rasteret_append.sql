-- Scenes of the collection's source that it does not have yet; only their files are read.
CREATE OR REPLACE MACRO rasteret_append(
  name,
  bbox := NULL, date_range := NULL, query := NULL, stac_api := NULL, max_concurrent := NULL, workspace_dir := NULL,
  backend := NULL
) AS TABLE
  SELECT unnest(__rasteret_append(CAST(json_object(
    'name', name, 'bbox', bbox, 'date_range', date_range, 'query', query, 'stac_api', stac_api,
    'max_concurrent', max_concurrent, 'workspace_dir', workspace_dir, 'backend', backend
  ) AS VARCHAR)), recursive := true);
