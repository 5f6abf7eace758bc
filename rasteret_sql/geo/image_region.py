"""Finds the part of the globe that a polygon of a projected CRS covers, such as the outline of an image.

A ring in the plane of a projection is followed over the globe; what lies to its left is covered. So a ring that goes
round a pole gives a cap with the pole in it, one that goes round the point opposite of an azimuthal projection's centre
gives all but what it encloses, and nobody has to know which projection it is. Beforehand the polygon is cut to the
part of the plane that shows the globe at all: the plane goes on beside the disc of a geostationary image, and beside
the outlines of Mollweide or Goode's maps.

Longitudes of a region may go beyond 180 in one piece; `image_region` brings them back within ±180.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.crs import LONLAT, LonLat, lonlat_of, metres, transformer
from rasteret_sql.geo.densify import Floats, densified, strays_on_sphere, wrapped
from rasteret_sql.geo.even_odd import valid_area
from rasteret_sql.geo.grid import Affine
from rasteret_sql.geo.limb_point import limb_point
from rasteret_sql.geo.valid_part import Shown, valid_part

_FINE = 1e-4
"""Tolerance of a region's outline where the caller says none: part of its diagonal."""
_OF_POINT = 64
"""Vertices that stay of an end that is a point."""
_MOST_VERTICES = 500
"""Of a region that is kept; one of more is taken ten times as coarsely."""


@dataclass(frozen=True, slots=True)
class _Plane:
    """The plane of a projection."""

    move: Callable[[Floats], Floats]
    """From there to longitudes and latitudes."""
    unit: float
    """Length of a unit of latitude in the plane, where its scale is true."""
    shown: Shown
    """What of it is looked at."""
    ends_in_point: bool
    """True where all that the plane shows along the end of the globe is one place."""


@lru_cache(maxsize=1024)
def image_region(transform: Affine, width: int, height: int, crs: str) -> shapely.Geometry | None:
    """The part of the globe that an image shows, in lon/lat.

    Args:
        transform: pixel → CRS of the image.
        width: pixels across.
        height: pixels down.
        crs: of the image.

    Returns:
        A valid Polygon or MultiPolygon within ±180 and ±90, cut at the antimeridian, poles included where the image
        has them; None where no part of the image shows a place on Earth, or PROJ has no way from `crs` to lon/lat.
    """
    corners = [transform.apply(*at) for at in ((0, 0), (width, 0), (width, height), (0, height))]
    return lonlat_region(shapely.Polygon(corners), crs)


def lonlat_region(polygon: shapely.Geometry, crs: str) -> shapely.Geometry | None:
    """As `image_region` for any Polygon or MultiPolygon whose edges are straight in `crs`."""
    hub = lonlat_of(LONLAT)
    assert hub is not None
    if lonlat_of(crs) is not None and lonlat_of(crs) == hub:
        found = [polygon]
    else:
        try:
            found = on_globe(polygon, crs, hub)
        except InvalidCrsError:
            return None
    # Edges that a rounding put beyond ±180 by a hair would be cut off as slivers on the other side.
    within = [within_turn(_snapped(part, hub), hub) for part in found]
    whole = polygonal(shapely.union_all([part for part in within if part is not None]))
    if whole is None:
        return None
    west, south, east, north = shapely.bounds(whole)
    fine = _FINE * float(np.hypot(east - west, north - south))
    simple = shapely.simplify(whole, fine)
    if shapely.get_num_coordinates(simple) > _MOST_VERTICES:
        simple = shapely.simplify(whole, 10 * fine)
    return polygonal(simple)


def within_turn(region: shapely.Geometry, hub: LonLat) -> shapely.Geometry | None:
    """A region with all its longitudes within ± half a turn."""
    half = hub.turn / 2
    west, _, east, _ = shapely.bounds(region)
    turns = range(int(np.floor((west + half) / hub.turn)), int(np.ceil((east - half) / hub.turn)) + 1)
    window = shapely.box(-half, -hub.turn / 4, half, hub.turn / 4)
    parts = [shapely.intersection(shifted(region, -turn * hub.turn), window) for turn in turns]
    return polygonal(shapely.union_all(parts))


