"""`TargetGrid`: defines the grid that pixels are wanted on, and makes it of a CRS, a resolution or shape, and an area.

A grid is a lattice without end, and a window of it. So areas of one lattice have pixels in common, whatever scenes they
are read from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.crs import metres_a_unit, same_crs
from rasteret_sql.geo.grid import Affine, Bounds, Grid, Window

_ON_LINE = 1e-6
"""Pixels by which an edge may miss a line of the lattice and is on it all the same: coordinates round."""
_LARGEST = 2**31
"""Pixels of a grid, a side: more is a mistake in the resolution."""
_MOST_PIXELS = 2**53
"""Pixels of a grid: more cannot be counted in floats."""


@dataclass(frozen=True, slots=True)
class TargetGrid:
    """Pixels that are wanted."""

    crs: str | None
    """As `geo.crs` writes it; None where the source has none."""
    lattice: Affine
    """Pixel corner → CRS, of the lattice."""
    window: Window
    """Its pixels in the lattice; they may have negative numbers."""

    @property
    def transform(self) -> Affine:
        """Pixel corner → CRS, from its own first pixel."""
        return self.lattice.shifted(self.window.col_off, self.window.row_off)

    @property
    def grid(self) -> Grid:
        """Its place in the CRS."""
        return Grid(self.transform, self.window.width, self.window.height)


def lattice_through(resolution: tuple[float, float], corner: tuple[float, float] = (0.0, 0.0)) -> Affine:
    """The north-up lattice of pixels of a size, one of whose corners lies at a point.

    Args:
        resolution: width and height of a pixel, in units of the CRS.
        corner: x and y of the point.
    """
    return Affine(resolution[0], 0.0, corner[0], 0.0, -resolution[1], corner[1])


def resolution_in(crs: str, source_crs: str, transform: Affine) -> tuple[float, float]:
    """Sides of an image's pixels in units of another CRS, as many metres each; it depends on nothing else.

    Args:
        crs: the other CRS.
        source_crs: that of the image.
        transform: pixel corner → CRS of the image.
    """
    sides = float(np.hypot(transform.a, transform.d)), float(np.hypot(transform.b, transform.e))
    if same_crs(crs, source_crs):
        return sides
    factor = metres_a_unit(source_crs) / metres_a_unit(crs)
    return sides[0] * factor, sides[1] * factor


def covering(lattice: Affine, crs: str | None, geometry: shapely.Geometry) -> TargetGrid:
    """The pixels of a lattice that a geometry's bounds touch; an edge on a line of the lattice adds none.

    Args:
        lattice: pixel corner → CRS.
        crs: of the lattice and the geometry.
        geometry: not empty; a point, or a line along an axis, has the pixel that holds it.

    Raises:
        InvalidArgumentError: there would be more pixels than any grid has.
    """
    if lattice.is_rectilinear and lattice.a * lattice.e == 0 and lattice.a and lattice.e:  # too small for floats
        require_size(lattice, crs, math.inf)
    xy = shapely.get_coordinates(geometry if not lattice.is_rectilinear else shapely.box(*geometry.bounds))
    spans = []
    for positions in _positions(lattice, xy[:, 0], xy[:, 1]):
        low, high = float(positions.min()), float(positions.max())
        require_size(lattice, crs, high - low)
        first, last = math.floor(low + _ON_LINE), math.ceil(high - _ON_LINE)
        spans.append((first, max(last - first, 1)))
    (col, width), (row, height) = spans
    return TargetGrid(crs, lattice, Window(col, row, width, height))


def coverings(lattice: Affine, geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """The windows of `covering`, of many geometries on a lattice that is not turned.

    Args:
        lattice: pixel corner → CRS.
        geometries: not empty, shape (n,); None where there is none.

    Returns:
        First column and row, width and height of each, shape (n, 4); no pixels where there is no geometry, or there
        would be more than any grid has.
    """
    found = np.zeros((len(geometries), 4), np.int64)
    if not (lattice.is_rectilinear and lattice.a * lattice.e):
        return found
    west, south, east, north = shapely.bounds(geometries).T
    with np.errstate(invalid="ignore"):  # of none
        ends = np.sort([_positions(lattice, west, south), _positions(lattice, east, north)], axis=0)
        sizes = ends[1] - ends[0]
        fits = (sizes.max(0) < _LARGEST) & (np.abs(ends) < _MOST_PIXELS).all((0, 1))
    low, high = ends[:, :, fits]
    first = np.floor(low + _ON_LINE)
    found[fits, :2], found[fits, 2:] = first.T, np.maximum(np.ceil(high - _ON_LINE) - first, 1).T
    return found


def _positions(
    lattice: Affine, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Columns and rows of places."""
    inverse = lattice.inverse()
    return x * inverse.a + y * inverse.b + inverse.c, x * inverse.d + y * inverse.e + inverse.f


def of_shape(shape: tuple[int, int], crs: str | None, bounds: Bounds) -> TargetGrid:
    """The grid of so many pixels over bounds, to the last edge.

    Args:
        shape: height and width in pixels.
        crs: of the bounds.
        bounds: with an extent in both directions.

    Raises:
        InvalidArgumentError: the bounds have none.
    """
    height, width = shape
    west, south, east, north = bounds
    if not (east > west and north > south):
        raise InvalidArgumentError(
            f"shape := [{height}, {width}] needs an area with an extent in both directions, not bounds {bounds}; give "
            "resolution := instead"
        )
    resolution = (east - west) / width, (north - south) / height
    return TargetGrid(crs, lattice_through(resolution, (west, north)), Window(0, 0, width, height))


def require_size(lattice: Affine, crs: str | None, across: float, down: float = 1.0) -> None:
    """Raise if so many pixels of a lattice are more than any grid has.

    Args:
        lattice: pixel corner → CRS.
        crs: of the lattice.
        across: columns; not finite where there is no number of them.
        down: rows.

    Raises:
        InvalidArgumentError: they are.
    """
    if max(across, down) < _LARGEST and across * down < _MOST_PIXELS:
        return
    sides = f"{abs(lattice.a or lattice.b):g} × {abs(lattice.e or lattice.d):g}"
    raise InvalidArgumentError(
        f"a grid of pixels of {sides} in {crs or 'the units of the file'} has too many pixels over this area; "
        "resolution := is in units of its CRS (degrees in EPSG:4326)"
    )
