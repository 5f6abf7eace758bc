-- Every function of rasteret_sql: signature, description, example.
CREATE OR REPLACE MACRO rasteret_functions() AS TABLE
  SELECT unnest(__rasteret_functions(true), max_depth := 2);
