-- Register a collection on this machine as a dataset.
CREATE OR REPLACE MACRO rasteret_register_local(
  id, path, name := NULL, description := NULL, data_source := NULL, persist := NULL
) AS TABLE
  SELECT unnest(__rasteret_register_local(CAST(json_object(
    'id', CAST(id AS VARCHAR), 'path', CAST(path AS VARCHAR), 'name', CAST(name AS VARCHAR),
    'description', CAST(description AS VARCHAR), 'data_source', CAST(data_source AS VARCHAR),
    'persist', CAST(persist AS BOOLEAN)
  ) AS VARCHAR)), recursive := true);
