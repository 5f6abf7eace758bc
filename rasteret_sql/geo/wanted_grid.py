"""`WantedGrid`: defines a target grid but for its area, and finds the place of geometries on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.crs import lonlat_of, same_crs, transformer
from rasteret_sql.geo.grid import Affine, Bounds, Grid
from rasteret_sql.geo.placement import place
from rasteret_sql.geo.seams import open_seams
from rasteret_sql.geo.target_grid import TargetGrid, covering, of_shape, require_size

_EDGE_POINTS = 21
"""Points on each edge of a box of which the place in another CRS is looked at."""
_AROUND = 720
"""Points around the globe on each of some parallels in a box, where the other CRS has a map that is cut open."""
_PARALLELS = 9
_NEAR_END = 0.01
"""Part of the map by which these may miss its ends."""


@dataclass(frozen=True, slots=True)
class WantedGrid:
    """The grid of pixels over an area that is still to be said."""

    crs: str | None
    """As `geo.crs` writes it; None: that of the source, which has none."""
    lattice: Affine | None
    """Pixel corner → CRS; None: `shape` tells how large pixels are."""
    shape: tuple[int, int] | None
    """Height and width over the bounds of the area."""

    def target(self, geometry: shapely.Geometry) -> TargetGrid:
        """The pixels over a geometry.

        Args:
            geometry: not empty, in the CRS of the grid.

        Raises:
            InvalidArgumentError: there would be more pixels than any grid has, or a shape over an area without extent.
        """
        if self.lattice is not None:
            return covering(self.lattice, self.crs, geometry)
        assert self.shape is not None
        west, south, east, north = geometry.bounds
        return of_shape(self.shape, self.crs, (west, south, east, north))

    def moved(
        self, shapes: Sequence[shapely.Geometry], given: str
    ) -> list[shapely.Geometry | InvalidArgumentError | None]:
        """Geometries of a CRS in that of the grid; None of those that have no place there, an error of too large ones.

        Before a geometry is moved, its bounds tell that it is too large: edges on small pixels take many vertices.
        """
        assert self.crs is not None
        if same_crs(given, self.crs):
            return list(shapes)
        regions = [self._region_or_error(shape, given, self.crs) for shape in shapes]
        at = [number for number, region in enumerate(regions) if isinstance(region, Grid)]
        there = [region for region in regions if isinstance(region, Grid)]
        placed = place([shapes[number] for number in at], given, self.crs, there) if at else ()
        found: list[shapely.Geometry | InvalidArgumentError | None] = [
            region if isinstance(region, InvalidArgumentError) else None for region in regions
        ]
        for number, geometry in zip(at, placed, strict=True):
            found[number] = geometry
        return found

    def _region_or_error(self, shape: shapely.Geometry, given: str, crs: str) -> Grid | InvalidArgumentError | None:
        try:
            return self._region(shape, given, crs)
        except InvalidArgumentError as error:
            return error

    def _region(self, shape: shapely.Geometry, given: str, crs: str) -> Grid | None:
        """The place of a geometry in the CRS of the grid, about, as pixels of its size; None where it has none.

        Raises:
            InvalidArgumentError: there would be more pixels than any grid has.
        """
        bounds = _bounds_in(shape.bounds, given, crs)
        if bounds is None:
            return None
        west, south, east, north = bounds
        if self.lattice is not None:
            pixel = Grid(self.lattice, 1, 1).pixel
            require_size(self.lattice, crs, (east - west) / pixel, (north - south) / pixel)
        else:
            assert self.shape is not None
            pixel = max(min((east - west) / self.shape[1], (north - south) / self.shape[0]), 1e-12)
        margin = 2 * pixel + 1e-3 * max(east - west, north - south)
        hub = lonlat_of(crs)
        # All around the globe, what lies beyond an end would be there once more.
        beside = margin if hub is None else min(margin, max(hub.turn - (east - west), 0.0) / 2)
        width, height = east - west + 2 * beside, north - south + 2 * margin
        west, north = west - beside, north + margin
        if hub is None:
            across, down = (math.ceil(min(each / pixel, 2**31)) for each in (width, height))
        else:
            across, down = (max(math.floor(min(each / pixel, 2**31)), 1) for each in (width, height))
        return Grid(Affine(pixel, 0.0, west, 0.0, -pixel, north), across, down)


def _bounds_in(bounds: Bounds, given: str, crs: str) -> Bounds | None:
    """Bounds in another CRS, about; None where there are none that are finite."""
    found = transformer(given, crs).transform_bounds(*bounds, densify_pts=_EDGE_POINTS)
    west, south, east, north = (float(side) for side in found)
    hub, source = lonlat_of(crs), lonlat_of(given)
    if hub is not None and west > east:  # across 180 degrees
        east += hub.turn
    if not all(map(math.isfinite, (west, south, east, north))):
        return None
    # In narrow ones, a point on an edge is nearer to an end than geometries are cut.
    is_wide = source is not None and bounds[2] - bounds[0] >= source.turn / 8
    if source is not None and is_wide and shapely.intersects(open_seams(crs, source), shapely.box(*bounds)):
        # The ends of the map lie between the points on the edges.
        x, y = _inside(bounds, given, crs, source.turn)
        west, east = min(west, float(x.min(initial=west))), max(east, float(x.max(initial=east)))
        south, north = min(south, float(y.min(initial=south))), max(north, float(y.max(initial=north)))
        across, down = (_NEAR_END * each for each in (east - west, north - south))
        return west - across, south - down, east + across, north + down
    return west, south, east, north


def _inside(
    bounds: Bounds, given: str, crs: str, turn: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points in bounds of longitude and latitude, in another CRS."""
    west, south, east, north = bounds
    columns = math.ceil(_AROUND * min(east - west, turn) / turn) + 1
    lon, lat = np.meshgrid(np.linspace(west, min(east, west + turn), columns), np.linspace(south, north, _PARALLELS))
    x, y = transformer(given, crs).transform(lon.ravel(), lat.ravel())
    there = np.isfinite(x) & np.isfinite(y)
    return x[there], y[there]
