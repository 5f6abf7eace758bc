-- A chip as a GeoTIFF file: COPY (SELECT chip_geotiff(...)) TO 'x.tif' (FORMAT blob).
CREATE OR REPLACE MACRO chip_geotiff(chip) AS
  __rasteret_chip_geotiff(chip);
