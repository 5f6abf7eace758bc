-- Pixels of one band of a chip as a list, row by row; NULL where a pixel is not valid.
CREATE OR REPLACE MACRO chip_values(chip, band := 1) AS
  __rasteret_chip_values(chip, CAST(to_json(band) AS VARCHAR));
