-- Value of the pixel that holds a point.
CREATE OR REPLACE MACRO sample_point(
  scene_id, band, geom,
  max_distance_pixels := NULL, collection := NULL, geom_crs := NULL, overview := NULL, on_error := NULL,
  on_change := NULL, backend := NULL
) AS struct_extract(__rasteret_sample_point(
  CAST(scene_id AS VARCHAR),
  CAST(to_json(band) AS VARCHAR),
  rasteret.__geometry(geom),
  CAST(json_object(
    'max_distance_pixels', max_distance_pixels, 'collection', collection, 'geom_crs', geom_crs,
    'overview', overview, 'on_error', on_error,
    'on_change', on_change, 'backend', backend
  ) AS VARCHAR)
), 'value');
