"""Which pixels of a window belong to a geometry, pixel for pixel as GDAL rasterises it.

A pixel belongs to a polygon that holds its centre (`all_touched` false), by the even-odd rule over all its rings. On
each row of centres an edge crosses at one x; the pixel border nearest to it toggles inside and outside. So a mask is
the sorted list of those borders, run-length decoded: no loop over pixels, edges or rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidGeometryError
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
    is_clockwise,
    many_polygon_edges,
    pixel_coefficients,
    polygon_edges,
    to_pixels,
)
from rasteret_sql.raster.touched import Lines, line_pixels, touched_pixels
from rasteret_sql.types import Affine, Window

Mask = npt.NDArray[np.bool_]


def polygon_mask(geometry: shapely.Geometry, transform: Affine, window: Window, all_touched: bool = False) -> Mask:
    """Mask of one geometry over a window.

    Args:
        geometry: Polygon or MultiPolygon in the image's CRS; points and lines take the pixels that GDAL burns.
        transform: pixel → CRS of the image (not of the window); may be rotated or south-up.
        window: pixels wanted.
        all_touched: True to keep every pixel that the geometry touches, not only those whose centre it holds.

    Returns:
        Shape (height, width); True = inside.

    Raises:
        InvalidGeometryError: the geometry is of a kind without pixels.
    """
    at = pixel_coefficients(transform, window)
    kind = shapely.get_type_id(geometry)
    if kind in (POLYGON, MULTIPOLYGON):
        edges = polygon_edges(geometry, at)
        mask = _fill(edges, window.width, window.height, 0, window.width * window.height)
        if all_touched:
            _, rows, columns = touched_pixels(edges.lines, window.width, window.height, polygon=True)
            mask[rows * window.width + columns] = True
        return mask.reshape(window.shape)
    mask = np.zeros(window.shape, dtype=np.bool_)
    if kind == COLLECTION:
        for part in geometry.geoms:
            mask |= polygon_mask(part, transform, window, all_touched)
    else:
        _burn(geometry, kind, at, mask, all_touched)
    return mask


def polygon_masks(
    geometries: Sequence[shapely.Geometry],
    transforms: Sequence[Affine],
    windows: Sequence[Window],
    all_touched: bool = False,
) -> list[Mask]:
    """Masks of many geometries, each over its own window: the same as `polygon_mask`, several times faster.

    Args:
        geometries: as for `polygon_mask`.
        transforms: pixel → CRS of each geometry's image.
        windows: pixels wanted of each.
        all_touched: as for `polygon_mask`.

    Returns:
        One mask for each geometry; views of one array.
    """
    shapes = np.empty(len(geometries), dtype=object)
    shapes[:] = geometries
    kinds = shapely.get_type_id(shapes)
    polygons = (kinds == POLYGON) | (kinds == MULTIPOLYGON)
    if len(geometries) < 2 or not polygons.all():
        return [polygon_mask(*each, all_touched) for each in zip(geometries, transforms, windows, strict=True)]
    coefficients = [pixel_coefficients(t, w) for t, w in zip(transforms, windows, strict=True)]
    edges = many_polygon_edges(shapes, coefficients)
    widths, heights = np.array([w.shape for w in windows], dtype=np.int64).T[::-1]
    ends = np.cumsum(widths * heights)
    starts = ends - widths * heights
    owner = edges.geometry
    assert owner is not None
    width, height, base = widths[owner], heights[owner], starts[owner]
    mask = _fill(edges, width, height, base, int(ends[-1]))
    if all_touched:
        line, rows, columns = touched_pixels(edges.lines, width, height, polygon=True)
        mask[base[line] + rows * width[line] + columns] = True
    return [mask[s:e].reshape(w.shape) for s, e, w in zip(starts.tolist(), ends.tolist(), windows, strict=True)]


def _fill(edges: Edges, width: Ints | int, height: Ints | int, base: Ints | int, size: int) -> Mask:
    """Pixels whose centre the polygons hold, as a flat array of `size`.

    Args:
        edges: of all polygons.
        width: columns of the window, one for all edges or one for each.
        height: rows of the window, likewise.
        base: where the window begins in the flat array, likewise.
        size: of the flat array.
    """
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
    scalar = isinstance(width, int)
    if scalar and edges.part is None:
        y, run, drop, x, shift = np.repeat(about, count, axis=1)
        row = shift + np.arange(len(shift))
        column = np.floor((row + 0.5 - y) * run / drop + x + 0.5)
        key = row * width + np.minimum(np.maximum(column, 0.0), width)
        mask = _decode(key, size)
    else:
        own = np.repeat(np.arange(len(count)), count)
        y, run, drop, x, shift = about[:, own]
        row = shift + np.arange(len(own))
        column = np.floor((row + 0.5 - y) * run / drop + x + 0.5)
        w = width if scalar else np.asarray(width)[own]
        flat = row * w + np.minimum(np.maximum(column, 0.0), w)
        key = (flat if scalar else flat + np.asarray(base)[own]).astype(np.int64)
        mask = _decode(key, size) if edges.part is None else _decode_union(key, edges.part[own], size)
    if not fall.all():
        _burn_level_edges(mask, edges, width, height, base)
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


def _burn_level_edges(mask: Mask, edges: Edges, width: Ints | int, height: Ints | int, base: Ints | int) -> None:
    """Edges that run exactly along a row of pixel centres: the lower ones of a polygon belong to it.

    Lower means that the edge runs towards smaller x once its ring is turned clockwise in the CRS.
    """
    row = np.floor(edges.y1)
    level = (edges.y1 == edges.y2) & (edges.x1 != edges.x2) & (edges.y1 - row == 0.5) & (row >= 0) & (row < height)
    turned: dict[int, bool] = {}
    for i in np.flatnonzero(level).tolist():
        ring = -1 if edges.ring is None else int(edges.ring[i])
        if ring not in turned:
            turned[ring] = is_clockwise(
                edges.world if edges.vertex_ring is None else edges.world[edges.vertex_ring == ring]
            )
        leftwards = edges.x1[i] > edges.x2[i]
        if leftwards != turned[ring]:
            continue
        columns = width if isinstance(width, int) else int(width[i])
        low, high = np.floor(np.sort((edges.x1[i], edges.x2[i])) + 0.5)
        begin = (base if isinstance(base, int) else int(base[i])) + int(row[i]) * columns
        mask[begin + int(min(max(low, 0), columns)) : begin + int(min(max(high, 0), columns))] = True


def _burn(geometry: shapely.Geometry, kind: int, at: Affine, mask: Mask, all_touched: bool) -> None:
    """Burn points and lines into a mask."""
    height, width = mask.shape
    if kind in (POINT, MULTIPOINT):
        x, y = (np.floor(v) for v in to_pixels(shapely.get_coordinates(geometry), at))
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        mask[y[inside].astype(np.int64), x[inside].astype(np.int64)] = True
    elif kind in (LINE, MULTILINE, RING):
        lines, last = _segments(geometry, at)
        if all_touched:
            _, rows, columns = touched_pixels(lines, width, height, polygon=False)
        else:
            rows, columns = line_pixels(lines, last, width, height)
        mask[rows, columns] = True
    else:
        msg = f"a {geometry.geom_type} has no pixels; give polygons, lines or points"
        raise InvalidGeometryError(msg)


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
