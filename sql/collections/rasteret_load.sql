-- Scenes of an index on disk: a directory or Parquet file made by rasteret_export, a build, or rasteret.
CREATE OR REPLACE MACRO rasteret_load(path, name := NULL, backend := NULL) AS TABLE
  SELECT *
  FROM query(__rasteret_load(CAST(json_object('path', path, 'name', name, 'backend', backend) AS VARCHAR)));
