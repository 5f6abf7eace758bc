-- The statistics of zonal_stats over the valid pixels of one band of a chip.
CREATE OR REPLACE MACRO chip_stats(chip, band := 1) AS
  __rasteret_chip_stats(chip, CAST(to_json(band) AS VARCHAR));
