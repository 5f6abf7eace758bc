"""Makes edges in pixel space of polygons: centre mask, touch mask and exact coverage all start from these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.expand import expand

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Lines = tuple[Floats, Floats, Floats, Floats]
"""(x1, y1, x2, y2) of edges, each shape (n,)."""

POINT, LINE, RING, POLYGON, MULTIPOINT, MULTILINE, MULTIPOLYGON, COLLECTION = range(8)
"""shapely's type ids."""
_NEAR = 1e-5
"""Units of the CRS, whichever they are: OGR's own bound for vertices that are taken as one."""


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Edges of the rings of a geometry's polygons, each from (x1, y1) to (x2, y2) in pixels of its window."""

    x1: Floats
    y1: Floats
    x2: Floats
    y2: Floats
    part: Ints | None
    """Which polygon each edge bounds; None where there is only one."""
    ring: Ints | None
    """Which ring each edge is of; None where there is only one."""
    world: Floats
    """Vertices of all rings in the CRS, shape (n, 2), for the orientation of a ring."""
    vertex_ring: Ints | None
    """Which ring each vertex is of."""

    @property
    def lines(self) -> Lines:
        """(x1, y1, x2, y2) of all edges."""
        return self.x1, self.y1, self.x2, self.y2

    def clockwise(self, edges: Ints) -> npt.NDArray[np.bool_]:
        """True for those of some edges whose ring is clockwise in the CRS."""
        if self.ring is None or self.vertex_ring is None:
            return np.full(len(edges), is_clockwise(self.world))
        rings, of = np.unique(self.ring[edges], return_inverse=True)
        first = np.searchsorted(self.vertex_ring, rings)
        last = np.searchsorted(self.vertex_ring, rings, side="right")
        turned: npt.NDArray[np.bool_] = _are_clockwise(self.world, first, last)[of]
        return turned


def pixel_coefficients(transform: Affine, window: Window) -> Affine:
    """CRS → pixels of the window, with the operations and their order that GDAL has, so that ties round alike.

    Raises:
        InvalidArgumentError: the transform cannot be inverted.
    """
    a, b, c, d, e, f = transform.shifted(window.col_off, window.row_off)
    if b == 0 and d == 0 and a != 0 and e != 0:
        return Affine(1.0 / a, 0.0, -c / a, 0.0, 1.0 / e, -f / e)
    determinant = a * e - b * d
    largest = max(abs(a), abs(b), abs(d), abs(e))
    if not abs(determinant) > 1e-10 * largest * largest:
        msg = f"the transform {tuple(transform)} maps all pixels onto one line and cannot be inverted"
        raise InvalidArgumentError(msg)
    inverse = 1.0 / determinant
    return Affine(
        e * inverse,
        -b * inverse,
        (b * f - c * e) * inverse,
        -d * inverse,
        a * inverse,
        (-a * f + c * d) * inverse,
    )


def to_pixels(coordinates: Floats, at: Affine) -> tuple[Floats, Floats]:
    """Positions of CRS coordinates, shape (n, 2), in pixels (column, row); order of operations as GDAL's."""
    x, y = coordinates[:, 0], coordinates[:, 1]
    if at.b == 0 and at.d == 0:
        return at.c + x * at.a, at.f + y * at.e
    return at.c + x * at.a + y * at.b, at.f + x * at.d + y * at.e


def polygon_edges(geometry: shapely.Geometry, at: Affine) -> Edges:
    """Edges of one Polygon or MultiPolygon.

    Args:
        geometry: in the CRS.
        at: CRS → pixels of the window (see `pixel_coefficients`).
    """
    coordinates = shapely.get_coordinates(geometry)
    if geometry.geom_type == "Polygon" and not shapely.get_num_interior_rings(geometry):
        px, py = to_pixels(coordinates, at)
        return Edges(px[:-1], py[:-1], px[1:], py[1:], None, None, coordinates, None)
    parts = shapely.get_parts(geometry)
    rings, part_of_ring = shapely.get_rings(parts, return_index=True)
    coordinates, ring = shapely.get_coordinates(rings, return_index=True)
    px, py = to_pixels(coordinates, at)
    inside = ring[:-1] == ring[1:]
    of_edge = ring[:-1][inside]
    return Edges(
        px[:-1][inside],
        py[:-1][inside],
        px[1:][inside],
        py[1:][inside],
        part_of_ring[of_edge] if len(parts) > 1 else None,
        of_edge,
        coordinates,
        ring,
    )


