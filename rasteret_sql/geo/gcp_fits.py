"""Places the pixels of an image by its ground control points, as GDAL's transformers do.

A fit goes from places to pixels, since that is what a warp asks for. Its other direction is the inverse of the same
map, so that a pixel lies where a warp takes it from. (GDAL fits a second polynomial for that direction, whose places
are others: by a pixel or so where the points are bent.) What lies beyond a fold of a polynomial, or behind the horizon
of a homography, has no pixel; GDAL gives it one that another place has, too.

Sources: GDAL's alg/gdal_crs.cpp, thinplatespline.cpp, gdalgenericinverse.cpp and gdal_homography.cpp (MIT licence); the
fits are solved anew here, by singular values and in scaled numbers.
"""

from __future__ import annotations

import numpy as np

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.gcp_homography import homography
from rasteret_sql.geo.gcp_layout import named
from rasteret_sql.geo.gcp_numbers import Fit, Floats
from rasteret_sql.geo.gcp_polynomial import polynomial
from rasteret_sql.geo.gcp_spline import spline
from rasteret_sql.geo.gcps import Gcps


def fit(gcps: Gcps, method: str | None, turn: float | None) -> Fit:
    """Fit a map to points.

    Args:
        gcps: The points.
        method: One of `METHODS`; None: as GDAL 3.12 chooses, a homography of four or five points, else a polynomial. Of
            this the order is 2 from six points, and 1 below.
        turn: Units of a whole turn where x is a longitude; None elsewhere. Longitudes that jump at the end of a turn go
            on beyond it.

    Raises:
        InvalidCrsError: The points do not determine the map.
    """
    points = gcps.points
    if not np.isfinite(points).all():
        raise InvalidCrsError(f"{named(points)} have values that are not finite, so they place no pixel")
    points = _in_one_run(points, turn)
    if method == "tps":
        return spline(points)
    if method == "homography" or (method is None and len(points) in (4, 5)):
        return homography(points)
    if len(points) == 2 and (points[0, 2:] != points[1, 2:]).all():  # opposite corners of an image along the axes
        first, last = points
        points = np.vstack([points, [last[0], first[1], last[2], first[3]]])
    return polynomial(points, 2 if len(points) >= 6 else 1)


def _in_one_run(points: Floats, turn: float | None) -> Floats:
    """Points whose longitudes have no jump; GDAL has it so from 170 to 180 degrees."""
    if turn is None:
        return points
    other = points.copy()
    other[other[:, 2] < 0, 2] += turn
    return other if np.ptp(other[:, 2]) < turn / 2 < np.ptp(points[:, 2]) else points
