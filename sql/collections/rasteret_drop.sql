-- Removes a cached collection with its files.
CREATE OR REPLACE MACRO rasteret_drop(name, workspace_dir := NULL, backend := NULL) AS TABLE
  SELECT unnest(__rasteret_drop(CAST(json_object(
    'name', name, 'workspace_dir', workspace_dir, 'backend', backend
  ) AS VARCHAR)), recursive := true);
