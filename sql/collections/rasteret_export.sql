-- Write a collection as portable, partitioned GeoParquet.
CREATE OR REPLACE MACRO rasteret_export(name, path, backend := NULL) AS TABLE
  SELECT unnest(
    __rasteret_export(CAST(name AS VARCHAR), CAST(path AS VARCHAR), CAST(backend AS VARCHAR)), recursive := true
  );
