-- All statistics of one band's pixels in a zone.
CREATE OR REPLACE MACRO zonal_stats(
  scene_id, band, geom,
  weighted := NULL, collection := NULL, geom_crs := NULL, all_touched := NULL, overview := NULL, on_error := NULL,
  on_change := NULL, backend := NULL
) AS __rasteret_zonal_stats(
  CAST(scene_id AS VARCHAR),
  CAST(to_json(band) AS VARCHAR),
  rasteret.__geometry(geom),
  CAST(json_object(
    'weighted', weighted, 'collection', collection, 'geom_crs', geom_crs, 'all_touched', all_touched,
    'overview', overview, 'on_error', on_error,
    'on_change', on_change, 'backend', backend
  ) AS VARCHAR)
);
