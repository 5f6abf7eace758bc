-- Register a dataset in this process.
CREATE OR REPLACE MACRO rasteret_register(descriptor) AS TABLE
  SELECT unnest(__rasteret_register(CAST(json_object('descriptor', descriptor) AS VARCHAR)), recursive := true);
