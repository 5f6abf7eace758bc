"""Computes the exact fraction of each pixel that a polygon covers.

Green's theorem, cell by cell: a piece of an edge that stays inside one pixel adds, to that pixel, the area between the
piece and the pixel's right border, and its height to every pixel further right. So cutting the edges at the pixel grid
and summing along the rows gives all fractions, and only pixels on the border cost anything.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidGeometryError
from rasteret_sql.geo.even_odd import valid_area
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.edges import MULTIPOLYGON, POLYGON, Edges, Floats, Ints, pixel_coefficients, polygon_edges

_NOISE = 1e-11
"""Fraction of a pixel. What is closer to 0 or 1 is rounding, as where a polygon's edge runs along a pixel border."""


def coverage_fraction(geometry: shapely.Geometry, transform: Affine, window: Window) -> npt.NDArray[np.float64]:
    """Fraction of each pixel of a window that a polygon covers, exact to rounding.

    Args:
        geometry: Polygon or MultiPolygon in the image's CRS; one that is not valid covers what
            `polygon_mask` takes for inside: the union of its parts, each by the even-odd rule.
        transform: pixel → CRS of the image (not of the window); may be rotated or south-up.
        window: pixels wanted.

    Returns:
        Shape (height, width), 0..1.

    Raises:
        InvalidGeometryError: the geometry is not a polygon: points and lines cover no area.
    """
    if shapely.get_type_id(geometry) not in (POLYGON, MULTIPOLYGON):
        raise InvalidGeometryError(
            f"a {geometry.geom_type} covers no fraction of a pixel; weighted statistics take polygons, "
            "points and lines go without weighted :="
        )
    geometry = valid_area(geometry)
    height, width = window.shape
    if geometry.is_empty or not height or not width:
        return np.zeros(window.shape)
    edges = polygon_edges(geometry, pixel_coefficients(transform, window))
    pieces = _cut(edges, width, height)
    if pieces is None:
        return np.zeros(window.shape)
    x, rise, row = pieces
    # A column more than the window has takes what spills over its right border.
    column = np.minimum(np.floor(x), width)
    at = (row * (width + 2) + column).astype(np.int64)
    spill = rise * (x - column)
    sums = np.bincount(at, weights=rise - spill, minlength=height * (width + 2))
    sums += np.bincount(at + 1, weights=spill, minlength=len(sums))
    fractions: npt.NDArray[np.float64] = np.cumsum(sums.reshape(height, width + 2)[:, :width], axis=1)
    fractions[fractions < _NOISE] = 0.0
    fractions[fractions > 1 - _NOISE] = 1.0
    return fractions


def _cut(edges: Edges, width: int, height: int) -> tuple[Floats, Floats, Floats] | None:
    """Cut edges at the pixel grid, inside the window's rows.

    Returns:
        For each piece: column of its middle, clamped to 0..width; its height, positive where the polygon lies to the
        right of it; its row. None where no edge is in these rows.
    """
    sign = _orientation(edges)
    x1, y1, x2, y2 = edges.lines
    keep = (y1 != y2) & (np.maximum(y1, y2) > 0) & (np.minimum(y1, y2) < height) & (np.minimum(x1, x2) < width)
    if not keep.any():
        return None
    x1, y1, x2, y2 = x1[keep], y1[keep], x2[keep], y2[keep]
    sign = sign[keep] if isinstance(sign, np.ndarray) else sign
    dx, dy = x2 - x1, y2 - y1
    n = len(x1)

    # Ends, clipped to the window's rows.
    begin_y, end_y = np.clip(y1, 0, height), np.clip(y2, 0, height)
    begin, end = (begin_y - y1) / dy, (end_y - y1) / dy
    begin_x = np.where(begin_y == y1, x1, x1 + begin * dx)
    end_x = np.where(end_y == y2, x2, x1 + end * dx)

    # Where each edge crosses rows and columns of the grid; `along` is the position on the edge, 0..1.
    own_row, rows = _between(begin_y, end_y, 0, height)
    row_along = (rows - y1[own_row]) / dy[own_row]
    own_column, columns = _between(begin_x, end_x, 0, width)
    column_along = (columns - x1[own_column]) / dx[own_column]
    every = np.arange(n)
    own = np.concatenate((every, every, own_row, own_column))
    along = np.concatenate((begin, end, row_along, column_along))
    xs = np.concatenate((begin_x, end_x, x1[own_row] + row_along * dx[own_row], columns))
    ys = np.concatenate((begin_y, end_y, rows, y1[own_column] + column_along * dy[own_column]))
    order = np.lexsort((along, own))
    own, xs, ys = own[order], xs[order], ys[order]

    same = own[1:] == own[:-1]
    rise = (ys[1:] - ys[:-1])[same]
    middle_x = np.clip(((xs[1:] + xs[:-1]) * 0.5)[same], 0, width)
    row = np.clip(np.floor(((ys[1:] + ys[:-1]) * 0.5)[same]), 0, height - 1)
    rise *= sign[own[:-1][same]] if isinstance(sign, np.ndarray) else sign
    return middle_x, rise, row


def _between(begin: Floats, end: Floats, least: int, most: int) -> tuple[Ints, Floats]:
    """Whole numbers strictly between two ends and within least..most: (which edge, number)."""
    low, high = np.minimum(begin, end), np.maximum(begin, end)
    first = np.maximum(np.floor(low) + 1, least)
    count = np.maximum(np.minimum(np.ceil(high) - 1, most) - first + 1, 0).astype(np.int64)
    own = np.repeat(np.arange(len(count)), count)
    return own, np.arange(len(own)) + np.repeat(first - (np.cumsum(count) - count), count)


def _orientation(edges: Edges) -> Floats | float:
    """+1 for edges whose rings run as exteriors should, -1 for those to be read backwards; holes the other way round.

    An exterior, read the right way, goes down on its left side (rows grow downwards).
    """
    x1, y1, x2, y2 = edges.lines
    if edges.ring is None:
        x, y = x1[0], y1[0]
        return -float(np.sign(((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)).sum()))
    starts = np.flatnonzero(np.concatenate(([True], edges.ring[1:] != edges.ring[:-1])))
    ring = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(x1))))
    # From the ring's own first vertex, so that small rings far from the window keep their sign.
    x, y = x1[starts][ring], y1[starts][ring]
    areas = np.bincount(ring, weights=(x1 - x) * (y2 - y) - (x2 - x) * (y1 - y))
    part = np.zeros(len(starts), dtype=np.int64) if edges.part is None else edges.part[starts]
    exterior = np.concatenate(([True], part[1:] != part[:-1]))
    signs: Floats = (np.sign(areas) * np.where(exterior, -1.0, 1.0))[ring]
    return signs