def in_one_run(region: shapely.Geometry, hub: LonLat) -> shapely.Geometry:
    """A region within ± half a turn, in the narrowest run of longitudes: one across 180 degrees goes on beyond."""
    parts = shapely.get_parts(region)
    if len(parts) < 2:
        return region
    sides = shapely.bounds(parts)[:, (0, 2)]
    order = np.argsort(sides[:, 0])
    wests, easts = sides[order, 0], np.maximum.accumulate(sides[order, 1])
    gaps = wests[1:] - easts[:-1]
    widest = int(np.argmax(gaps))
    if gaps[widest] <= wests[0] + hub.turn - easts[-1]:
        return region
    parts[order[: widest + 1]] = [shifted(part, hub.turn) for part in parts[order[: widest + 1]]]
    return shapely.union_all(parts)


def shifted(geometry: shapely.Geometry, by: float) -> shapely.Geometry:
    """A geometry moved eastwards; the same object where it is not."""
    return shapely.transform(geometry, partial(_east, by=by)) if by else geometry


def _east(coordinates: Floats, by: float) -> Floats:
    moved: Floats = coordinates + np.array([by, 0.0])
    return moved


def _snapped(region: shapely.Geometry, hub: LonLat) -> shapely.Geometry:
    half = hub.turn / 2

    def snap(xy: Floats) -> Floats:
        near = np.round(xy[:, 0] / half) * half
        return np.column_stack([np.where(np.abs(xy[:, 0] - near) < half * 1e-9, near, xy[:, 0]), xy[:, 1]])

    return repaired(shapely.transform(region, snap))


def on_globe(
    polygon: shapely.Geometry, crs: str, hub: LonLat, tolerance: float | None = None, overlap: float | None = None
) -> list[shapely.Geometry]:
    """The part of the globe that a polygon of a projection covers, with each piece in one run of longitudes.

    Args:
        polygon: Polygon or MultiPolygon in `crs`, its edges straight there.
        crs: projected, or at least none in longitude and latitude.
        hub: the longitudes and latitudes that are wanted.
        tolerance: how far edges may stray, in units of latitude; None: a ten thousandth of the region.
        overlap: longitude by which the two halves overlap in which what goes round a pole is given; None: it is given
            whole, from -half a turn to half a turn.

    Returns:
        Valid polygons. Longitudes may lie beyond ± half a turn.

    Raises:
        InvalidCrsError: PROJ has no way from `crs` to `hub`.
    """
    return sound_on_globe(valid_part(polygon, crs, hub), crs, hub, tolerance, overlap)


def sound_on_globe(
    sound: Shown, crs: str, hub: LonLat, tolerance: float | None = None, overlap: float | None = None
) -> list[shapely.Geometry]:
    """As `on_globe` for what `valid_part` gives."""
    there = transformer(crs, hub.crs)

    def move(xy: Floats) -> Floats:
        return np.column_stack(there.transform(xy[:, 0], xy[:, 1]))

    unit = metres(crs, 2 * np.pi * 6_371_000.0 / hub.turn)
    plane = _Plane(move, unit, sound, limb_point(sound, crs, hub) is not None)
    found: list[shapely.Geometry] = []
    for part in shapely.get_parts(sound.polygon):
        if part.geom_type == "Polygon" and not part.is_empty:
            found += _of_polygon(part, plane, hub, tolerance, overlap)
    return found


