"""Defines the tiles of web maps: squares of EPSG:3857, numbered z, x, y from the north-west corner (XYZ)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine, Bounds, Window
from rasteret_sql.geo.target_grid import TargetGrid, lattice_through

WEB_MERCATOR = "EPSG:3857"
RADIUS = 6_378_137.0
"""Of the sphere, in metres."""
HALF = math.pi * RADIUS
"""Metres from the centre of the map to each side."""
MAX_LATITUDE = math.degrees(math.atan(math.sinh(math.pi)))
"""The map ends there: 85.0511 degrees."""
MAX_ZOOM = 24
"""Beyond it, a pixel of a tile is smaller than a centimetre."""
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MapTile:
    """A tile of a web map."""

    z: int
    """Zoom: the map is 2^z tiles wide."""
    x: int
    """Column, from 180 degrees west."""
    y: int
    """Row, from the north."""

    def __post_init__(self) -> None:
        if not (0 <= self.z <= MAX_ZOOM and 0 <= self.x < 2**self.z and 0 <= self.y < 2**self.z):
            raise InvalidArgumentError(
                f"{self.z}/{self.x}/{self.y} is no tile; expected z from 0 to {MAX_ZOOM}, and x and y from 0 to 2^z - 1"
            )

    def grid(self, size: int = 256) -> TargetGrid:
        """Its pixels: those of all tiles of a zoom are one lattice.

        Args:
            size: pixels of a side.
        """
        return TargetGrid(WEB_MERCATOR, lattice(self.z, size), Window(self.x * size, self.y * size, size, size))

    @property
    def bounds(self) -> Bounds:
        """In EPSG:3857."""
        side = 2 * HALF / 2**self.z
        west, north = -HALF + self.x * side, HALF - self.y * side
        return west, north - side, west + side, north

    @property
    def lonlat(self) -> Bounds:
        """In lon/lat."""
        west, south, east, north = self.bounds
        (left, right), (bottom, top) = to_lonlat(np.array([west, east]), np.array([south, north]))
        return float(left), float(bottom), float(right), float(top)

    def parent(self, z: int) -> MapTile:
        """The tile of a smaller zoom in which it lies."""
        steps = self.z - z
        return MapTile(z, self.x >> steps, self.y >> steps)


def lattice(z: int, size: int = 256) -> Affine:
    """Pixel corner → EPSG:3857, of the map at a zoom.

    Args:
        z: the zoom.
        size: pixels of a side of a tile.
    """
    resolution = metres_a_pixel(z, size)
    return lattice_through((resolution, resolution), (-HALF, HALF))


def metres_a_pixel(z: int, size: int = 256) -> float:
    """Side of a pixel in units of EPSG:3857, which are metres at the equator."""
    return 2 * HALF / (size << z)


def within_map(bounds: Bounds | None) -> Bounds:
    """The part of a box in lon/lat that lies on the map; all of the map where there is no box."""
    west, south, east, north = bounds or MapTile(0, 0, 0).lonlat
    return west, max(south, -MAX_LATITUDE), east, min(north, MAX_LATITUDE)


def metres_on_map(metres: float, bounds: Bounds | None) -> float:
    """A length on the ground in units of EPSG:3857, which are smaller than metres away from the equator.

    Args:
        metres: on the ground.
        bounds: in lon/lat, in whose middle it is; None: at the equator.
    """
    _, south, _, north = within_map(bounds)
    return metres / math.cos(math.radians((south + north) / 2))


def zoom_of(resolution: float, size: int = 256) -> int:
    """The first zoom whose pixels are at most as large, in units of EPSG:3857; with some room for rounding."""
    zoom = math.ceil(math.log2(2 * HALF / (size * resolution)) - 0.01)
    return min(max(zoom, 0), MAX_ZOOM)


def from_lonlat(lon: Numbers, lat: Numbers) -> tuple[Numbers, Numbers]:
    """X and y in EPSG:3857 of lon/lat; latitudes beyond the end of the map are at its end."""
    bounded = np.radians(np.clip(lat, -MAX_LATITUDE, MAX_LATITUDE))
    return np.radians(lon) * RADIUS, np.arctanh(np.sin(bounded)) * RADIUS


def to_lonlat(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """Lon/lat of x and y in EPSG:3857."""
    return np.degrees(x / RADIUS), np.degrees(np.arctan(np.sinh(y / RADIUS)))


def on_map(geometry: shapely.Geometry) -> shapely.Geometry:
    """A geometry of lon/lat in EPSG:3857, vertex by vertex."""

    def moved(points: Numbers) -> Numbers:
        x, y = from_lonlat(points[:, 0], points[:, 1])
        return np.column_stack([x, y])

    found: shapely.Geometry = shapely.transform(geometry, moved)
    return found
