-- What read_chip or zonal_stats would read, without reading it.
CREATE OR REPLACE MACRO rasteret_explain(
  scene_id, band, geom := '(whole image)',
  collection := NULL, geom_crs := NULL, overview := NULL, on_error := NULL
) AS __rasteret_explain(
  CAST(scene_id AS VARCHAR),
  CAST(to_json(band) AS VARCHAR),
  rasteret.__geometry(geom),
  CAST(json_object(
    'collection', collection, 'geom_crs', geom_crs, 'overview', overview, 'on_error', on_error
  ) AS VARCHAR)
);
