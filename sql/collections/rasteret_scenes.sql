-- Scenes of a collection whose footprint meets a geometry.
CREATE OR REPLACE MACRO rasteret_scenes(collection, geom, date_range := NULL, geom_crs := NULL) AS TABLE
  SELECT *
  FROM query(__rasteret_scenes(
    rasteret.__geometry(geom),
    CAST(json_object('collection', collection, 'date_range', date_range, 'geom_crs', geom_crs) AS VARCHAR)
  ));
