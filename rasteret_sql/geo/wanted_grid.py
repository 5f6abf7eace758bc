"""`WantedGrid`: defines a target grid but for its area, and finds the place of geometries on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import shapely

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.crs import lonlat_of, same_crs, transformer
from rasteret_sql.geo.grid import Affine, Bounds, Grid
from rasteret_sql.geo.placement import place
from rasteret_sql.geo.target_grid import TargetGrid, covering, of_shape, require_size

_EDGE_POINTS = 21
"""Points on each edge of a box of which the place in another CRS is looked at."""


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
        west, north = west - margin, north + margin
        across, down = (math.ceil(min(each / pixel, 2**31)) for each in (east + margin - west, north - south + margin))
        return Grid(Affine(pixel, 0.0, west, 0.0, -pixel, north), across, down)


def _bounds_in(bounds: Bounds, given: str, crs: str) -> Bounds | None:
    """Bounds in another CRS; None where there are none that are finite."""
    found = transformer(given, crs).transform_bounds(*bounds, densify_pts=_EDGE_POINTS)
    west, south, east, north = (float(side) for side in found)
    hub = lonlat_of(crs)
    if hub is not None and west > east:  # across 180 degrees
        east += hub.turn
    return (west, south, east, north) if all(map(math.isfinite, (west, south, east, north))) else None
