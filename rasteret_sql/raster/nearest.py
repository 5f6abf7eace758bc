"""Finds the valid pixel nearest to a point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rasteret_sql.geo.grid import Affine


def nearest_valid(
    valid: npt.NDArray[np.bool_],
    centre: tuple[int, int],
    point: tuple[float, float],
    transform: Affine,
    reach: int,
) -> tuple[int, int] | None:
    """Row and column of the valid pixel to give for a point; None where there is none in reach.

    The pixel that holds the point, if it is valid. Else the rings around it, of Chebyshev radius 1 to `reach`: the
    first ring with a valid pixel decides, and of its pixels the one whose rectangle is nearest to the point in units
    of the CRS (ties: the first in row-major order).

    Args:
        valid: (rows, cols), the neighbourhood, True is valid.
        centre: (row, col) in `valid` of the pixel that holds the point.
        point: (x, y) in the CRS.
        transform: pixel corner of `valid` → CRS.
        reach: rings to look at.
    """
    if valid[centre]:
        return centre
    rows, cols = np.nonzero(valid)
    rings = np.maximum(np.abs(rows - centre[0]), np.abs(cols - centre[1]))
    if not rings.size or rings.min() > reach:
        return None
    first = rings == rings.min()
    rows, cols = rows[first], cols[first]
    inverse = transform.inverse()
    col, row = inverse.apply(*point)
    # Nearest position of each pixel's square to the point in pixel space, then the distance of that in CRS units.
    d_col, d_row = np.clip(col, cols, cols + 1) - col, np.clip(row, rows, rows + 1) - row
    dx, dy = transform.a * d_col + transform.b * d_row, transform.d * d_col + transform.e * d_row
    best = int(np.argmin(dx * dx + dy * dy))
    return int(rows[best]), int(cols[best])
