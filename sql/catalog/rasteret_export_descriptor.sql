-- Write a dataset's descriptor to a JSON file.
CREATE OR REPLACE MACRO rasteret_export_descriptor(id, path) AS TABLE
  SELECT unnest(__rasteret_export_descriptor(CAST(json_object(
    'id', CAST(id AS VARCHAR), 'path', CAST(path AS VARCHAR)
  ) AS VARCHAR)), recursive := true);
