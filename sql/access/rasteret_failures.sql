-- Rows that gave NULL because they could not be read.
CREATE OR REPLACE MACRO rasteret_failures(clear := NULL) AS TABLE
  SELECT unnest(__rasteret_failures(coalesce(CAST(clear AS BOOLEAN), false)), max_depth := 2);
