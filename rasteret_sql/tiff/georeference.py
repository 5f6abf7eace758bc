"""Makes the affine transform of pixel corners of ModelPixelScale, ModelTiepoint and ModelTransformation."""

from __future__ import annotations

import math

from rasteret_sql.geo.grid import Affine
from rasteret_sql.tiff import tags
from rasteret_sql.tiff.ifd import Ifd

GEO_TAGS = (tags.MODEL_PIXEL_SCALE, tags.MODEL_TIEPOINT, tags.MODEL_TRANSFORMATION)


def read_transform(ifd: Ifd, *, pixel_is_point: bool) -> Affine | None:
    """Transform of level 0, None where the file is not georeferenced.

    As GDAL reads it: scale and tiepoint count before a matrix, and a negative scale in y means the same as a positive
    one; a south-up image is written as a matrix. Tiepoints alone, of which several are ground control points, give no
    place: the pixels can be read all the same.
    """
    scale, tiepoints = ifd.doubles(tags.MODEL_PIXEL_SCALE), ifd.doubles(tags.MODEL_TIEPOINT)
    matrix = ifd.doubles(tags.MODEL_TRANSFORMATION)
    if len(scale) >= 2 and scale[0] != 0 and scale[1] != 0:
        if len(tiepoints) < 6:
            return None
        a, e = scale[0], -abs(scale[1])
        transform = Affine(a, 0.0, tiepoints[3] - tiepoints[0] * a, 0.0, e, tiepoints[4] - tiepoints[1] * e)
    elif len(matrix) == 16:
        transform = Affine(matrix[0], matrix[1], matrix[3], matrix[4], matrix[5], matrix[7])
    else:
        return None
    if not all(map(math.isfinite, transform)):
        raise ifd.corrupt(f"the transform {tuple(transform)} is not finite")
    # The tags of a PixelIsPoint file speak of pixel centres.
    return transform.shifted(-0.5, -0.5) if pixel_is_point else transform
