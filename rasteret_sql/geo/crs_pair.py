"""`CrsPair`: transforms positions between two CRS, and says how far edges may stray on an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.geo.crs import LonLat, lonlat_of, transformer
from rasteret_sql.geo.densify import Floats, Strays, strays_in_plane, strays_on_sphere

Geometries = npt.NDArray[np.object_]

PIXELS = 1e-4
"""How far an edge may stray on the image at most, in pixels."""
_PIXELS_WRONG = 0.02
"""Pixels whose centre lies between an edge and its curve, on the average. These grow with an edge's length, so long
ones may stray less. It is a matter of the edge and not of its zone, so that neighbours agree on the one they share."""
_FINEST = 1e-6
"""How far the longest edges may stray, in pixels."""
_ROUNDED = 1e-13
"""Rounding of positions, in their own size: no edge is straighter than this."""


@dataclass(frozen=True, slots=True)
class CrsPair:
    """Two CRS: that of geometries, and that of an image."""

    source: str
    native: str
    source_hub: LonLat | None
    """The source, where it is longitude and latitude."""
    native_hub: LonLat | None

    @classmethod
    def between(cls, source: str, native: str) -> CrsPair:
        """Make the pair of two CRS."""
        return cls(source, native, lonlat_of(source), lonlat_of(native))

    def forth(self, xy: Floats) -> Floats:
        """Positions (n, 2) of the source in the native CRS."""
        return np.column_stack(transformer(self.source, self.native).transform(xy[:, 0], xy[:, 1]))

    def back(self, xy: Floats) -> Floats:
        """Positions (n, 2) of the native CRS in the source."""
        return np.column_stack(transformer(self.native, self.source).transform(xy[:, 0], xy[:, 1]))


def column(geometries: Sequence[shapely.Geometry | None]) -> Geometries:
    """Geometries as the array of objects that shapely takes."""
    array = np.empty(len(geometries), dtype=object)
    array[:] = geometries
    return array


def strays(pair: CrsPair) -> Strays:
    """True for edges that stray on images."""
    return strays_in_plane if pair.native_hub is None else strays_on_sphere(pair.native_hub.turn)


def tolerances(images: Floats, ring: npt.NDArray[np.int64], pixel: float, outline: float) -> Floats:
    """The distance that each edge, from each vertex to the next, may stray on an image, in its CRS's units; shape (n,).

    Args:
        images: vertices on the image, shape (n, 2); they may be not finite.
        ring: of each vertex, ascending.
        pixel: size of a pixel.
        outline: length of the image's outline in pixels: of what is longer the most part lies beside the image.
    """
    with np.errstate(invalid="ignore"):  # no place
        steps = np.hypot(*np.diff(images, axis=0).T)
    steps[~np.isfinite(steps) | (ring[1:] != ring[:-1])] = 0.0
    rounded = _ROUNDED * float(np.abs(images[np.isfinite(images)]).max(initial=0.0))
    return np.maximum(tolerance(np.append(steps, 0.0), pixel, outline), min(rounded, PIXELS * pixel))


def tolerance(length: Floats, pixel: float, outline: float) -> Floats:
    """The distance that an edge of some length may stray on an image, in units of its CRS. See `tolerances`."""
    share = np.clip(_PIXELS_WRONG * pixel / np.clip(length, pixel, outline * pixel), _FINEST, PIXELS)
    return np.asarray(share * pixel)


def continued(pair: CrsPair) -> Callable[[Floats], Floats]:
    """The map, with longitudes in the turn in which they were given, where both are longitudes."""
    if pair.source_hub is None or pair.native_hub is None:
        return pair.forth
    turn = pair.native_hub.turn
    scale = turn / pair.source_hub.turn

    def move(xy: Floats) -> Floats:
        images = pair.forth(xy)
        images[:, 0] += turn * np.round((xy[:, 0] * scale - images[:, 0]) / turn)
        return images

    return move


def ranked(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Numbers without gaps, in the same order."""
    return np.asarray(np.unique(values, return_inverse=True)[1])