def _of_polygon(
    polygon: shapely.Polygon,
    plane: _Plane,
    hub: LonLat,
    tolerance: float | None,
    overlap: float | None,
) -> list[shapely.Geometry]:
    """The part that one sound polygon covers."""
    mirrored = _is_mirrored(polygon, plane.move, hub)
    polygon = shapely.orient_polygons(polygon, exterior_cw=mirrored)
    shell, *holes = [
        _followed(shapely.get_coordinates(ring), plane, hub, tolerance)
        for ring in (polygon.exterior, *polygon.interiors)
    ]
    if len(shell) < 4:
        return []
    # One point is its outline: all of the globe.
    everything = (
        plane.ends_in_point and winding(shell, hub) == 0 and bool(plane.shown.along(_open(polygon.exterior)).all())
    )
    if not everything and winding(shell, hub) == 0 and _area(shell) > 0:
        west, east = shell[:, 0].min(), shell[:, 0].max()
        found = [_left_of(shell, west, east, hub)]
        windows = [(west, east)]
    else:
        half, lap = hub.turn / 2, overlap or 0.0
        windows = [(-half, half)] if overlap is None else [(-half - lap, lap), (-lap, half + lap)]
        globe = [shapely.box(west, -hub.turn / 4, east, hub.turn / 4) for west, east in windows]
        found = globe if everything else [_left_of(shell, *window, hub) for window in windows]
    for hole in holes:
        if len(hole) >= 4:
            found = [
                shapely.intersection(part, _left_of(hole, *window, hub))
                for part, window in zip(found, windows, strict=True)
            ]
    return [part for each in found if (part := polygonal(each)) is not None]


def _left_of(ring: Floats, west: float, east: float, hub: LonLat) -> shapely.Geometry:
    """The area to the left of a ring that was followed over the globe, within a window of longitudes."""
    pole = hub.turn / 4
    window = shapely.box(west, -pole, east, pole)
    turns = range(
        int(np.floor((west - ring[:, 0].max()) / hub.turn)), int(np.ceil((east - ring[:, 0].min()) / hub.turn)) + 1
    )
    rounds = winding(ring, hub)
    if rounds == 0:
        if _area(ring) > 0 and ring[:, 0].min() == west and ring[:, 0].max() == east:
            return repaired(shapely.Polygon(ring))
        copies = [repaired(shapely.Polygon(_east(ring, turn * hub.turn))) for turn in turns]
        covered = shapely.union_all(copies)
        return shapely.intersection(window, covered) if _area(ring) > 0 else shapely.difference(window, covered)
    # One that goes round a pole is a line over the whole width; its neighbours make it wider than the window.
    if rounds < 0:
        line = np.concatenate([_east(ring[:-1], turn * hub.turn) for turn in sorted(turns, reverse=True)])
    else:
        line = np.concatenate([_east(ring[:-1], turn * hub.turn) for turn in turns])
    end = pole if rounds > 0 else -pole
    closed = shapely.Polygon([*line, (line[-1, 0], end), (line[0, 0], end)])
    return shapely.intersection(repaired(closed), window)


def winding(ring: Floats, hub: LonLat) -> int:
    """Times that a followed ring goes round, eastwards positive."""
    return int(np.sign(np.round((ring[-1, 0] - ring[0, 0]) / hub.turn)))


def _open(ring: shapely.LinearRing) -> Floats:
    vertices: Floats = shapely.get_coordinates(ring)[:-1]
    return vertices


def _area(ring: Floats) -> float:
    x, y = ring[:, 0] - ring[0, 0], ring[:, 1]
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())


