-- Collections that are open in this session or cached in its workspace.
CREATE OR REPLACE MACRO rasteret_collections(workspace_dir := NULL, backend := NULL) AS TABLE
  SELECT unnest(__rasteret_collections(CAST(workspace_dir AS VARCHAR), CAST(backend AS VARCHAR)), recursive := true);
