"""Finds the place that a map shows all along its end, and tells which pixels there a zone has.

Equidistant and equal-area azimuthal maps of the world show the point opposite of their centre as a circle: on a globe a
point, or hardly more than that, on the map the longest line that there is. Edges that go by that place are long curves
on the map, and PROJ's rounding shows in them. So near it no edge is followed. A pixel there belongs to a zone if the
place of its centre does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import shapely

from rasteret_sql.geo.crs import LonLat, metres_a_unit, transformer
from rasteret_sql.geo.densify import Floats, wrapped
from rasteret_sql.geo.grid import Affine, Grid
from rasteret_sql.geo.valid_part import Shown

_LONGER = 50.0
"""Times that the end of a map is as long as what it shows, where that is a point: 470 on the flattest ellipsoid in use,
since all shortest ways to the other side of the Earth end in a line of 130 km. A horizon is about as long as it is."""
_RADIUS = 12_000.0, 64.0
"""Metres around the place in which pixels are asked: most and least, since nearer PROJ rounds."""
_ASKED = 20_000.0
"""About so many pixels of a whole map are asked."""
_QUARTERS = np.array([(0, 0), (1, 0), (0, 1), (1, 1)])
_BLOCK = 16
"""Pixels along the side of a block whose centres are all looked at."""
_HAIR = 1e-6
"""Pixels by which what stands for a pixel is smaller, so that it touches no other."""


@dataclass(frozen=True, slots=True, eq=False)
class LimbPoint:
    """A place that a map shows along its end."""

    longitude: float
    latitude: float
    """About its middle."""
    off: Floats
    """Places that the end shows, as (east, north) of the middle, both in units of latitude, shape (n, 2)."""
    length: float
    """Of the end on the map, in metres."""
    to_pole: float
    """Metres to the nearer pole."""

    def around(self, pixel: float, hub: LonLat) -> shapely.Polygon | None:
        """The place and a little around it, in longitude and latitude; None at a pole, where directions are longitudes.

        Args:
            pixel: size of a pixel of the image in metres.
            hub: the longitudes and latitudes that are wanted. Longitudes may lie beyond ± half a turn.
        """
        most, least = _RADIUS
        if self.to_pole < 4 * least:
            return None
        radius = min(max(least, min(most, _ASKED * pixel**2 / self.length)), self.to_pole / 2)
        around = shapely.buffer(shapely.convex_hull(shapely.multipoints(self.off)), radius * _a_metre(hub))
        slim = np.cos(self.latitude * 2 * np.pi / hub.turn)
        return shapely.Polygon(shapely.get_coordinates(around) / (slim, 1.0) + (self.longitude, self.latitude))


def limb_point(shown: Shown, crs: str, hub: LonLat) -> LimbPoint | None:
    """The place that an image shows along the end of its map; None where the map has no end there, or a real one.

    Args:
        shown: what the image shows of the globe.
        crs: of the image.
        hub: longitudes and latitudes on its globe.
    """
    if not len(shown.limb):
        return None
    ends = np.column_stack([shown.limb.real, shown.limb.imag])
    places = np.column_stack(transformer(crs, hub.crs).transform(*ends.T))
    places = places[np.isfinite(places).all(axis=1)]
    if not len(places):
        return None
    longitude, latitude = float(places[0, 0]), float(np.median(places[:, 1]))
    slim = np.cos(latitude * 2 * np.pi / hub.turn)
    off = np.column_stack([wrapped(places[:, 0] - longitude, hub.turn) * slim, places[:, 1] - latitude])
    length = float(shapely.length(shapely.convex_hull(shapely.multipoints(ends)))) * metres_a_unit(crs)
    if float(np.hypot(*np.ptp(off, axis=0))) / _a_metre(hub) * _LONGER > length:
        return None
    to_pole = float(hub.turn / 4 - np.abs(places[:, 1]).max()) / _a_metre(hub)
    return LimbPoint(longitude, latitude, off, length, to_pole)


def _a_metre(hub: LonLat) -> float:
    return hub.turn / (2 * np.pi * 6_371_000.0)


def pixels_in(zone: shapely.Geometry, strip: shapely.Geometry, grid: Grid, crs: str, hub: LonLat) -> shapely.Geometry:
    """The pixels with their centre in a strip of the map, and the place of that centre in a zone.

    Args:
        zone: in longitude and latitude, perhaps in another turn.
        strip: Polygon or MultiPolygon in `crs`.
        grid: the image.
        crs: of the image.
        hub: the longitudes and latitudes of the zone.

    Returns:
        Their part of the strip, in `crs`.
    """
    inverse = grid.transform.inverse()
    pixels = shapely.transform(strip, partial(_applied, inverse))
    centres = _centres(pixels, grid)
    places = np.column_stack(transformer(crs, hub.crs).transform(*_applied(grid.transform, centres).T))
    west, _, east, _ = shapely.bounds(zone)
    inside = np.zeros(len(centres), dtype=bool)
    shapely.prepare(zone)
    for turn in range(int(np.floor((west + hub.turn / 2) / hub.turn)), int(np.ceil((east + hub.turn / 2) / hub.turn))):
        inside |= shapely.intersects_xy(zone, places[:, 0] + turn * hub.turn, places[:, 1])
    column, row = np.floor(centres[inside]).T
    ends = np.append((row[1:] != row[:-1]) | (column[1:] != column[:-1] + 1), True)[: len(row)]
    starts = np.append(True, ends[:-1])[: len(row)]
    runs = shapely.box(column[starts] + _HAIR, row[starts] + _HAIR, column[ends] + 1 - _HAIR, row[ends] + 1 - _HAIR)
    found = shapely.intersection(shapely.multipolygons(runs), pixels)
    return shapely.transform(found, partial(_applied, grid.transform))


def _applied(transform: Affine, xy: Floats) -> Floats:
    a, b, c, d, e, f = transform
    x, y = xy.T
    return np.column_stack([a * x + b * y + c, d * x + e * y + f])


def _centres(strip: shapely.Geometry, grid: Grid) -> Floats:
    """Centres of the image's pixels in a strip, in pixels, shape (n, 2), row by row.

    Blocks that the strip meets are quartered, so that pixels elsewhere cost nothing.
    """
    shapely.prepare(strip)
    side = _BLOCK
    while side < max(grid.width, grid.height):
        side *= 2
    corners: Floats = np.zeros((1, 2))
    while True:
        met = shapely.intersects(strip, shapely.box(*corners.T, *(corners + side).T))
        corners = corners[met & (corners < (grid.width, grid.height)).all(axis=1)]
        if side <= _BLOCK:
            break
        side //= 2
        corners = (corners[:, None, :] + side * _QUARTERS).reshape(-1, 2)
    inner = np.stack(np.meshgrid(np.arange(_BLOCK), np.arange(_BLOCK)), axis=-1).reshape(-1, 2) + 0.5
    centres = (corners[:, None, :] + inner).reshape(-1, 2)
    centres = centres[(centres < (grid.width, grid.height)).all(axis=1)]
    centres = centres[shapely.intersects_xy(strip, *centres.T)]
    ordered: Floats = centres[np.lexsort(centres.T)]
    return ordered
