-- The collection's sources asked again: changed scenes are read again, new ones added, gone ones marked.
CREATE OR REPLACE MACRO rasteret_refresh(
  name, stac_api := NULL, max_concurrent := NULL, workspace_dir := NULL, backend := NULL
) AS TABLE
  SELECT unnest(__rasteret_refresh(CAST(json_object(
    'name', name, 'stac_api', stac_api, 'max_concurrent', max_concurrent, 'workspace_dir', workspace_dir,
    'backend', backend
  ) AS VARCHAR)), recursive := true);
