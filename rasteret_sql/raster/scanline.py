"""Masks the pixels that belong to a geometry, pixel for pixel as GDAL rasterises it.

A pixel belongs to a polygon that holds its centre (`all_touched` false), by the even-odd rule over all its rings. On
each row of centres an edge crosses at one x; the pixel border nearest to it toggles inside and outside. So a mask is
the sorted list of those borders, run-length decoded: no loop over pixels, edges or rows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidGeometryError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.edges import (
    COLLECTION,
    LINE,
    MULTILINE,
    MULTIPOINT,
    MULTIPOLYGON,
    POINT,
    POLYGON,
    RING,
    Edges,
    Ints,
    Lines,
    pixel_coefficients,
    polygon_edges,
    to_pixels,
)
from rasteret_sql.raster.expand import expand
from rasteret_sql.raster.touched import line_pixels, touched_pixels
from rasteret_sql.raster.window import point_pixels

Mask = npt.NDArray[np.bool_]


def polygon_mask(geometry: shapely.Geometry, transform: Affine, window: Window, all_touched: bool = False) -> Mask:
    """Mask of one geometry over a window.

    Args:
        geometry: Polygon or MultiPolygon in the image's CRS; lines take the pixels that GDAL burns, points the pixel
            that holds them (`point_pixels`).
        transform: pixel → CRS of the image (not of the window); may be rotated or south-up.
        window: pixels wanted.
        all_touched: True to keep every pixel that the geometry touches, not only those whose centre it holds.

    Returns:
        Shape (height, width); True = inside.

    Raises:
        InvalidGeometryError: the geometry is of a kind without pixels.
    """
    at = pixel_coefficients(transform, window)
    kind = int(shapely.get_type_id(geometry))
    if kind in (POLYGON, MULTIPOLYGON):
        edges = polygon_edges(geometry, at)
        mask = _fill(edges, window.width, window.height)
        if all_touched:
            rows, columns = touched_pixels(edges.lines, window.width, window.height, polygon=True)
            mask[rows * window.width + columns] = True
        return mask.reshape(window.shape)
    mask = np.zeros(window.shape, dtype=np.bool_)
    if kind in (POINT, MULTIPOINT):
        _burn_points(geometry, transform, window, mask)
    elif kind == COLLECTION:
        for part in geometry.geoms:
            mask |= polygon_mask(part, transform, window, all_touched)
    else:
        _burn_lines(geometry, at, mask, all_touched)
    return mask


def _fill(edges: Edges, width: int, height: int) -> Mask:
    """Pixels of a window whose centre the polygon holds, as a flat array."""
    x1, y1, x2, y2 = edges.lines
    top, bottom = np.minimum(y1, y2), np.maximum(y1, y2)
    # A row belongs to an edge where top ≤ row + ½ < bottom, so a vertex counts once.
    first = np.maximum(np.ceil(top - 0.5), 0.0)
    last = np.minimum(np.ceil(bottom - 0.5), height)
    count = np.maximum(last - first, 0.0).astype(np.int64)
    fall = bottom - top
    down = y1 < y2
    about = np.empty((5, len(x1)))
    about[0] = top
    about[1] = np.where(down, x2 - x1, x1 - x2)
    about[2] = fall
    about[3] = np.where(down, x1, x2)
    about[4] = first - (count.cumsum() - count)
    y, run, drop, x, shift = np.repeat(about, count, axis=1)
    row = shift + np.arange(len(shift))
    column = np.floor((row + 0.5 - y) * run / drop + x + 0.5)
    key = row * width + np.minimum(np.maximum(column, 0.0), width)
    if edges.part is None:
        mask = _decode(key, width * height)
    else:
        mask = _decode_union(key.astype(np.int64), np.repeat(edges.part, count), width * height)
    if not fall.all():
        _burn_level_edges(mask, edges, width, height)
    return mask


def _decode(toggles: npt.NDArray[np.generic], size: int) -> Mask:
    """Flat mask from the positions at which it turns from False to True and back, in any order.

    A toggle at the end of a row is one at the start of the next, and each row has an even number of them.
    """
    bounds = np.empty(len(toggles) + 2, dtype=np.int64)
    bounds[0], bounds[-1] = 0, size
    inner = bounds[1:-1]
    inner[:] = toggles
    inner.sort()
    pattern = np.zeros(len(bounds) - 1, dtype=np.bool_)
    pattern[1::2] = True
    return np.repeat(pattern, bounds[1:] - bounds[:-1])


def _decode_union(toggles: Ints, part: Ints, size: int) -> Mask:
    """Flat mask of all parts together: a pixel in two parts that overlap is in, not out."""
    keys = part * (size + 1) + toggles
    keys.sort()
    keys %= size + 1
    starts, ends = keys[0::2], keys[1::2]
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    if len(starts) and (starts[1:] >= ends[:-1]).all():
        # No two runs overlap, as in every valid polygon.
        return _decode(keys, size)
    reach = np.maximum.accumulate(ends)
    opens = np.concatenate(([True], starts[1:] > reach[:-1])) if len(starts) else np.empty(0, dtype=np.bool_)
    at = np.flatnonzero(opens)
    closes = np.append(at[1:] - 1, len(starts) - 1) if len(at) else at
    return _decode(np.concatenate((starts[at], reach[closes])), size)


def _burn_level_edges(mask: Mask, edges: Edges, width: int, height: int) -> None:
    """Edges that run exactly along a row of pixel centres: the lower ones of a polygon belong to it.

    Lower means that the edge runs towards smaller x once its ring is turned clockwise in the CRS.
    """
    row = np.floor(edges.y1)
    level = (edges.y1 == edges.y2) & (edges.x1 != edges.x2) & (edges.y1 - row == 0.5) & (row >= 0) & (row < height)
    at = np.flatnonzero(level)
    x1, x2 = edges.x1[at], edges.x2[at]
    lower = (x1 > x2) == edges.clockwise(at)
    at, x1, x2 = at[lower], x1[lower], x2[lower]
    begin = np.minimum(np.maximum(np.floor(np.minimum(x1, x2) + 0.5), 0), width).astype(np.int64)
    end = np.minimum(np.maximum(np.floor(np.maximum(x1, x2) + 0.5), 0), width).astype(np.int64)
    mask[expand(row[at].astype(np.int64) * width + begin, end - begin)] = True


def _burn_points(geometry: shapely.Geometry, transform: Affine, window: Window, mask: Mask) -> None:
    """Burn the pixels that hold points: the same ones that a window or a sample of each would be.

    On a rotated image, corners of pixels are rounded anyhow, and several points are burned as GDAL does.
    """
    xy = shapely.get_coordinates(geometry)
    if transform.is_rectilinear or len(xy) == 1:
        columns, rows = point_pixels(xy[:, 0], xy[:, 1], transform)
        columns, rows = columns - window.col_off, rows - window.row_off
    else:
        x, y = to_pixels(xy, pixel_coefficients(transform, window))
        columns, rows = point_pixels(x, y, Affine(1, 0, 0, 0, 1, 0))
    inside = (columns >= 0) & (columns < window.width) & (rows >= 0) & (rows < window.height)
    mask[rows[inside], columns[inside]] = True


def _burn_lines(geometry: shapely.Geometry, at: Affine, mask: Mask, all_touched: bool) -> None:
    """Burn lines into a mask."""
    height, width = mask.shape
    if shapely.get_type_id(geometry) not in (LINE, MULTILINE, RING):
        raise InvalidGeometryError(f"a {geometry.geom_type} has no pixels; give polygons, lines or points")
    lines, last = _segments(geometry, at)
    if all_touched:
        rows, columns = touched_pixels(lines, width, height, polygon=False)
    else:
        rows, columns = line_pixels(lines, last, width, height)
    mask[rows, columns] = True


def _segments(geometry: shapely.Geometry, at: Affine) -> tuple[Lines, Mask]:
    """Segments of lines, run backwards as GDAL does (it shows in ties), and which is the last of its line."""
    coordinates, line = shapely.get_coordinates(shapely.get_parts(geometry), return_index=True)
    x, y = to_pixels(coordinates[::-1], at)
    line = line[::-1]
    inside = line[:-1] == line[1:]
    of = line[:-1][inside]
    last = np.ones(len(of), dtype=np.bool_)
    last[:-1] = of[:-1] != of[1:]
    return (x[:-1][inside], y[:-1][inside], x[1:][inside], y[1:][inside]), last
