"""Transforms points and small geometries to another CRS, whatever image they are for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.geo.crs import LONLAT, area_of_use, metres, metres_a_unit, transformer
from rasteret_sql.geo.crs_pair import PIXELS, CrsPair, Geometries, column, ranked, strays, tolerance, tolerances
from rasteret_sql.geo.densify import Bools, Floats, densified, polygons_of, rings_of, wrapped
from rasteret_sql.geo.grid import Bounds

_PLAIN_DEGREES = 10.0
_PLAIN_METRES = 1_000_000.0
"""Most extent of what is moved as it is."""
_FEW_VERTICES = 45
"""Fewer vertices than this are moved edge by edge: to try them all together asks for that many positions."""
_BLOWN_UP = 8.0
"""Times by which what is plain may be longer on the map; a box of ten degrees around such a point is so 20 times."""
_SHIFT = 100.0
"""Metres that a way there and back may miss, see `geo.valid_part`."""
_SHIFT_OF_POINTS = 2_000.0
"""The same for points, which are lost if they miss by more: what is taken for another place lies much further away."""


def transform_small(
    geometries: Geometries, pair: CrsPair, pixel: float, outline: float, images: Bounds
) -> tuple[Geometries, Bools]:
    """Geometries that are small and plain, moved with vertices added, and which of all these are.

    Args:
        geometries: shapely geometries, shape (n,).
        pair: their CRS and that of the images.
        pixel: size of the smallest pixel of the images.
        outline: length of the longest outline of an image, in pixels.
        images: box of all images.
    """
    transformer(pair.source, pair.native)  # says so where there is none
    kinds = shapely.get_type_id(geometries)
    out = np.full(len(geometries), None, dtype=object)
    plain = np.zeros(len(geometries), dtype=bool)
    points = kinds == shapely.GeometryType.POINT
    if points.any():
        out[points], plain[points] = _moved_points(geometries[points], pair, images), True
    small = ~points & _small(geometries, pair)
    for chosen, lines in ((small & _are_lines(kinds), True), (small & ~_are_lines(kinds), False)):
        if chosen.any():
            out[chosen], plain[chosen] = _moved_edges(geometries[chosen], pair, (pixel, outline), lines)
    return out, plain


def _are_lines(kinds: npt.NDArray[np.int32]) -> Bools:
    types = shapely.GeometryType
    return np.isin(kinds, (types.LINESTRING, types.LINEARRING, types.MULTILINESTRING, types.MULTIPOINT))


def moved_points(given: Floats, pair: CrsPair, images: Bounds) -> Floats:
    """Points moved, shape (n, 2); NaN for those without a place, or to which a projection gives that of another point.

    Args:
        given: finite, shape (n, 2).
        pair: their CRS and that of the images.
        images: box of all images.
    """
    xy = pair.forth(given)
    placed = np.asarray(np.isfinite(xy).all(axis=1))
    if pair.source_hub is None or pair.native_hub is None:
        asked = np.flatnonzero(placed & _doubtful(given, xy, pair, images))
        placed[asked] = _near_each(pair.back(xy[asked]), given[asked], pair, _SHIFT_OF_POINTS)
    xy[~placed] = np.nan
    return xy


def _moved_points(points: Geometries, pair: CrsPair, images: Bounds) -> Geometries:
    """Points moved as `moved_points` does; None for those that are lost."""
    xy = moved_points(shapely.get_coordinates(points), pair, images)
    placed = np.isfinite(xy[:, 0])
    moved = column(list(shapely.points(np.where(placed[:, None], xy, 0.0))))
    moved[~placed] = None
    return moved


def _doubtful(given: Floats, xy: Floats, pair: CrsPair, images: Bounds) -> Bools:
    """True for points that may have got the place of another: on the images, and outside of where their CRS is used."""
    if pair.source_hub is None:
        return np.ones(len(given), dtype=bool)
    with np.errstate(invalid="ignore"):  # no place
        near = _within(xy, images)
    area = area_of_use(pair.native) if pair.source == LONLAT else None
    return near if area is None else near & ~_within(given, area)


def _within(xy: Floats, box: Bounds) -> Bools:
    return np.asarray((xy[:, 0] >= box[0]) & (xy[:, 0] <= box[2]) & (xy[:, 1] >= box[1]) & (xy[:, 1] <= box[3]))


def _small(geometries: Geometries, pair: CrsPair) -> Bools:
    bounds: Floats = np.asarray(shapely.bounds(geometries))
    size: Floats = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
    hub = pair.source_hub
    limit = metres(pair.source, _PLAIN_METRES) if hub is None else _PLAIN_DEGREES / 360 * hub.turn
    return np.asarray(size <= limit, dtype=np.bool_)


def _moved_edges(
    geometries: Geometries, pair: CrsPair, image: tuple[float, float], lines: bool
) -> tuple[Geometries, Bools]:
    """As `transform_small`, of lines or of polygons, on images of that pixel and outline."""
    moved = _moved_at_once(geometries, pair, *image)
    if moved is not None:
        return moved, np.ones(len(geometries), dtype=bool)
    if lines:
        rings, part = shapely.get_parts(geometries, return_index=True)
        coordinates, ring = shapely.get_coordinates(rings, return_index=True)
        geometry_of_ring = part
    else:
        coordinates, ring, part, geometry = rings_of(geometries)
        geometry_of_ring = geometry[part]
    images = pair.forth(coordinates)
    dense, images, owner, left = densified(
        coordinates, ring, pair.forth, strays(pair), tolerances(images, ring, *image), images=images
    )
    of = geometry_of_ring[owner]
    begins = np.append(True, of[1:] != of[:-1])
    first = np.flatnonzero(begins)
    plain = np.ones(len(geometries), dtype=bool)
    plain[of[left]] = False
    plain[of[~np.isfinite(images).all(axis=1)]] = False
    hub = pair.native_hub
    if hub is not None:
        # In one run of longitudes, and where that is clear: not beside a pole, and not half around the globe.
        start = images[first, 0][np.cumsum(begins) - 1]
        with np.errstate(invalid="ignore"):  # not finite: not plain
            away = wrapped(images[:, 0] - start, hub.turn)
            plain[of[(np.abs(images[:, 1]) > 0.99 * hub.turn / 4) | (np.abs(away) > hub.turn / 8)]] = False
        images = np.column_stack([start + away, images[:, 1]])
    plain &= _come_back(dense[first], images[first], of[first], pair, len(geometries))
    out = np.full(len(geometries), None, dtype=object)
    if len(dense) == len(coordinates):
        sound = np.where(np.isfinite(images), images, 0.0)
        out[:] = shapely.set_coordinates(geometries.copy(), sound)
    elif lines:
        kept = plain[of]
        for number in np.unique(of[kept]).tolist():
            here = of == number
            out[number] = shapely.multilinestrings(shapely.linestrings(images[here], indices=ranked(owner[here])))
    else:
        kept = plain[of]
        made = polygons_of(images[kept], owner[kept], part, geometry, len(geometries))
        out[plain] = made[plain]
    return out, plain & ~shapely.is_missing(out) & ~_blown_up(geometries, out, pair)


def _blown_up(given: Geometries, moved: Geometries, pair: CrsPair) -> Bools:
    """True for what is so much larger on the map that it may lie around a point which the map shows all around itself.

    The ring around such a point, opposite of an azimuthal projection's centre, has everything else inside.
    """
    if pair.native_hub is not None:
        return np.zeros(len(given), dtype=bool)
    west, south, east, north = shapely.bounds(given).T
    hub = pair.source_hub
    slim = 1.0 if hub is None else np.cos(np.minimum(np.abs(south), np.abs(north)) * (2 * np.pi / hub.turn))
    size = np.hypot((east - west) * slim, north - south) * metres_a_unit(pair.source)
    minx, miny, maxx, maxy = shapely.bounds(moved).T
    with np.errstate(invalid="ignore"):  # not moved
        return np.asarray(np.hypot(maxx - minx, maxy - miny) * metres_a_unit(pair.native) > _BLOWN_UP * size)


def _moved_at_once(geometries: Geometries, pair: CrsPair, pixel: float, outline: float) -> Geometries | None:
    """Geometries moved vertex by vertex, where they all lie in one small area in which their edges stay straight.

    What the longest of their edges does there is tried on a few positions, in all directions. None: it bends, or there
    are so few vertices that to try is more work than to look at each edge.
    """
    west, south, east, north = shapely.total_bounds(geometries)
    if pair.native_hub is not None or not _small(column([shapely.box(west, south, east, north)]), pair).all():
        return None
    coordinates, owner = shapely.get_coordinates(geometries, return_index=True)
    if len(coordinates) < _FEW_VERTICES:
        return None
    # Steps from ring to ring are among them, which only makes it more careful.
    steps = np.hypot(*np.diff(coordinates, axis=0).T)[owner[1:] == owner[:-1]]
    half = float(steps.max(initial=0.0)) / 2
    here = np.column_stack(
        [each.ravel() for each in np.meshgrid(np.linspace(west, east, 5), np.linspace(south, north, 5))]
    )
    ways_off = half * np.array([(0.0, 0.0), *((np.cos(a), np.sin(a)) for a in np.arange(8) * np.pi / 4)])
    tried = (here[:, None, :] + ways_off).reshape(-1, 2)
    images = pair.forth(tried).reshape(len(here), 9, 2)
    if not np.isfinite(images).all() or not _near_each(pair.back(images[:, 0]), here, pair).all():
        return None
    bend = np.linalg.norm((images[:, 1:5] + images[:, 5:9]) / 2 - images[:, :1], axis=2).max()
    reach = np.linalg.norm(images[:, 1:] - images[:, :1], axis=2).max() * 2
    if not bend < PIXELS * pixel / 4:
        return None
    moved = pair.forth(coordinates)
    if not np.isfinite(moved).all():
        return None
    across = np.hypot(*np.diff(moved, axis=0).T)[owner[1:] == owner[:-1]]
    longest = across.max(initial=0.0)
    if longest > 4 * reach or not bend < tolerance(longest, pixel, outline) / 4:
        return None
    return np.asarray(shapely.set_coordinates(geometries.copy(), moved))


def _come_back(given: Floats, images: Floats, of: npt.NDArray[np.int64], pair: CrsPair, count: int) -> Bools:
    """True for geometries with a vertex whose image lies at the vertex, and not at a place elsewhere."""
    near = _near_each(pair.back(images), given, pair)
    sound = np.zeros(count, dtype=bool)
    sound[of[near]] = True
    return sound


def _near_each(returned: Floats, given: Floats, pair: CrsPair, shift: float = _SHIFT) -> Bools:
    """True for positions of the source that came back to where they were, but for a shift of the datum."""
    off = returned - given
    hub = pair.source_hub
    with np.errstate(invalid="ignore"):  # not finite: no place
        if hub is not None:
            off[:, 0] = wrapped(off[:, 0], hub.turn) * np.cos(given[:, 1] * (2 * np.pi / hub.turn))
        return np.asarray(np.hypot(off[:, 0], off[:, 1]) <= metres(pair.source, shift))
