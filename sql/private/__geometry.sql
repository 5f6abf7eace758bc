-- Any form of a geometry as (type, WKB where it is binary, text otherwise): a cast to GEOMETRY would drop its CRS.
CREATE OR REPLACE MACRO __geometry(geom) AS
  struct_pack(
    -- the watch is folded while the statement is planned, on the thread that asks: there Ctrl-C can be made to stop us
    kind := CASE WHEN __rasteret_watch(true) THEN typeof(geom) END,
    wkb := CASE
      WHEN starts_with(typeof(geom), 'GEOMETRY') THEN st_aswkb(TRY_CAST(geom AS GEOMETRY))
      WHEN typeof(geom) = 'BLOB' THEN TRY_CAST(geom AS BLOB)
    END,
    text := CASE
      -- a box such as the column bbox of a scene, or GeoJSON that was read into columns
      WHEN starts_with(typeof(geom), 'STRUCT') THEN CAST(to_json(geom) AS VARCHAR)
      WHEN typeof(geom) <> 'BLOB' AND NOT starts_with(typeof(geom), 'GEOMETRY') THEN CAST(geom AS VARCHAR)
    END
  );
