"""Finds the `PixelMap` of a window whose longitudes may be in another turn than those of the image, or over its ends.

Longitudes count in whole turns: a window of -20 to 10 degrees has pixels of an image of 0 to 360 at both of its ends.
GDAL gives those in one turn alone within one CRS; between CRSs it takes a window over the ends for as wide as the
world, and widens kernels as if it were.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rasteret_sql.geo.crs import LonLat, lonlat_of, same_crs
from rasteret_sql.geo.grid import Affine, Grid, Window
from rasteret_sql.geo.pixel_map import PixelMap, Positions, around_globe, pixel_map

_HAIR = 1e-6
"""Pixels by which a window may overlap an image and does not meet it all the same: coordinates round."""
_SAMPLES = 21
"""Points on each edge of a window."""
_NARROW = 0.9
"""Part of the world: a wider window has both ends of its map in any case."""
Ints = npt.NDArray[np.int64]


class Sides(NamedTuple):
    """A lattice, and the pixels of an image that are put on it."""

    target: Affine
    """Pixel corner → CRS of the lattice."""
    target_crs: str | None
    """As `PixelMap` takes it."""
    source: Affine
    """Pixel corner → CRS of the level that is read."""
    source_crs: str | None
    size: tuple[int, int]
    """Width and height of that level."""


def pixel_map_over(window: Window, sides: Sides) -> PixelMap:
    """The map of a window of the lattice: affine within one CRS, and in one run, wherever that can be.

    Args:
        window: pixels of the lattice.
        sides: it and the image.
    """
    plain = pixel_map(*sides)
    lonlat = _longitudes(sides)
    if lonlat is not None:
        return _within_crs(window, sides, lonlat, plain)
    windows = np.array([(window.col_off, window.row_off, window.width, window.height)])
    if plain.world != sides.size[0] or not over_end(windows, plain)[0]:
        return plain
    middle, _ = plain.exact(*_middles(windows))
    rolled = _rolled(float(middle[0]), sides.size[0])
    return pixel_map(*sides._replace(source=sides.source.shifted(rolled, 0)), rolled=rolled)


def is_elsewhere(windows: Ints, sides: Sides) -> npt.NDArray[np.bool_]:
    """True for windows whose `pixel_map_over` is another one than the `pixel_map`.

    Args:
        windows: first column and row, width and height of each, shape (n, 4).
        sides: the lattice and the image.
    """
    lonlat = _longitudes(sides)
    if lonlat is not None:
        low, high = _turns(windows, sides, lonlat)
        found: npt.NDArray[np.bool_] = (low <= high) & ((low != 0) | (high != 0))
        return found
    plain = pixel_map(*sides)
    return np.zeros(len(windows), np.bool_) if plain.world != sides.size[0] else over_end(windows, plain)


def over_end(windows: Ints, plain: PixelMap) -> npt.NDArray[np.bool_]:
    """True for windows that lie over an end of a map of the world, but do not go around it.

    Args:
        windows: shape (n, 4).
        plain: their map, between CRSs.
    """
    assert plain.world is not None
    along = np.linspace(0, 1, _SAMPLES)
    none, all_ = np.zeros(_SAMPLES), np.ones(_SAMPLES)
    col, row, width, height = windows.T[:, :, np.newaxis]
    cols, _ = plain.exact(
        col + width * np.concatenate([along, along, none, all_]),
        row + height * np.concatenate([none, all_, along, along]),
    )
    middle, _ = plain.exact(*_middles(windows))
    run = plain.in_one_run(cols, middle[:, np.newaxis])
    there = np.isfinite(run)
    low, high = np.where(there, run, np.inf).min(1), np.where(there, run, -np.inf).max(1)
    beyond = (low < -_HAIR) | (high > plain.world + _HAIR)
    found: npt.NDArray[np.bool_] = there.any(1) & np.isfinite(middle) & beyond & (high - low < _NARROW * plain.world)
    return found


def _middles(windows: Ints) -> tuple[Positions, Positions]:
    col, row, width, height = windows.T
    return col + width / 2, row + height / 2


def _longitudes(sides: Sides) -> LonLat | None:
    """The longitudes of both, if they are of one CRS."""
    crs = sides.source_crs
    if crs is None or not (sides.target_crs is None or same_crs(sides.target_crs, crs)):
        return None
    return lonlat_of(crs)


def _within_crs(window: Window, sides: Sides, lonlat: LonLat, plain: PixelMap) -> PixelMap:
    if _is_beside(window, sides, lonlat):
        return plain
    windows = np.array([(window.col_off, window.row_off, window.width, window.height)])
    (low,), (high,) = (each.tolist() for each in _turns(windows, sides, lonlat))
    if low > high or (low == 0 and high == 0):
        return plain
    source, width = sides.source, sides.size[0]
    if low == high:
        return pixel_map(*sides._replace(source=_moved(source, low * lonlat.turn)))
    about, _ = sides.target.apply(window.col_off + window.width / 2, window.row_off + window.height / 2)
    if around_globe(source, lonlat.turn, width) != width or high - low > 1:
        return pixel_map(*sides, about=about)
    # The image begins at the column opposite of the middle.
    rolled = _rolled((about - source.c) / source.a, width)
    begins = source.shifted(rolled, 0)
    centre, _ = begins.apply(width / 2, 0)
    return pixel_map(
        *sides._replace(source=_moved(begins, lonlat.turn * round((about - centre) / lonlat.turn))), rolled=rolled
    )


def _is_beside(window: Window, sides: Sides, lonlat: LonLat) -> bool:
    """True where a window lies in the turn of the image, as nearly all do: told by a few numbers."""
    target, source = sides.target, sides.source
    if not (target.is_rectilinear and source.is_rectilinear):
        return False
    west, east = sorted((target.a * window.col_off + target.c, target.a * window.col_end + target.c))
    left, right = sorted((source.c, source.a * sides.size[0] + source.c))
    return right - lonlat.turn <= west and east <= left + lonlat.turn


def _rolled(middle: float, width: int) -> int:
    """The column with which an image begins that has a column in its middle."""
    return round(middle - width / 2) % width


def _moved(affine: Affine, across: float) -> Affine:
    return Affine(affine.a, affine.b, affine.c + across, affine.d, affine.e, affine.f)


def _turns(windows: Ints, sides: Sides, lonlat: LonLat) -> tuple[Ints, Ints]:
    """The least and the greatest number of turns from the image to each window; the first is more where none meets."""
    left, top, width, height = windows.T.astype(np.float64)
    target = sides.target
    x = [
        target.a * (left + across) + target.b * (top + down) + target.c
        for across in (0.0, width)
        for down in (0.0, height)
    ]
    image = Grid(sides.source, *sides.size)
    (west, _, east, _), hair = image.bounds, _HAIR * image.pixel
    low = np.ceil((np.min(x, axis=0) - east + hair) / lonlat.turn)
    high = np.floor((np.max(x, axis=0) - west - hair) / lonlat.turn)
    return low.astype(np.int64), high.astype(np.int64)
