"""Reads the place of an image from ModelPixelScale, ModelTiepoint and ModelTransformation."""

from __future__ import annotations

import math

import numpy as np

from rasteret_sql.geo.gcps import Gcps
from rasteret_sql.geo.grid import Affine
from rasteret_sql.tiff import tags
from rasteret_sql.tiff.ifd import Ifd

GEO_TAGS = (tags.MODEL_PIXEL_SCALE, tags.MODEL_TIEPOINT, tags.MODEL_TRANSFORMATION)


def read_transform(ifd: Ifd, *, pixel_is_point: bool) -> Affine | None:
    """Transform of level 0, None where the file is not georeferenced.

    As GDAL reads it: scale and tiepoint count before a matrix, and a negative scale in y means the same as a positive
    one; a south-up image is written as a matrix. Tiepoints alone are ground control points: see `read_gcps`.
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


def read_gcps(ifd: Ifd, *, pixel_is_point: bool) -> Gcps | None:
    """Ground control points of a file without a transform: its tiepoints; None where it has none.

    Those of a PixelIsPoint file speak of pixel centres, as in GDAL.
    """
    tiepoints = ifd.doubles(tags.MODEL_TIEPOINT)
    if len(tiepoints) < 6:
        return None
    points = np.array(tiepoints[: len(tiepoints) // 6 * 6]).reshape(-1, 6)[:, [0, 1, 3, 4]]
    if pixel_is_point:
        points[:, :2] += 0.5
    return Gcps.of(points)
