-- A chip as a PNG picture.
CREATE OR REPLACE MACRO chip_png(chip, vmin := NULL, vmax := NULL, colormap := NULL) AS
  __rasteret_chip_png(chip, CAST(vmin AS DOUBLE), CAST(vmax AS DOUBLE), CAST(colormap AS VARCHAR));
