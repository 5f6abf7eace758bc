"""Finds the pixels of one grid that lie under some pixels of another, as the warp's nearest neighbour does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rasteret_sql.geo.grid import Affine
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.raster.warp.points import EDGE

Ints = npt.NDArray[np.int64]


def pixel_under(  # noqa: PLR0917 - arrays and grids
    rows: Ints, cols: Ints, grid: Affine, other: Affine, width: int, height: int
) -> Ints:
    """Find the pixels of another grid that hold the centres of some pixels.

    Args:
        rows: of the pixels, shape (n,).
        cols: same shape.
        grid: pixel → CRS of their image.
        other: pixel → the same CRS, of the other image.
        width: pixels across the other image.
        height: pixels down the other image.

    Returns:
        Number of each pixel in the other image, row by row; -1 outside.
    """
    x, y = PixelMap(grid, None, other, None, (width, height)).exact(
        np.add(cols, 0.5, dtype=np.float64), np.add(rows, 0.5, dtype=np.float64)
    )
    inside = (x >= 0) & (y >= 0) & (x + EDGE <= width) & (y + EDGE <= height)
    of_col, of_row = np.floor(x + EDGE).astype(np.int64), np.floor(y + EDGE).astype(np.int64)
    return np.where(inside, np.minimum(of_row, height - 1) * width + np.minimum(of_col, width - 1), -1)
