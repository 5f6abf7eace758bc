-- A CHIP, a STRUCT or MAP of CHIPs, or a text as (type, CHIP, CHIPs by name, text): one form for an argument that may be
-- any of these. A STRUCT is cast to a CHIP through VARIANT, since a direct cast of one without its fields is no SQL.
CREATE OR REPLACE MACRO __chips(chips) AS
  struct_pack(
    kind := typeof(chips),
    one := CASE
      WHEN regexp_matches(typeof(chips), '^STRUCT\("?data"? BLOB') THEN
        TRY_CAST(TRY_CAST(chips AS VARIANT) AS STRUCT("data" BLOB, "mask" BLOB, "dtype" VARCHAR, "bands" VARCHAR[], "height" INTEGER, "width" INTEGER, "transform" DOUBLE[6], "crs" VARCHAR, "nodata" DOUBLE))
    END,
    named := CASE
      WHEN NOT regexp_matches(typeof(chips), '^STRUCT\("?data"? BLOB') THEN
        TRY_CAST(chips AS MAP(VARCHAR, STRUCT("data" BLOB, "mask" BLOB, "dtype" VARCHAR, "bands" VARCHAR[], "height" INTEGER, "width" INTEGER, "transform" DOUBLE[6], "crs" VARCHAR, "nodata" DOUBLE)))
    END,
    text := CASE WHEN typeof(chips) = 'VARCHAR' THEN TRY_CAST(chips AS VARCHAR) END
  );
