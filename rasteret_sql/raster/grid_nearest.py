"""Finds the pixels of one grid that lie under the pixels of another, as GDAL's nearest neighbour does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasteret_sql.geo.grid import Affine, Window

Ints = npt.NDArray[np.int64]
_TIE = 1e-10
"""Added before rounding down, as GDAL does: a centre exactly between two pixels belongs to the later one."""
_STRAIGHT = 1e-9
"""Pixels by which a row may rise over a column of pixels, and still count as level."""


@dataclass(frozen=True, slots=True, eq=False)
class Under:
    """The pixels of a grid under those of a window of another."""

    rows: Ints
    """Of the window's pixels: shape (height, 1) on grids that are parallel, else (height, width); -1: outside."""
    cols: Ints
    """Shape (1, width) on parallel grids, else (height, width); -1: outside."""

    @property
    def is_parallel(self) -> bool:
        """True where rows and columns of both grids are the same lines."""
        return bool(self.rows.shape[1] == 1)

    @property
    def window(self) -> Window | None:
        """The smallest window with all of them; None where all are outside."""
        inside = (self.rows >= 0) & (self.cols >= 0)
        if not inside.any():
            return None
        rows, cols = self.rows[self.rows >= 0], self.cols[self.cols >= 0]
        top, left = int(rows.min()), int(cols.min())
        return Window(left, top, int(cols.max()) - left + 1, int(rows.max()) - top + 1)


def pixels_under(grid: Affine, window: Window, other: Affine, width: int, height: int) -> Under:
    """Find the pixel of another grid that holds the centre of each pixel of a window.

    Args:
        grid: pixel → CRS of the window's image.
        window: of that image.
        other: pixel → the same CRS, of the other image.
        width: pixels across the other image.
        height: pixels down the other image.
    """
    to_other = _composed(grid, other.inverse())
    cols = window.col_off + np.arange(window.width, dtype=np.float64)[None, :] + 0.5
    rows = window.row_off + np.arange(window.height, dtype=np.float64)[:, None] + 0.5
    skew = max(abs(to_other.b) * (window.row_off + window.height), abs(to_other.d) * (window.col_off + window.width))
    if skew <= _STRAIGHT:
        x, y = to_other.a * cols + to_other.c, to_other.e * rows + to_other.f
    else:
        x = to_other.a * cols + to_other.b * rows + to_other.c
        y = to_other.d * cols + to_other.e * rows + to_other.f
    return Under(_whole(y, height), _whole(x, width))


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
    to_other = _composed(grid, other.inverse())
    x, y = cols.astype(np.float64) + 0.5, rows.astype(np.float64) + 0.5
    # In the order of `pixels_under`, so that both round alike.
    skew = max(abs(to_other.b), abs(to_other.d)) * max(int(rows.max(initial=0)), int(cols.max(initial=0)))
    if skew <= _STRAIGHT:
        across, down = to_other.a * x + to_other.c, to_other.e * y + to_other.f
    else:
        across = to_other.a * x + to_other.b * y + to_other.c
        down = to_other.d * x + to_other.e * y + to_other.f
    of_col, of_row = _whole(across, width), _whole(down, height)
    return np.where((of_col >= 0) & (of_row >= 0), of_row * width + of_col, -1)


def _whole(places: npt.NDArray[np.float64], count: int) -> Ints:
    found = np.floor(places + _TIE).astype(np.int64)
    # The far edge itself is of the last pixel, as in GDAL.
    found[(found == count) & (places <= count)] = count - 1
    found[(found < 0) | (found >= count)] = -1
    return found


def _composed(first: Affine, then: Affine) -> Affine:
    """The transform that does one and then the other."""
    return Affine(
        then.a * first.a + then.b * first.d,
        then.a * first.b + then.b * first.e,
        then.a * first.c + then.b * first.f + then.c,
        then.d * first.a + then.e * first.d,
        then.d * first.b + then.e * first.e,
        then.d * first.c + then.e * first.f + then.f,
    )
