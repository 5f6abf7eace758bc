"""Places pixels by a homography, the map of a plane that a camera shows, as GDAL's transformer does."""

from __future__ import annotations

import numpy as np

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.gcp_layout import NO_WIDTH, named, rank_lacks, require_plane, rounded_out
from rasteret_sql.geo.gcp_numbers import Fit, Floats, Pair, solved


class _Homography:
    """A projective map, by its 3 × 3 matrix from pixels to places."""

    def __init__(self, matrix: Floats, centre: Floats) -> None:
        self._to_places = matrix
        self._to_pixels: Floats = np.linalg.inv(matrix).astype(np.float64, copy=False)
        self._centre = centre
        """Column, row, x and y of the middle of the points."""

    def to_pixels(self, x: Floats, y: Floats) -> Pair:
        return _projected(self._to_pixels, x, y, self._centre[2:])

    def to_places(self, col: Floats, row: Floats) -> Pair:
        return _projected(self._to_places, col, row, self._centre[:2])


def _projected(matrix: Floats, a: Floats, b: Floats, centre: Floats) -> Pair:
    """The images of positions on the centre's side of the horizon; NaN for others."""
    h = matrix / (matrix[2, 0] * centre[0] + matrix[2, 1] * centre[1] + matrix[2, 2])
    below = h[2, 0] * a + h[2, 1] * b + h[2, 2]
    below = np.where(below > 0, below, np.nan)
    return (h[0, 0] * a + h[0, 1] * b + h[0, 2]) / below, (h[1, 0] * a + h[1, 1] * b + h[1, 2]) / below


def homography(points: Floats) -> Fit:
    """Fit a homography to points, shape (n, 4): column, row, x, y.

    Least squares of x(h6 + h7 c + h8 r) = h0 + h1 c + h2 r and likewise y, in values scaled to 0..1, with h6 = 1.

    Raises:
        InvalidCrsError: They do not determine it.
    """
    require_plane(points, "a homography", 4)
    low, size = points.min(axis=0), np.ptp(points, axis=0)
    undetermined = InvalidCrsError(
        f"{named(points)} determine no homography: three of four lie on one line, or they show no image as a camera "
        "does; use gcp := 'polynomial'"
    )
    for values in (points[:, :2], points[:, 2:]):
        if rank_lacks(_projective(*rounded_out(values), *rounded_out(values)), 8):
            raise undetermined
    equations = _projective(*((points - low) / size).T)
    scale = np.zeros((1, 9))
    scale[0, 6] = 1
    h = solved(np.concatenate([equations, scale]), np.append(np.zeros(len(equations)), 1.0)[:, np.newaxis])[:, 0]
    unscaled = np.array([[size[2], 0, low[2]], [0, size[3], low[3]], [0, 0, 1]])
    scaled = np.array([[1 / size[0], 0, -low[0] / size[0]], [0, 1 / size[1], -low[1] / size[1]], [0, 0, 1]])
    matrix = np.array([[h[1], h[2], h[0]], [h[4], h[5], h[3]], [h[7], h[8], h[6]]])
    if rank_lacks(matrix, 3, NO_WIDTH):
        raise undetermined
    found = _Homography(unscaled @ matrix @ scaled, points.mean(axis=0))
    # All points lie before the horizon, or the map turns some of them over.
    if not np.isfinite(np.concatenate([*found.to_places(*points[:, :2].T), *found.to_pixels(*points[:, 2:].T)])).all():
        raise undetermined
    return found


def _projective(c: Floats, r: Floats, x: Floats, y: Floats) -> Floats:
    """Two equations for each point, in h0 to h8."""
    one, none = np.ones_like(c), np.zeros_like(c)
    return np.concatenate(
        [
            np.stack([one, c, r, none, none, none, -x, -x * c, -x * r], axis=1),
            np.stack([none, none, none, one, c, r, -y, -y * c, -y * r], axis=1),
        ]
    )
