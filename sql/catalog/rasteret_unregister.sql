-- Forget a dataset.
CREATE OR REPLACE MACRO rasteret_unregister(id) AS TABLE
  SELECT unnest(__rasteret_unregister(CAST(json_object('id', CAST(id AS VARCHAR)) AS VARCHAR)), recursive := true);
