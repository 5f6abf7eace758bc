"""Finds the window of pixels that a geometry needs, from its place in the CRS of an image."""

from __future__ import annotations

import math

import numpy as np
import shapely

from rasteret_sql.geo.grid import Affine, Window

_BLOCK_TOLERANCE = 1e-6
"""Pixels by which a side of a box may miss the border of a tile and is on it all the same: coordinates round."""


def pixel_bounds(geometry: shapely.Geometry, transform: Affine) -> tuple[float, float, float, float]:
    """Smallest column and row, largest column and row that the vertices of a geometry reach.

    Every vertex goes through the full inverse affine, so rotated images are right as well.
    """
    inverse = transform.inverse()
    if transform.is_rectilinear and not _has_holes(geometry):
        # Rows and columns keep the order of y and x: the corners of the bounds tell. The same arithmetic as below.
        minx, miny, maxx, maxy = geometry.bounds
        (col, row), (other_col, other_row) = inverse.apply(minx, miny), inverse.apply(maxx, maxy)
        return min(col, other_col), min(row, other_row), max(col, other_col), max(row, other_row)
    xy = shapely.get_coordinates(geometry)
    cols = xy[:, 0] * inverse.a + xy[:, 1] * inverse.b + inverse.c
    rows = xy[:, 0] * inverse.d + xy[:, 1] * inverse.e + inverse.f
    return float(cols.min()), float(rows.min()), float(cols.max()), float(rows.max())


def _has_holes(geometry: shapely.Geometry) -> bool:
    """True where a hole may reach out of its shell: it has pixels as well, and the bounds know nothing of it."""
    kind = geometry.geom_type
    return kind == "MultiPolygon" or (kind == "Polygon" and bool(shapely.get_num_interior_rings(geometry)))


def geometry_window(
    geometry: shapely.Geometry, transform: Affine, width: int, height: int, tile: tuple[int, int] | None = None
) -> Window | None:
    """Window of the pixels that a geometry's bounds touch, clipped to the image; None where they do not meet.

    Floor of the smallest and ceil of the largest row and column with no tolerance, as rasterio's `geometry_window`:
    an edge exactly on a pixel boundary adds nothing, any sliver adds a full pixel. A geometry without extent on an
    axis (a point, a vertical line) gets the pixel that holds it. A box of which all sides are on borders of tiles, but
    for rounding, has exactly the pixels of these tiles.

    Args:
        geometry: not empty, in the CRS of the image.
        transform: of the level that is read.
        width: pixels across the level.
        height: pixels down the level.
        tile: width and height of its tiles; None where their borders do not matter.
    """
    if geometry.is_empty:
        return None
    col_min, row_min, col_max, row_max = pixel_bounds(geometry, transform)
    if not all(map(math.isfinite, (col_min, row_min, col_max, row_max))):
        return None
    if tile is not None and transform.is_rectilinear:
        sides = (
            (col_min, tile[0], width),
            (col_max, tile[0], width),
            (row_min, tile[1], height),
            (row_max, tile[1], height),
        )
        if all(_is_on_border(*side) for side in sides):
            reach = np.array([[[col_min], [col_max]], [[row_min], [row_max]]])
            _snap_to_tiles(reach, np.array([geometry], object), (width, height), tile)
            col_min, col_max, row_min, row_max = reach.ravel().tolist()
    col, row = max(math.floor(col_min), 0), max(math.floor(row_min), 0)
    col_end = min(max(math.ceil(col_max), math.floor(col_min) + (col_min == col_max)), width)
    row_end = min(max(math.ceil(row_max), math.floor(row_min) + (row_min == row_max)), height)
    return Window(col, row, col_end - col, row_end - row) if col_end > col and row_end > row else None


def geometry_windows(
    geometries: np.ndarray, transform: Affine, width: int, height: int, tile: tuple[int, int] | None = None
) -> np.ndarray:
    """Windows of many geometries, as `geometry_window` has them.

    Args:
        geometries: shape (n,), in the CRS of the image; None and empty ones have no pixels.
        transform: of the level that is read.
        width: pixels across the level.
        height: pixels down the level.
        tile: width and height of its tiles; None where their borders do not matter.

    Returns:
        int64, shape (n, 4): first column, first row, width, height; width 0 where a geometry misses the image.
    """
    found = np.zeros((len(geometries), 4), np.int64)
    plain = np.full(len(geometries), transform.is_rectilinear)
    kinds = shapely.get_type_id(geometries)
    holed = (kinds == shapely.GeometryType.MULTIPOLYGON) | (shapely.get_num_interior_rings(geometries) > 0)
    plain &= ~holed
    for at in np.flatnonzero(~plain & ~shapely.is_missing(geometries)).tolist():
        window = geometry_window(geometries[at], transform, width, height, tile)
        if window is not None:
            found[at] = window.col_off, window.row_off, window.width, window.height
    a, b, c, d, e, f = transform.inverse()
    some = geometries if plain.all() else geometries[plain]
    west, south, east, north = shapely.bounds(some).T
    with np.errstate(invalid="ignore"):  # missing and empty ones have no bounds
        cols = np.sort([west * a + south * b + c, east * a + north * b + c], 0)
        rows = np.sort([west * d + south * e + f, east * d + north * e + f], 0)
        if tile is not None:
            reach = np.stack([cols, rows])
            _snap_to_tiles(reach, some, (width, height), tile)
            cols, rows = reach
        col, across = _span(cols, width)
        row, down = _span(rows, height)
    meets = (across > 0) & (down > 0)
    found[np.flatnonzero(plain)[meets]] = np.stack([col, row, across, down], 1)[meets].astype(np.int64)
    return found


