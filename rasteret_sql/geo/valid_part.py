"""Finds the part of a projection's plane that shows the globe: a disc, an oval, lobes, a fan.

A position of the plane belongs to it that has a longitude and latitude which lead back to the same position. Beside it
PROJ gives nothing, or places that are shown elsewhere already. The outline is found as by marching squares: cells with
corners of both kinds are quartered some times, and cut at last where their edges leave the part, along the outline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.geo.crs import LonLat, geographic_base, lonlat_of, metres, transformer
from rasteret_sql.geo.densify import Bools, Floats, Ints
from rasteret_sql.geo.even_odd import valid_area
from rasteret_sql.geo.grid import Bounds

_CELLS = 12
"""Cells along each side at first."""
_CELLS_LARGE = 32
"""The same where the plane's part spans much of the globe, so that it may have an outline anywhere."""
_LARGE = 20.0
"""Degrees of longitude or latitude."""
_SHIFT = 100.0
"""Metres by which a way there and back may miss: PROJ may choose another shift of the datum for the way back. What is
shown elsewhere misses by far more."""
_QUARTERINGS = 5
_HALVINGS = 30
_BULGE = 0.25
"""How far beside a chord they are looked for, in its length."""
_BESIDE = 1e-5
"""Pixels by which its vertices may miss it, more or less."""
_BULGE_HALVINGS = 20

_NO_LIMB = np.empty(0, dtype=np.complex128)
_CORNERS = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The part of a polygon that shows the globe."""

    polygon: shapely.Geometry
    """The same object that was given where all of it does."""
    limb: npt.NDArray[np.complex128]
    """Vertices at which the globe ends, x + iy. An edge between two of them goes along that end, not straight."""

    def along(self, ring: Floats) -> Bools:
        """True for edges of a ring, from each vertex to the next, that go along the end of the globe; shape (n,)."""
        at = np.isin(ring[:, 0] + 1j * ring[:, 1], self.limb)
        return at & np.roll(at, -1)


def valid_part(polygon: shapely.Geometry, crs: str, hub: LonLat, pixel: float | None = None) -> Shown:
    """The part of a polygon that shows the globe.

    Args:
        polygon: Polygon or MultiPolygon in the plane of `crs`.
        crs: of the plane.
        hub: longitudes and latitudes, on its globe where they can be: a shift of the datum is no matter of the plane.
        pixel: size of what must not be lost beside the outline; None: a thousandth of the polygon.
    """
    base = geographic_base(crs)
    hub = hub if base is None else lonlat_of(base) or hub
    minx, miny, maxx, maxy = shapely.bounds(polygon)
    size = max(maxx - minx, maxy - miny)
    test = _shows(crs, hub, 1e-4 * size + metres(crs, _SHIFT))
    shown, lonlat = test(_grid(minx, miny, maxx, maxy, _CELLS))
    if shown.all() and np.ptp(lonlat[:, 1]) < _LARGE and _narrow(lonlat[:, 0], hub):
        return Shown(polygon, _NO_LIMB)
    cells = _CELLS_LARGE
    shown, _ = test(_grid(minx, miny, maxx, maxy, cells))
    if shown.all():
        return Shown(polygon, _NO_LIMB)
    outline, limb = _marched(test, shown.reshape(cells + 1, cells + 1), (minx, miny, maxx, maxy), pixel)
    return Shown(shapely.intersection(polygon, outline), limb)


def _grid(minx: float, miny: float, maxx: float, maxy: float, cells: int) -> Floats:
    """Positions of the corners of cells, row by row from (minx, miny)."""
    xs, ys = np.meshgrid(np.linspace(minx, maxx, cells + 1), np.linspace(miny, maxy, cells + 1))
    return np.column_stack([xs.ravel(), ys.ravel()])


def _narrow(longitudes: Floats, hub: LonLat) -> bool:
    first = longitudes - longitudes[0]
    return bool(np.ptp(first - hub.turn * np.round(first / hub.turn)) < _LARGE)


def _shows(crs: str, hub: LonLat, tolerance: float) -> Callable[[Floats], tuple[Bools, Floats]]:
    """A test of positions: which show the globe, and what."""
    there, back = transformer(crs, hub.crs), transformer(hub.crs, crs)

    def test(xy: Floats) -> tuple[Bools, Floats]:
        lon, lat = there.transform(xy[:, 0], xy[:, 1])
        x, y = back.transform(lon, lat)
        with np.errstate(invalid="ignore"):  # infinite where there is no place
            shown = (np.abs(x - xy[:, 0]) <= tolerance) & (np.abs(y - xy[:, 1]) <= tolerance)
        return shown, np.column_stack([lon, lat])

    return test


def _marched(
    test: Callable[[Floats], tuple[Bools, Floats]], shown: Bools, bounds: Bounds, pixel: float | None
) -> tuple[shapely.Geometry, npt.NDArray[np.complex128]]:
    """The outline over a grid of cells, of whose corners `shown` tells, and the vertices on the globe's end."""
    cells = len(shown) - 1
    start, extent = np.array(bounds[:2]), np.subtract(bounds[2:], bounds[:2])
    rows, columns = np.divmod(np.arange(cells * cells), cells)
    at: Ints = np.column_stack([columns, rows])
    corners = np.stack([shown[rows + dy, columns + dx] for dx, dy in _CORNERS], axis=1)
    boxes = []
    for round_ in range(_QUARTERINGS + 1):
        whole, mixed = corners.all(axis=1), corners.any(axis=1) & ~corners.all(axis=1)
        if round_ == 0:
            mixed = _beside(corners.any(axis=1).reshape(cells, cells)).ravel() & ~whole
        low = start + at[whole] * extent / cells
        high = start + (at[whole] + 1) * extent / cells
        boxes.append(shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1]))
        at, corners = at[mixed], corners[mixed]
        if round_ == _QUARTERINGS or not len(at):
            break
        cells *= 2
        at = (2 * at[:, None, :] + _CORNERS).reshape(-1, 2)
        positions = start + (at[:, None, :] + _CORNERS).reshape(-1, 2) * extent / cells
        corners = test(positions)[0].reshape(-1, 4)
    limb = _NO_LIMB
    if len(at):
        cut, limb = _cut_cells(test, start + (at[:, None, :] + _CORNERS) * extent / cells, corners, pixel)
        boxes.append(cut)
    return shapely.union_all(np.concatenate(boxes)), limb