def _are_clockwise(vertices: Floats, first: Ints, last: Ints) -> npt.NDArray[np.bool_]:
    """As `is_clockwise` for many rings at once, in linear time.

    Args:
        vertices: of all rings.
        first: number of the first vertex of each ring.
        last: number past its last one, which closes it.
    """
    count = np.maximum(last - first - 1, 0)  # without the one that closes it
    clear = count >= 2
    turned = np.ones(len(first), dtype=np.bool_)
    start = np.cumsum(count) - count
    at = expand(first, count)
    x, y = vertices[at].T
    ring = np.repeat(np.arange(len(first)), count)
    lowest = np.full(len(first), np.inf)
    np.minimum.at(lowest, ring, y)
    low = np.flatnonzero(y == lowest[ring])
    rightmost = np.full(len(first), -np.inf)
    np.maximum.at(rightmost, ring[low], x[low])
    low = low[x[low] == rightmost[ring[low]]]
    clear &= np.bincount(ring[low], minlength=len(first)) == 1
    _, once = np.unique(ring[low], return_index=True)
    pivot = low[once][clear[ring[low[once]]]]
    of = ring[pivot]
    place = pivot - start[of]
    before = start[of] + (place - 1) % count[of]
    after = start[of] + (place + 1) % count[of]
    ax, ay, bx, by = x[after] - x[pivot], y[after] - y[pivot], x[before] - x[pivot], y[before] - y[pivot]
    near = ((np.abs(bx) < _NEAR) & (np.abs(by) < _NEAR)) | ((np.abs(ax) < _NEAR) & (np.abs(ay) < _NEAR))
    turn = ax * by - bx * ay
    turned[of] = turn < 0
    clear[of[near | (turn == 0)]] = False
    for unclear in np.flatnonzero(~clear & (count >= 2)).tolist():
        turned[unclear] = is_clockwise(vertices[first[unclear] : last[unclear]])
    return turned


def many_edges(geometries: npt.NDArray[np.object_], transform: Affine, windows: Ints) -> tuple[Lines, Ints, Ints]:
    """Edges of many Polygons on a grid that is not rotated, each as `polygon_edges` has them.

    Args:
        geometries: Polygons in the CRS, shape (n,).
        transform: pixel → CRS of the image.
        windows: of `raster.window.geometry_windows`, shape (n, 4).

    Returns:
        (x1, y1, x2, y2) in pixels of the polygon's window, ring by ring; the polygon of each edge; its ring.
    """
    if shapely.get_num_interior_rings(geometries).any():
        rings, of_ring = shapely.get_rings(geometries, return_index=True)
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        zone = of_ring[ring]
    else:  # without an object for each ring
        xy, ring = shapely.get_coordinates(geometries, return_index=True)
        zone = ring
    # From the window's corner, and in this order, as `pixel_coefficients` has it: positions round alike.
    shifted_c = transform.c + ((transform.a * windows[:, 0] + transform.b * windows[:, 1] + transform.c) - transform.c)
    shifted_f = transform.f + ((transform.d * windows[:, 0] + transform.e * windows[:, 1] + transform.f) - transform.f)
    x = (-shifted_c / transform.a)[zone] + xy[:, 0] * (1.0 / transform.a)
    y = (-shifted_f / transform.e)[zone] + xy[:, 1] * (1.0 / transform.e)
    joined = ring[:-1] == ring[1:]
    return (
        (x[:-1][joined], y[:-1][joined], x[1:][joined], y[1:][joined]),
        zone[:-1][joined],
        ring[:-1][joined],
    )


def is_clockwise(ring: Floats) -> bool:
    """Orientation of a closed ring in the CRS, shape (n, 2), y upwards; degenerate rings as OGR judges them.

    The turn at the lowest (then rightmost) vertex decides. Where that vertex occurs twice or has a neighbour within
    1e-5, or the turn is flat, the signed area decides.
    """
    points = ring[:-1]
    n = len(points)
    if n < 2:
        return True
    lowest = np.flatnonzero(points[:, 1] == points[:, 1].min())
    xs = points[lowest, 0]
    at = int(lowest[np.argmax(xs)])
    pivot = points[at]
    before, after = points[at - 1] - pivot, points[(at + 1) % n] - pivot
    unclear = (
        np.count_nonzero(xs == pivot[0]) > 1
        or bool((np.abs(before) < _NEAR).all())
        or bool((np.abs(after) < _NEAR).all())
    )
    turn = float(after[0] * before[1] - before[0] * after[1])
    if not unclear and turn != 0:
        return turn < 0
    x, y = ring[:, 0], ring[:, 1]
    area = x[0] * (y[1] - y[-1]) + (x[1:-1] * (y[2:] - y[:-2])).sum() + x[-1] * (y[0] - y[-2])
    return float(area) < 0