def _is_on_border(position: float, tile: int, size: int) -> bool:
    """True where a position is on the border of a tile or at the end of the image, but for rounding."""
    return abs(position - round(position / tile) * tile) <= _BLOCK_TOLERANCE or abs(position - size) <= _BLOCK_TOLERANCE


def _snap_to_tiles(reach: np.ndarray, geometries: np.ndarray, size: tuple[int, int], tile: tuple[int, int]) -> None:
    """Put the sides of boxes exactly on the borders of tiles where all four are there but for rounding.

    Args:
        reach: shape (2, 2, n): for columns and rows the smallest and largest position; changed in place.
        geometries: shape (n,), on a grid that is not rotated.
        size: width and height of the image, whose ends are borders as well.
        tile: width and height of its tiles.
    """
    sizes, tiles = (np.array(pair, float)[:, None, None] for pair in (size, tile))
    near = np.round(reach / tiles) * tiles
    near = np.where(np.abs(reach - sizes) <= _BLOCK_TOLERANCE, sizes, near)
    on_border = (np.abs(reach - near) <= _BLOCK_TOLERANCE).all((0, 1)) & (near[:, 0] < near[:, 1]).all(0)
    at = np.flatnonzero(on_border & (near != reach).any((0, 1)))
    at = at[_are_boxes(geometries[at])]
    reach[:, :, at] = near[:, :, at]


def _are_boxes(geometries: np.ndarray) -> np.ndarray:
    """True for polygons that fill their bounds: a side of theirs is at each of these, and nothing is cut out."""
    west, south, east, north = shapely.bounds(geometries).T
    whole_area = (east - west) * (north - south)
    kinds = np.isin(shapely.get_type_id(geometries), (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON))
    boxes: np.ndarray = kinds & (np.abs(shapely.area(geometries) - whole_area) <= 1e-9 * whole_area)
    return boxes


def _span(reach: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """First pixel and number of pixels between the smallest and largest positions, shape (2, n), on one axis."""
    low, high = reach
    first = np.maximum(np.floor(low), 0)
    end = np.minimum(np.maximum(np.ceil(high), np.floor(low) + (low == high)), size)
    return first, np.where(np.isfinite(low) & np.isfinite(high), end - first, 0)


def point_positions(xs: np.ndarray, ys: np.ndarray, transform: Affine) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of points as positions from the corner of the image: its first pixel has its centre at 0.5."""
    inverse = transform.inverse()
    return xs * inverse.a + ys * inverse.b + inverse.c, xs * inverse.d + ys * inverse.e + inverse.f


def point_pixels(xs: np.ndarray, ys: np.ndarray, transform: Affine) -> tuple[np.ndarray, np.ndarray]:
    """Column and row of the pixel that holds each point, int64; they may lie outside the image.

    Positions beyond any image (not finite, or larger than 2^53) become -1.
    """
    with np.errstate(invalid="ignore"):  # infinite coordinates are outside, below
        cols, rows = (np.floor(each) for each in point_positions(xs, ys, transform))
    far = ~(np.isfinite(cols) & np.isfinite(rows) & (np.abs(cols) < 2**53) & (np.abs(rows) < 2**53))
    return np.where(far, -1, cols).astype(np.int64), np.where(far, -1, rows).astype(np.int64)


def inside_of(
    xs: np.ndarray, ys: np.ndarray, transform: Affine, width: int, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of points as `point_positions` has them, and the numbers of those that are inside the image."""
    with np.errstate(invalid="ignore"):  # infinite coordinates are outside
        x, y = point_positions(xs, ys, transform)
        return x, y, np.flatnonzero((x >= 0) & (x < width) & (y >= 0) & (y < height))


def whole(width: int, height: int) -> Window:
    """The window of a whole image."""
    return Window(0, 0, width, height)
