"""Places geometries on images of other CRS.

Edges are straight in the CRS in which a geometry is given. So vertices are added there until the curve that an edge is
on the image strays from its chord by less than a ten thousandth of a pixel, and less the longer it is. What is small
and plain is moved as it is. Anything else (wide, round a pole, across the line along which a map was cut open, beyond
a horizon) is first taken to longitude and latitude, and cut there to a little more than the image shows: within that
every place has one position.

Longitudes count in whole turns: 182 is -178, whatever numbers the columns of an image have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.geo.crs import LONLAT, LonLat, geographic_base, lonlat_of, metres, no_place, same_crs, transformer
from rasteret_sql.geo.crs_pair import PIXELS, CrsPair, Geometries, column
from rasteret_sql.geo.cut import cut_and_placed, with_vertices
from rasteret_sql.geo.densify import Floats
from rasteret_sql.geo.grid import Affine, Bounds, Grid, of_each_grid
from rasteret_sql.geo.image_region import in_one_run, on_globe, polygonal, repaired, shifted, within_turn
from rasteret_sql.geo.small_geometries import moved_points, transform_small


def is_place(geometry: shapely.Geometry, crs: str) -> bool:
    """True where coordinates can be places of a CRS, be they on an image or not.

    Longitudes may be given a turn further than once around; a latitude of 5,300,000 is metres.
    """
    hub = lonlat_of(crs)
    if hub is not None:
        west, south, east, north = shapely.bounds(geometry)
        far, pole = 1.5 * hub.turn, hub.turn / 4 * (1 + 1e-9)
        return bool(-far <= west and east <= far and -pole <= south and north <= pole)
    # A box around the disc of a geostationary image has its corners in space.
    west, south, east, north = shapely.bounds(geometry).tolist()
    if _has_places((west, south, east, north), crs):
        return True
    return bool(are_places(shapely.get_coordinates(geometry), crs).any())


@lru_cache(maxsize=4096)
def _has_places(bounds: Bounds, crs: str) -> bool:
    """True where some points of a box are places; the reads of an area on many threads ask for one answer."""
    west, south, east, north = bounds
    inside = np.meshgrid(np.linspace(west, east, 5), np.linspace(south, north, 5))
    return bool(are_places(np.column_stack([each.ravel() for each in inside]), crs).any())


def are_all_places(geometries: Geometries, crs: str) -> npt.NDArray[np.bool_]:
    """As `is_place` for many geometries that are not empty, shape (n,)."""
    hub = lonlat_of(crs)
    if hub is not None:
        found = np.zeros(len(geometries), np.bool_)
    else:
        xy, of = shapely.get_coordinates(geometries, return_index=True)
        # Of most the vertices tell.
        found = np.bincount(of, are_places(xy, crs), len(geometries)) > 0
    for at in np.flatnonzero(~found).tolist():
        found[at] = is_place(geometries[at], crs)
    return found


def place(geometries: Sequence[shapely.Geometry], source: str, native: str, grids: Sequence[Grid]) -> Geometries:
    """Place geometries on images.

    Args:
        geometries: not empty, shape (n,); the same object may come often.
        source: their CRS.
        native: CRS of all images.
        grids: the image for each geometry.

    Returns:
        Geometries in `native`, shape (n,), near the image exact to a part of a pixel, elsewhere perhaps cut away; None
        for one that misses its image, or is no place at all (see `is_place`).

    Raises:
        InvalidCrsError: PROJ has no way from one CRS to the other.
    """
    out = column(geometries)
    hub = lonlat_of(native)
    if same_crs(source, native):
        return _turned(out, grids, hub) if hub is not None else out
    fineness = of_each_grid(_fineness, grids)
    if (fineness == fineness[:1]).all():
        return _place_alike(geometries, source, native, grids)
    # Each as it is by itself, whatever else is placed in the same call: else its vertices would tell of that.
    number = np.unique(fineness, axis=0, return_inverse=True)[1].ravel()
    for one in range(int(number.max()) + 1):
        some = np.flatnonzero(number == one)
        out[some] = _place_alike(
            [geometries[at] for at in some.tolist()], source, native, [grids[at] for at in some.tolist()]
        )
    return out


def _fineness(grid: Grid) -> tuple[float, float]:
    """Size of a pixel and length of the outline in pixels, rounded, so that like images have one.

    Pixels are taken for smaller and outlines for longer, which only lets edges stray less.
    """
    return 2.0 ** math.floor(math.log2(grid.pixel)), 2.0 ** math.ceil(math.log2(grid.outline_length))


def _place_alike(geometries: Sequence[shapely.Geometry], source: str, native: str, grids: Sequence[Grid]) -> Geometries:
    """As `place`, on images of one fineness and another CRS."""
    hub = lonlat_of(native)
    distinct, number = _distinct(geometries)
    images = set(grids)
    corners = np.array([grid.bounds for grid in images])
    west, south = corners[:, :2].min(axis=0).tolist()
    east, north = corners[:, 2:].max(axis=0).tolist()
    moved, plain = transform_small(
        distinct, CrsPair.between(source, native), *_fineness(grids[0]), (west, south, east, north)
    )
    if hub is not None:
        out = column(geometries)
        turned = _turned(moved[number], grids, hub)
        out[plain[number]] = turned[plain[number]]
    else:
        out = moved[number]
    done: dict[tuple[int, Grid], shapely.Geometry | None] = {}
    for at in np.flatnonzero(~plain[number]).tolist():
        key = (int(number[at]), grids[at])
        if key not in done:
            done[key] = _placed(distinct[key[0]], CrsPair.between(source, native), grids[at])
        out[at] = done[key]
    return out


def are_places(xy: Floats, crs: str) -> npt.NDArray[np.bool_]:
    """As `is_place` for points, shape (n, 2)."""
    hub = lonlat_of(crs)
    if hub is not None:
        return np.asarray((np.abs(xy[:, 0]) <= 1.5 * hub.turn) & (np.abs(xy[:, 1]) <= hub.turn / 4 * (1 + 1e-9)))
    lon, lat = transformer(crs, geographic_base(crs) or LONLAT).transform(xy[:, 0], xy[:, 1])
    return np.asarray(np.isfinite(lon) & np.isfinite(lat))


def place_points(xy: Floats, source: str, native: str, grid: Grid) -> Floats:
    """As `place` for points on one image.

    Args:
        xy: finite, shape (n, 2).
        source: their CRS.
        native: CRS of the image.
        grid: the image.

    Returns:
        Shape (n, 2), NaN where a point is no place, or another one has its place in `native`.

    Raises:
        InvalidCrsError: PROJ has no way from one CRS to the other.
    """
    hub = lonlat_of(native)
    same = same_crs(source, native)
    moved = xy if same else moved_points(xy, CrsPair.between(source, native), grid.bounds)
    if hub is None:
        return moved
    west, _, east, _ = grid.bounds
    with np.errstate(invalid="ignore"):  # missing ones
        low = np.ceil((west - moved[:, 0]) / hub.turn)
        high = np.floor((east - grid.pixel * 1e-6 - moved[:, 0]) / hub.turn)
        turned = np.where(low <= high, moved[:, 0] + low * hub.turn, moved[:, 0])
    return np.column_stack([turned, moved[:, 1]])


def on_lonlat(geometries: Geometries, source: str) -> Geometries:
    """Geometries in longitude and latitude within ±180 and ±90, poles and all turns included.

    Args:
        geometries: not empty, shape (n,).
        source: their CRS.

    Returns:
        Shape (n,), exact to 1e-6 degrees.

    Raises:
        InvalidCrsError: PROJ has no way to longitude and latitude, or one of them is no place.
    """
    placed = on_lonlat_where_possible(geometries, source)
    lost = np.flatnonzero(shapely.is_missing(placed))
    if len(lost):
        raise no_place(geometries[lost[0]], source, LONLAT)
    return placed


def on_lonlat_in_one_run(geometry: shapely.Geometry, source: str) -> shapely.Geometry:
    """As `on_lonlat` for one geometry, whose box is not the whole globe: across 180 degrees it goes on beyond."""
    hub = lonlat_of(LONLAT)
    assert hub is not None
    return in_one_run(on_lonlat(column([geometry]), source)[0], hub)


def on_lonlat_where_possible(geometries: Geometries, source: str, exact: float = 1e-6) -> Geometries:
    """As `on_lonlat`, but None for one that is no place.

    Args:
        geometries: not empty, shape (n,).
        source: their CRS.
        exact: degrees by which edges may stray.
    """
    pixel = exact / PIXELS
    globe = Grid(Affine(pixel, 0.0, -180.0, 0.0, -pixel, 90.0), round(360 / pixel), round(180 / pixel))
    placed = place(list(geometries), source, LONLAT, [globe] * len(geometries))
    hub = lonlat_of(LONLAT)
    assert hub is not None
    bounds = shapely.bounds(placed)
    for at in np.flatnonzero((bounds[:, 0] < -180) | (bounds[:, 2] > 180)).tolist():
        placed[at] = within_turn(repaired(placed[at]), hub) or placed[at]
    return placed


def _distinct(geometries: Sequence[shapely.Geometry]) -> tuple[Geometries, npt.NDArray[np.int64]]:
    """Distinct objects, and which of them each geometry is."""
    numbers: dict[int, int] = {}
    number = np.array([numbers.setdefault(id(each), len(numbers)) for each in geometries], dtype=np.int64)
    first = np.unique(number, return_index=True)[1]
    return column([geometries[at] for at in first.tolist()]), number


def _turned(geometries: Geometries, grids: Sequence[Grid], hub: LonLat) -> Geometries:
    """Geometries in longitude and latitude, turned to where the columns of their images are."""
    out = geometries.copy()
    bounds = shapely.bounds(geometries)
    images = of_each_grid(lambda grid: (*grid.bounds, grid.pixel * 1e-6), grids)
    hair = images[:, 4]
    with np.errstate(invalid="ignore"):  # missing ones have no bounds
        low = np.ceil((images[:, 0] + hair - bounds[:, 2]) / hub.turn)
        high = np.floor((images[:, 2] - hair - bounds[:, 0]) / hub.turn)
        # A point on the west edge is in the image, as one on any pixel's west edge is.
        low = np.where(bounds[:, 0] == bounds[:, 2], np.ceil((images[:, 0] - bounds[:, 2]) / hub.turn), low)
    for at in np.flatnonzero((low != 0) | (high != 0)).tolist():
        if not np.isfinite(low[at]) or low[at] > high[at]:
            continue
        copies = [shifted(geometries[at], turn * hub.turn) for turn in range(int(low[at]), int(high[at]) + 1)]
        if len(copies) == 1 or shapely.get_dimensions(copies[0]) == 0:
            out[at] = copies[0]
        else:
            out[at] = shapely.union_all([repaired(copy) for copy in copies])
    return out


def _placed(geometry: shapely.Geometry, pair: CrsPair, grid: Grid) -> shapely.Geometry | None:
    """A geometry that is wide, or not plain, on one image."""
    if not is_place(geometry, pair.source):
        return None
    lines = shapely.get_dimensions(geometry) < 2
    hub = pair.native_hub
    if hub is not None:
        if pair.source_hub is not None or lines:
            pieces = [with_vertices([geometry], pair, grid)[0]]
        else:
            pieces = on_globe(repaired(geometry), pair.source, hub, PIXELS * grid.pixel)
        if not pieces:
            return None
        placed = _turned(column([piece for piece in pieces if piece is not None]), [grid] * len(pieces), hub)
        return polygonal(shapely.union_all(placed)) if len(placed) > 1 else next(iter(placed), None)
    if pair.source_hub is not None:
        return cut_and_placed([geometry], pair, grid)
    if lines:
        return with_vertices([geometry], pair, grid)[0]
    base = geographic_base(pair.source) or geographic_base(pair.native) or LONLAT
    globe = lonlat_of(base)
    assert globe is not None
    tolerance = PIXELS * grid.pixel / metres(pair.native, 2 * np.pi * 6_371_000.0 / globe.turn)
    on = on_globe(repaired(geometry), pair.source, globe, tolerance)
    return cut_and_placed(on, CrsPair.between(base, pair.native), grid)
