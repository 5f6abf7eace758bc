"""Reads the boxes of points and plain polygons straight from WKB, as arrays: no geometry is made."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import shapely

POINT, POLYGON = int(shapely.GeometryType.POINT), int(shapely.GeometryType.POLYGON)
UNKNOWN = -2
"""In place of a type of geometry: to be parsed. -1 is shapely's for none."""
_WKB_POINT, _WKB_POLYGON = 1, 3
_AT_A_TIME = 1 << 16
"""Rows of which the numbers between are in memory."""
_POINT_BYTES, _RING_AT = 21, 13
"""Bytes of a point, and where the coordinates of a polygon's only ring begin."""


class Boxes(NamedTuple):
    """The boxes of a column of geometries."""

    types: npt.NDArray[np.int64]
    """As `shapely.get_type_id` has them; `UNKNOWN` where WKB is anything else than a plain point or polygon."""
    bounds: npt.NDArray[np.float64]
    """(minx, miny, maxx, maxy), shape (n, 4); NaN where they are unknown."""


def wkb_boxes(column: pa.Array) -> Boxes:
    """The boxes of a column of WKB.

    Known are those of little-endian points and polygons of one closed ring, two-dimensional, without an SRID, of
    finite numbers. Whatever a parser might refuse is unknown here.

    Args:
        column: BLOB or GEOMETRY's WKB, as Arrow's binary or large_binary.
    """
    count = len(column)
    types = np.full(count, UNKNOWN, np.int64)
    bounds = np.full((count, 4), np.nan)
    width = np.int64 if pa.types.is_large_binary(column.type) else np.int32
    _, of_offsets, of_data = column.buffers()
    if of_data is None or not count:
        return Boxes(types, bounds)
    ends = np.frombuffer(of_offsets, width)[column.offset : column.offset + count + 1].astype(np.int64)
    data = np.frombuffer(of_data, np.uint8)
    begin, length = ends[:-1], np.diff(ends)
    there = length >= _POINT_BYTES
    if column.null_count:
        there &= column.is_valid().to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(there)
    if not len(rows):
        return Boxes(types, bounds)
    heads = np.ascontiguousarray(data[begin[rows, None] + np.arange(_RING_AT)])
    kind, rings, vertices = (heads[:, at : at + 4].copy().view("<u4").ravel().astype(np.int64) for at in (1, 5, 9))
    kind[heads[:, 0] != 1] = 0
    doubles: npt.NDArray[np.float64] = np.ndarray((len(data) - 7,), "<f8", data, strides=(1,))  # one from each byte
    points = rows[(kind == _WKB_POINT) & (length[rows] == _POINT_BYTES)]
    if len(points):
        xy = doubles[begin[points, None] + np.array((5, 13))]
        finite = np.isfinite(xy).all(axis=1)
        types[points[finite]] = POINT
        bounds[points[finite]] = np.tile(xy[finite], 2)
    whole = (kind == _WKB_POLYGON) & (rings == 1) & (vertices >= 4) & (length[rows] == _RING_AT + 16 * vertices)
    if whole.any():
        polygons = rows[whole]
        box, sound = _ring_boxes(doubles, begin[polygons] + _RING_AT, vertices[whole])
        types[polygons[sound]] = POLYGON
        bounds[polygons[sound]] = box[sound]
    return Boxes(types, bounds)


def wkb_points(column: pa.Array) -> npt.NDArray[np.float64] | None:
    """The points of a column of WKB, shape (n, 2), NaN where it is NULL; None where one is no plain point.

    Args:
        column: as `wkb_boxes` takes it.
    """
    xy = np.full((len(column), 2), np.nan)
    for begin in range(0, len(column), _AT_A_TIME):
        some = column.slice(begin, _AT_A_TIME)
        types, bounds = wkb_boxes(some)
        if int((types == POINT).sum()) + some.null_count < len(some):
            return None
        xy[begin : begin + len(some)] = bounds[:, :2]
    return xy


def _ring_boxes(
    doubles: npt.NDArray[np.float64], begin: npt.NDArray[np.int64], vertices: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Boxes of rings of so many vertices from each byte on; True for those that are closed and finite."""
    first = np.cumsum(vertices) - vertices
    at = np.repeat(begin - 16 * first, vertices) + 16 * np.arange(int(vertices.sum()))
    x, y = doubles[at], doubles[at + 8]
    last = first + vertices - 1
    box = np.column_stack([side.reduceat(axis, first) for side in (np.minimum, np.maximum) for axis in (x, y)])
    sound = np.isfinite(box).all(axis=1) & (x[first] == x[last]) & (y[first] == y[last])
    return box, sound


def geometry_boxes(geometries: npt.NDArray[np.object_]) -> Boxes:
    """The boxes of geometries, shape (n,); NaN where one is None or empty."""
    return Boxes(shapely.get_type_id(geometries).astype(np.int64), shapely.bounds(geometries).reshape(-1, 4))
