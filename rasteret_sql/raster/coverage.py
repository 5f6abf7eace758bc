"""Computes the exact fraction of each pixel that a polygon covers.

Green's theorem, cell by cell: a piece of an edge that stays inside one pixel adds, to that pixel, the area between the
piece and the pixel's right border, and its height to every pixel further right. So cutting the edges at the pixel grid
and summing along the rows gives all fractions, and only pixels on the border cost anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidGeometryError
from rasteret_sql.geo.even_odd import valid_area
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.edges import (
    MULTIPOLYGON,
    POLYGON,
    Edges,
    Floats,
    Ints,
    Lines,
    pixel_coefficients,
    polygon_edges,
)
from rasteret_sql.raster.expand import expand

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
    sign = np.broadcast_to(_orientation(edges), edges.x1.shape)
    _, x, rise, row = _cut(edges.lines, sign, np.full(len(sign), width), np.full(len(sign), height))
    sums = _summed((row * (width + 2)).astype(np.int64), np.full(len(x), width), x, rise, height * (width + 2))
    return _fractions(sums.reshape(height, width + 2)[:, :width])


@dataclass(frozen=True, slots=True, eq=False)
class CoveredPixels:
    """Pixels that polygons cover in part or wholly, polygon by polygon, row by row."""

    polygon: Ints
    """Number of the polygon."""
    row: Ints
    """In the polygon's window."""
    column: Ints
    fraction: Floats
    """Above 0."""


def covered_pixels(lines: Lines, of: Ints, ring: Ints, windows: Ints) -> CoveredPixels:
    """Pixels that valid Polygons cover, as `coverage_fraction` of each has them.

    Args:
        lines: (x1, y1, x2, y2) of the edges of all rings, in pixels from the corner of the polygon's window; ring by
            ring, each exterior before its holes.
        of: polygon of each edge, ascending.
        ring: ring of each edge, ascending.
        windows: shape (n, 4), of which columns 2 and 3 are width and height in pixels.
    """
    width, height = windows[:, 2], windows[:, 3]
    exterior = np.concatenate(([True], of[1:] != of[:-1]))
    sign = _orientation_of_rings(lines, ring, exterior)
    edge, x, rise, row = _cut(lines, sign, width[of], height[of])
    owner = of[edge]
    # The windows lie one after the other in one array, with two columns more than they have.
    sizes = height * (width + 2)
    begins = np.cumsum(sizes) - sizes
    line = begins[owner] + row.astype(np.int64) * (width[owner] + 2)
    sums = _summed(line, width[owner], x, rise, int(sizes.sum()))
    places, fractions = [], []
    for across in np.unique(width).tolist():
        some = np.flatnonzero(width == across)
        rows = np.repeat(begins[some], height[some]) + expand(np.zeros_like(some), height[some]) * (across + 2)
        of_rows = _fractions(sums[rows[:, None] + np.arange(across)])
        covered = of_rows > 0
        places.append((rows[:, None] + np.arange(across))[covered])
        fractions.append(of_rows[covered])
    place = np.concatenate([*places, np.empty(0, np.int64)])
    order = np.argsort(place)
    place = place[order]
    polygon = np.searchsorted(begins, place, side="right") - 1
    # Of windows without pixels, which begin where the next one does, none is meant.
    at_row, column = np.divmod(place - begins[polygon], width[polygon] + 2)
    return CoveredPixels(polygon, at_row, column, np.concatenate([*fractions, np.empty(0)])[order])


def _summed(line: Ints, width: Ints, x: Floats, rise: Floats, size: int) -> Floats:
    """Sums what pieces of edges add to pixels, and to those on their right once these are summed along the rows.

    Args:
        line: place of the first pixel of the row of each piece.
        width: columns of its window, which has one more for what spills over its right border.
        x: column of its middle.
        rise: its height, with sign.
        size: number of places.
    """
    column = np.minimum(np.floor(x), width)
    at = line + column.astype(np.int64)
    spill = rise * (x - column)
    sums = np.bincount(at, weights=rise - spill, minlength=size).astype(np.float64)
    sums += np.bincount(at + 1, weights=spill, minlength=size)
    return sums


def _fractions(sums: Floats) -> Floats:
    """Fractions of the pixels of rows, from what is added at each."""
    fractions: Floats = np.cumsum(sums, axis=1)
    fractions[fractions < _NOISE] = 0.0
    fractions[fractions > 1 - _NOISE] = 1.0
    return fractions


