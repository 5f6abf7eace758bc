"""From a geometry's place in the CRS of an image to the window of pixels that it needs."""

from __future__ import annotations

import math

import numpy as np
import shapely

from rasteret_sql.types import Affine, Window


def pixel_bounds(geometry: shapely.Geometry, transform: Affine) -> tuple[float, float, float, float]:
    """Smallest column and row, largest column and row that the vertices of a geometry reach.

    Every vertex goes through the full inverse affine, so rotated images are right as well.
    """
    inverse = transform.inverse()
    if transform.is_rectilinear:
        # Rows and columns keep the order of y and x: the corners of the bounds tell. The same arithmetic as below.
        minx, miny, maxx, maxy = geometry.bounds
        col, other_col = minx * inverse.a + inverse.c, maxx * inverse.a + inverse.c
        row, other_row = miny * inverse.e + inverse.f, maxy * inverse.e + inverse.f
        return min(col, other_col), min(row, other_row), max(col, other_col), max(row, other_row)
    xy = shapely.get_coordinates(geometry)
    cols = xy[:, 0] * inverse.a + xy[:, 1] * inverse.b + inverse.c
    rows = xy[:, 0] * inverse.d + xy[:, 1] * inverse.e + inverse.f
    return float(cols.min()), float(rows.min()), float(cols.max()), float(rows.max())


def geometry_window(geometry: shapely.Geometry, transform: Affine, width: int, height: int) -> Window | None:
    """Window of the pixels that a geometry's bounds touch, clipped to the image; None where they do not meet.

    Floor of the smallest and ceil of the largest row and column with no tolerance, as rasterio's `geometry_window`:
    an edge exactly on a pixel boundary adds nothing, any sliver adds a full pixel. A geometry without extent on an
    axis (a point, a vertical line) gets the pixel that holds it.

    Args:
        geometry: not empty, in the CRS of the image.
        transform: of the level that is read.
        width: pixels across the level.
        height: pixels down the level.
    """
    if geometry.is_empty:
        return None
    col_min, row_min, col_max, row_max = pixel_bounds(geometry, transform)
    if not all(map(math.isfinite, (col_min, row_min, col_max, row_max))):
        return None
    col, row = max(math.floor(col_min), 0), max(math.floor(row_min), 0)
    col_end = min(max(math.ceil(col_max), math.floor(col_min) + (col_min == col_max)), width)
    row_end = min(max(math.ceil(row_max), math.floor(row_min) + (row_min == row_max)), height)
    return Window(col, row, col_end - col, row_end - row) if col_end > col and row_end > row else None


def point_pixels(xs: np.ndarray, ys: np.ndarray, transform: Affine) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of the pixel that holds each point, int64; they may lie outside the image.

    Positions beyond any image (not finite, or larger than 2^53) become -1.
    """
    inverse = transform.inverse()
    with np.errstate(invalid="ignore"):  # infinite coordinates are outside, below
        cols = np.floor(xs * inverse.a + ys * inverse.b + inverse.c)
        rows = np.floor(xs * inverse.d + ys * inverse.e + inverse.f)
    far = ~(np.isfinite(cols) & np.isfinite(rows) & (np.abs(cols) < 2**53) & (np.abs(rows) < 2**53))
    return np.where(far, -1, cols).astype(np.int64), np.where(far, -1, rows).astype(np.int64)


def whole(width: int, height: int) -> Window:
    """The window of a whole image."""
    return Window(0, 0, width, height)