def _beside(shown: Bools) -> Bools:
    """Cells of which a neighbour shows something: the tip of a fan may lie in one and reach none of its corners."""
    wide = np.pad(shown, 1)
    rows = wide[:-2] | wide[1:-1] | wide[2:]
    return np.asarray(rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:])


def _cut_cells(
    test: Callable[[Floats], tuple[Bools, Floats]], corners: Floats, shown: Bools, pixel: float | None
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.complex128]]:
    """The shown part of cells with corners of both kinds, corners (n, 4, 2), and the vertices where they are cut."""
    following, following_shown = np.roll(corners, -1, axis=1), np.roll(shown, -1, axis=1)
    changes = shown != following_shown
    inside = np.where(shown[..., None], corners, following)[changes]
    outside = np.where(shown[..., None], following, corners)[changes]
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        is_shown = test(middle)[0][:, None]
        inside, outside = np.where(is_shown, middle, inside), np.where(is_shown, outside, middle)
    crossing = np.full(corners.shape, np.nan)
    crossing[changes] = inside
    once = (changes.sum(axis=1) == 2)[:, None]
    leaves, enters = changes & shown & once, changes & ~shown & once
    bulge = _bulge(test, crossing[leaves], crossing[enters], pixel)
    between = np.full((*leaves.shape, *bulge.shape[1:]), np.nan)
    between[leaves] = bulge
    # A ring takes, corner by corner, the corner where it is shown, its edge's crossing, and the outline after that.
    vertices = np.concatenate([corners[:, :, None], crossing[:, :, None], between], axis=2)
    vertices[~shown, 0] = np.nan
    taken = np.isfinite(vertices[..., 0]).reshape(len(corners), -1)
    cell = np.repeat(np.arange(len(corners)), taken.sum(axis=1))
    # Every cell here has corners of both kinds: three vertices at least.
    polygons = shapely.polygons(shapely.linearrings(vertices.reshape(len(corners), -1, 2)[taken], indices=cell))
    crossed = ~shapely.is_valid(polygons)
    polygons[crossed] = [valid_area(polygon) for polygon in polygons[crossed]]
    limb = np.concatenate([inside, bulge[np.isfinite(bulge[..., 0])]])
    return polygons, limb[:, 0] + 1j * limb[:, 1]


def _bulge(test: Callable[[Floats], tuple[Bools, Floats]], start: Floats, end: Floats, pixel: float | None) -> Floats:
    """The outline beside chords, at about each pixel: positions (n, k, 2). The part lies to the left of a chord.

    NaN where the outline is not beside its chord. Chords alone lost eight pixels of a disc of 3,700.
    """
    along = end - start
    length = float(np.median(np.hypot(along[:, 0], along[:, 1]))) if len(along) else 0.0
    reach = float(np.ptp(start, axis=0).max()) if len(start) else 0.0
    # Of a circle, so long a chord is off by that part of a pixel.
    longest = min(pixel, np.sqrt(4 * _BESIDE * pixel * reach)) if pixel else length
    pieces = max(round(length / longest), 1) if longest else 1
    middle = start[:, None, :] + (np.arange(1, pieces) / pieces)[:, None] * along[:, None, :]
    right = _BULGE * np.column_stack([along[:, 1], -along[:, 0]])[:, None, :]
    inside, outside = (middle - right).reshape(-1, 2), (middle + right).reshape(-1, 2)
    if not len(inside):
        return middle
    found = test(inside)[0] & ~test(outside)[0]
    for _ in range(_BULGE_HALVINGS):
        between = (inside + outside) / 2
        is_shown = test(between)[0][:, None]
        inside, outside = np.where(is_shown, between, inside), np.where(is_shown, outside, between)
    return np.where(found[:, None], inside, np.nan).reshape(middle.shape)
