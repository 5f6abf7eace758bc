"""Finds the area of polygons that are not valid by the rule by which pixels are chosen.

Rasterising, a place is in a polygon if a ray from it crosses the polygon's rings an odd number of times, and in a
MultiPolygon if it is in any of its parts. Repairs of GEOS answer otherwise: `make_valid` by its lines takes what two
parts share out of both, and by its structure fills what a ring encloses twice.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

_POLYGON = 3
_AT_ONCE = 1 << 22
"""Faces times edges that are compared in one step: 4 MiB of truth values."""


def valid_area(geometry: shapely.Geometry) -> shapely.Geometry:
    """A valid geometry of the same area.

    Args:
        geometry: Polygon or MultiPolygon; rings may cross, repeat and touch, parts may overlap.

    Returns:
        The geometry itself where it is valid, else a Polygon or MultiPolygon, empty where there is no area.
    """
    if shapely.is_valid(geometry):
        return geometry
    parts = shapely.get_parts(geometry)
    invalid = np.flatnonzero(~shapely.is_valid(parts))
    for at in invalid.tolist():
        parts[at] = _odd_faces(parts[at])
    area = shapely.union_all(parts)
    polygons = shapely.get_parts(area)
    polygons = polygons[shapely.get_type_id(polygons) == _POLYGON]
    return polygons[0] if len(polygons) == 1 else shapely.multipolygons(polygons)


def _odd_faces(polygon: shapely.Geometry) -> shapely.Geometry:
    """The area that a polygon's rings enclose an odd number of times."""
    coordinates, ring = shapely.get_coordinates(shapely.get_rings(polygon), return_index=True)
    inside = ring[:-1] == ring[1:]
    begin, end = coordinates[:-1][inside], coordinates[1:][inside]
    lines = shapely.union_all(_lines(coordinates, ring, begin, end))
    # Faces between all lines: inside of one, no edge lies, so any of its points tells for the whole.
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(lines)))
    if not len(faces):
        return shapely.Polygon()
    odd = _is_odd(shapely.point_on_surface(faces), begin, end)
    return shapely.union_all(faces[odd])


def _lines(
    coordinates: npt.NDArray[np.float64],
    ring: npt.NDArray[np.int64],
    begin: npt.NDArray[np.float64],
    end: npt.NDArray[np.float64],
) -> npt.NDArray[np.object_]:
    """The rings as lines; where they go there and back, each edge once: GEOS takes quadratic time for such rings."""
    middles = (begin + end) @ np.array([1.0, np.pi])
    if len(np.unique(middles)) > 0.9 * len(middles):
        whole: npt.NDArray[np.object_] = shapely.linestrings(coordinates, indices=ring)
        return whole
    forwards = (begin[:, 0] < end[:, 0]) | ((begin[:, 0] == end[:, 0]) & (begin[:, 1] <= end[:, 1]))
    edges = np.where(forwards[:, None], np.hstack([begin, end]), np.hstack([end, begin]))
    edges = np.unique(edges[(begin != end).any(axis=1)], axis=0)
    once: npt.NDArray[np.object_] = shapely.linestrings(edges.reshape(-1, 2, 2))
    return once


def _is_odd(
    points: npt.NDArray[np.object_], begin: npt.NDArray[np.float64], end: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """True where a ray from a point towards greater x crosses an odd number of edges.

    Args:
        points: shape (n,), on no edge.
        begin: (x, y) where each edge begins, shape (m, 2).
        end: where it ends.
    """
    x, y = shapely.get_x(points), shapely.get_y(points)
    odd = np.zeros(len(points), dtype=np.bool_)
    step = max(_AT_ONCE // max(len(begin), 1), 1)
    x1, y1, x2, y2 = *begin.T, *end.T
    rise = np.where(y1 == y2, 1.0, y2 - y1)  # level edges cross nothing, below
    for first in range(0, len(points), step):
        px, py = x[first : first + step, None], y[first : first + step, None]
        spans = (y1 <= py) != (y2 <= py)  # a vertex counts for one of its edges
        crossed = spans & (x1 + (py - y1) / rise * (x2 - x1) > px)
        odd[first : first + step] = np.count_nonzero(crossed, axis=1) % 2 == 1
    return odd
