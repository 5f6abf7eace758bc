-- Pixels of the geometry's window as a CHIP; without geom the whole image.
CREATE OR REPLACE MACRO read_chip(
  scene_id, band, geom := '(whole image)',
  collection := NULL, geom_crs := NULL, all_touched := NULL, clip := NULL, fill := NULL, overview := NULL,
  on_error := NULL,
  on_change := NULL, backend := NULL
) AS __rasteret_read_chip(
  CAST(scene_id AS VARCHAR),
  CAST(to_json(band) AS VARCHAR),
  rasteret.__geometry(geom),
  CAST(json_object(
    'collection', collection, 'geom_crs', geom_crs, 'all_touched', all_touched, 'clip', clip, 'fill', fill,
    'overview', overview, 'on_error', on_error,
    'on_change', on_change, 'backend', backend
  ) AS VARCHAR)
);
