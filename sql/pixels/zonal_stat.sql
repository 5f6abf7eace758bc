-- One statistic of one band's pixels in a zone.
CREATE OR REPLACE MACRO zonal_stat(
  scene_id, band, geom, stat,
  weighted := NULL, collection := NULL, geom_crs := NULL, all_touched := NULL, overview := NULL, on_error := NULL,
  on_change := NULL, backend := NULL
) AS struct_extract(__rasteret_zonal_stat(
  CAST(scene_id AS VARCHAR),
  CAST(to_json(band) AS VARCHAR),
  rasteret.__geometry(geom),
  CAST(json_object(
    'weighted', weighted, 'collection', collection, 'geom_crs', geom_crs, 'all_touched', all_touched,
    'overview', overview, 'on_error', on_error,
    'on_change', on_change, 'backend', backend
  ) AS VARCHAR),
  CAST(stat AS VARCHAR)
), 'value');
