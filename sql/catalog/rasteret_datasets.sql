-- Registered datasets, a row each.
CREATE OR REPLACE MACRO rasteret_datasets() AS TABLE
  SELECT unnest(__rasteret_datasets(true), max_depth := 2);