def _followed(ring: Floats, plane: _Plane, hub: LonLat, tolerance: float | None) -> Floats:
    """A closed ring of the plane as the longitudes and latitudes on its way, without jumps of whole turns."""
    along = plane.shown.along(ring)
    if plane.ends_in_point:
        # Directions to it lie side by side, so near it that PROJ's own rounding shows: a few of them say the same.
        inner = along & np.roll(along, 1)
        inner[:: max(int(np.count_nonzero(inner)) // _OF_POINT, 1)] = False
        inner[[0, -1]] = False
        ring, along = ring[~inner], along[~inner]
    images = plane.move(ring)
    # Opposite of a projection's centre all directions lie side by side: short edges are not cut further.
    shortest = _FINE * float(np.ptp(ring, axis=0).max())
    if tolerance is None:
        placed = images[np.isfinite(images).all(axis=1)]
        size = float(np.hypot(*np.ptp(_unturned(placed, hub), axis=0))) if len(placed) else hub.turn
        tolerance = max(min(size, hub.turn) * _FINE, hub.turn * 1e-12)
    else:
        shortest = min(shortest, tolerance * plane.unit)
    owner = np.zeros(len(ring), dtype=np.int64)
    _, images, _, _ = densified(
        ring,
        owner,
        plane.move,
        strays_on_sphere(hub.turn),
        np.full(len(ring), tolerance),
        images=images,
        shortest=shortest,
        done=along,
    )
    return _unturned(_beside_poles(images[np.isfinite(images).all(axis=1)], hub), hub)


def _beside_poles(images: Floats, hub: LonLat) -> Floats:
    """A vertex at a pole has any longitude; it becomes two, with those of its neighbours."""
    pole = hub.turn / 4
    at_pole = np.abs(images[:, 1]) > pole * (1 - 1e-10)
    if not at_pole.any() or at_pole.all():
        return images
    if at_pole[0]:  # begin where the longitude is known
        start = int(np.argmin(at_pole))
        images = np.concatenate([images[start:-1], images[: start + 1]])
        at_pole = np.abs(images[:, 1]) > pole * (1 - 1e-10)
    sound = np.flatnonzero(~at_pole)
    here = np.flatnonzero(at_pole)
    before = sound[np.searchsorted(sound, here) - 1]
    after = sound[np.searchsorted(sound, here) % len(sound)]
    images = images.copy()
    second = images[here].copy()
    second[:, 0] = images[after, 0]
    images[here, 0] = images[before, 0]
    return np.insert(images, here + 1, second, axis=0)


def _unturned(images: Floats, hub: LonLat) -> Floats:
    """Longitudes in which each step goes the shorter way, and of which the middle lies within ± half a turn."""
    if not len(images):
        return images
    steps = wrapped(np.diff(images[:, 0]), hub.turn)
    lon = images[0, 0] + np.concatenate([[0.0], np.cumsum(steps)])
    # The same numbers where no turn was taken away: a sum of steps would round.
    lon = images[:, 0] + hub.turn * np.round((lon - images[:, 0]) / hub.turn)
    middle = (lon.min() + lon.max()) / 2
    lon -= hub.turn * np.round(middle / hub.turn)
    return np.column_stack([lon, images[:, 1]])


def _is_mirrored(polygon: shapely.Polygon, move: Callable[[Floats], Floats], hub: LonLat) -> bool:
    """True where east, then north, turn clockwise in the plane: CRS whose axes run west or south."""
    inside = shapely.get_coordinates(shapely.point_on_surface(polygon))[0]
    minx, miny, maxx, maxy = shapely.bounds(polygon)
    step = 1e-5 * max(maxx - minx, maxy - miny)
    here, right, up = move(inside + np.array([(0.0, 0.0), (step, 0.0), (0.0, step)]))
    east = wrapped(np.array([right[0] - here[0], up[0] - here[0]]), hub.turn)
    return bool(east[0] * (up[1] - here[1]) - east[1] * (right[1] - here[1]) < 0)


def repaired(geometry: shapely.Geometry) -> shapely.Geometry:
    """The geometry, made valid where it is not, or where rounding made it cross itself: of the area that GDAL burns."""
    return valid_area(geometry)


def polygonal(geometry: shapely.Geometry) -> shapely.Geometry | None:
    """The polygons of a geometry; None where it has none."""
    if geometry.geom_type in ("Polygon", "MultiPolygon"):
        return None if geometry.is_empty else geometry
    parts: npt.NDArray[np.object_] = shapely.get_parts(shapely.get_parts(geometry))
    kept = parts[shapely.get_type_id(parts) == 3] if len(parts) else parts
    return shapely.multipolygons(kept) if len(kept) else None