def _cut(lines: Lines, sign: Floats, width: Ints, height: Ints) -> tuple[Ints, Floats, Floats, Floats]:
    """Cut edges at the pixel grid, inside the rows of their windows.

    Args:
        lines: (x1, y1, x2, y2) of the edges.
        sign: of each, as `_orientation` has it.
        width: columns of the window of each.
        height: its rows.

    Returns:
        For each piece: its edge; column of its middle, clamped to 0..width; its height, positive where the polygon lies
        to the right of it; its row.
    """
    x1, y1, x2, y2 = lines
    keep = (y1 != y2) & (np.maximum(y1, y2) > 0) & (np.minimum(y1, y2) < height) & (np.minimum(x1, x2) < width)
    edge = np.flatnonzero(keep)
    x1, y1, x2, y2, sign = (each[edge] for each in (x1, y1, x2, y2, sign))
    width, height = width[edge], height[edge]
    dx, dy = x2 - x1, y2 - y1

    # Ends, clipped to the window's rows.
    begin_y, end_y = np.clip(y1, 0, height), np.clip(y2, 0, height)
    begin, end = (begin_y - y1) / dy, (end_y - y1) / dy
    begin_x = np.where(begin_y == y1, x1, x1 + begin * dx)
    end_x = np.where(end_y == y2, x2, x1 + end * dx)

    # Where each edge crosses rows and columns of the grid; `along` is the position on the edge, 0..1.
    own_row, rows = _between(begin_y, end_y, height)
    row_along = (rows - y1[own_row]) / dy[own_row]
    own_column, columns = _between(begin_x, end_x, width)
    column_along = (columns - x1[own_column]) / dx[own_column]
    every = np.arange(len(edge))
    own = np.concatenate((every, every, own_row, own_column))
    along = np.concatenate((begin, end, row_along, column_along))
    xs = np.concatenate((begin_x, end_x, x1[own_row] + row_along * dx[own_row], columns))
    ys = np.concatenate((begin_y, end_y, rows, y1[own_column] + column_along * dy[own_column]))
    order = np.lexsort((along, own))
    own, xs, ys = own[order], xs[order], ys[order]

    same = own[1:] == own[:-1]
    own = own[:-1][same]
    rise = (ys[1:] - ys[:-1])[same] * sign[own]
    middle_x = np.clip(((xs[1:] + xs[:-1]) * 0.5)[same], 0, width[own])
    row = np.clip(np.floor(((ys[1:] + ys[:-1]) * 0.5)[same]), 0, height[own] - 1)
    return edge[own], middle_x, rise, row


def _between(begin: Floats, end: Floats, most: Ints) -> tuple[Ints, Floats]:
    """Whole numbers strictly between two ends and within 0..most: (which edge, number)."""
    low, high = np.minimum(begin, end), np.maximum(begin, end)
    first = np.maximum(np.floor(low) + 1, 0)
    count = np.maximum(np.minimum(np.ceil(high) - 1, most) - first + 1, 0).astype(np.int64)
    return np.repeat(np.arange(len(count)), count), expand(first, count)


def _orientation(edges: Edges) -> Floats | float:
    """+1 for edges whose rings run as exteriors should, -1 for those to be read backwards; holes the other way round.

    An exterior, read the right way, goes down on its left side (rows grow downwards).
    """
    x1, y1, x2, y2 = edges.lines
    if edges.ring is None:
        x, y = x1[0], y1[0]
        return -float(np.sign(((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)).sum()))
    part = np.zeros(len(x1), dtype=np.int64) if edges.part is None else edges.part
    return _orientation_of_rings(edges.lines, edges.ring, np.concatenate(([True], part[1:] != part[:-1])))


def _orientation_of_rings(lines: Lines, ring: Ints, exterior: npt.NDArray[np.bool_]) -> Floats:
    """The same for edges of several rings.

    Args:
        lines: (x1, y1, x2, y2).
        ring: of each edge, ascending.
        exterior: True for the first edge of an exterior.
    """
    x1, y1, x2, y2 = lines
    starts = np.flatnonzero(np.concatenate(([True], ring[1:] != ring[:-1])))
    ring = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(x1))))
    # From the ring's own first vertex, so that small rings far from the window keep their sign.
    x, y = x1[starts][ring], y1[starts][ring]
    areas = np.bincount(ring, weights=(x1 - x) * (y2 - y) - (x2 - x) * (y1 - y))
    signs: Floats = (np.sign(areas) * np.where(exterior[starts], -1.0, 1.0))[ring]
    return signs
