"""`PixelMap`: maps pixels of a target grid to pixels of a source image, exactly or by a lattice of exact nodes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rasteret_sql.geo.coordinate_lattice import CoordinateLattice
from rasteret_sql.geo.crs import lonlat_of, same_crs, transformer
from rasteret_sql.geo.grid import Affine, Window

Positions = npt.NDArray[np.float64]
PositionsOf = Callable[[Window], tuple[Positions, Positions]]
"""(pixels of the target) → source columns and rows, each of shape (height, width)."""

_WHOLE = 1e-6
"""Pixels by which a target may miss the pixels of the source and lies on them all the same: coordinates round."""


_CLOSE = 0.01
"""Columns by which an image may miss a whole turn and goes around the globe all the same: pixel sizes are rounded."""


def around_globe(source: Affine, turn: float, width: int) -> float | None:
    """Columns of an image around the globe; None where it has fewer, or its rows are not along the parallels.

    Args:
        source: pixel → longitude and latitude.
        turn: longitude of a whole turn.
        width: columns of the image; exactly these where they go around once.
    """
    if not source.is_rectilinear:
        return None
    around = turn / abs(source.a)
    if abs(around - width) <= _CLOSE:
        return float(width)
    return around if around < width else None


class Corners(NamedTuple):
    """Source positions of two opposite corners of each target pixel, each of shape (height, width)."""

    first_x: Positions
    first_y: Positions
    last_x: Positions
    last_y: Positions


class PixelMap:
    """Maps target pixels to source pixels. Positions count from the corner: the centre of the first pixel is 0.5.

    Args:
        target: pixel → CRS of the target; its pixels are numbered in the grid as a whole, so that positions of a part
            are those of the whole to the last bit.
        target_crs: as `geo.crs` writes it; None: that of the source, whatever it is.
        source: pixel → CRS of the level that is read.
        source_crs: as `geo.crs` writes it.
        size: width and height of that level; says in which turn its longitudes are.
        about: longitude in the middle of a target that has places of the source in several turns; None: it is in
            another CRS, or has places in one turn (see `pixel_map_over`).
        rolled: columns by which `source` lies further along the rows of a level that goes around the globe: position 0
            is that column of it, and what is left of it comes after its last one.

    Raises:
        InvalidCrsError: PROJ has no way between the CRS.
    """

    def __init__(  # noqa: PLR0917 - of two grids
        self,
        target: Affine,
        target_crs: str | None,
        source: Affine,
        source_crs: str | None,
        size: tuple[int, int],
        about: float | None = None,
        rolled: int = 0,
    ) -> None:
        self.target = target
        self.source = source
        self._width = size[0]
        self._about = about
        self.rolled = rolled
        self._inverse = source.inverse()
        self._target_inverse = target.inverse()
        # Not by way of coordinates, which have seven digits before the point: whole pixels stay whole.
        self._steps = target.a / source.a if source.a else 0.0, target.e / source.e if source.e else 0.0
        self._origin = (
            (target.c - source.c) / source.a if source.a else 0.0,
            (target.f - source.f) / source.e if source.e else 0.0,
        )
        self._crs: tuple[str, str] | None = None
        self._turn: tuple[float, float] | None = None
        if target_crs is not None and source_crs is not None and not same_crs(target_crs, source_crs):
            self._crs = target_crs, source_crs
            transformer(*self._crs)
        lonlat = None if source_crs is None or (self._crs is None and about is None) else lonlat_of(source_crs)
        if lonlat is not None:
            self._turn = source.apply(size[0] / 2, size[1] / 2)[0], lonlat.turn

    @property
    def is_affine(self) -> bool:
        """True within one CRS, but where longitudes are in several turns."""
        return self._crs is None and self._turn is None

    @property
    def world(self) -> float | None:
        """Columns of the source around the globe, where its two ends are one place; None of what has no such ends."""
        if self._turn is None:
            return None
        return around_globe(self.source, self._turn[1], self._width)

    @property
    def is_separable(self) -> bool:
        """True where columns depend on columns alone, and rows on rows."""
        return self.is_affine and self.target.is_rectilinear and self.source.is_rectilinear

    @property
    def keeps_order(self) -> bool:
        """True where the target is no map of longitudes, whose two ends are one place."""
        return self.is_affine or (self._crs is not None and lonlat_of(self._crs[0]) is None)

    def is_shift(self, window: Window) -> bool:
        """True where the pixels of a window of the target are those of the source, moved by whole pixels."""
        return bool(self.are_shifts(np.array([(window.col_off, window.row_off, window.width, window.height)]))[0])

    def are_shifts(self, windows: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """The same of many windows: first column and row, width and height of each, shape (n, 4)."""
        if not self.is_separable:
            return np.zeros(len(windows), np.bool_)
        begin, size = windows[:, :2], windows[:, 2:]
        found = np.ones(len(windows), np.bool_)
        for axis, positions in enumerate((self.columns, self.rows)):
            first = positions(begin[:, axis])
            step = positions(begin[:, axis] + size[:, axis]) - first - size[:, axis]
            found &= (np.abs(step) <= _WHOLE) & (np.abs(first - np.round(first)) <= _WHOLE)
        return found

    def columns(self, cols: npt.ArrayLike) -> Positions:
        """Source columns of target columns, where these are separable."""
        positions: Positions = self._steps[0] * np.asarray(cols, np.float64) + self._origin[0]
        return positions

    def rows(self, rows: npt.ArrayLike) -> Positions:
        """Source rows of target rows, where these are separable."""
        positions: Positions = self._steps[1] * np.asarray(rows, np.float64) + self._origin[1]
        return positions

    def exact(self, cols: Positions, rows: Positions) -> tuple[Positions, Positions]:
        """Source columns and rows of target positions of any shape; not finite where there is no such place."""
        if self.is_separable:
            return self.columns(cols), self.rows(rows)
        x, y = _apply(self.target, cols, rows)
        if self._crs is not None:
            x, y = transformer(*self._crs).transform(x, y)
        if self._turn is not None:
            centre, turn = self._turn
            with np.errstate(invalid="ignore"):  # of places that are not there
                x = x + turn * np.round((centre - x) / turn)
        return _apply(self._inverse, x, y)

    def back(self, cols: Positions, rows: Positions) -> tuple[Positions, Positions]:
        """Target columns and rows of source positions."""
        x, y = _apply(self.source, cols, rows)
        if self._crs is not None:
            target_crs, source_crs = self._crs
            x, y = transformer(source_crs, target_crs).transform(x, y)
        elif self._turn is not None and self._about is not None:
            x = x + self._turn[1] * np.round((self._about - x) / self._turn[1])
        return _apply(self._target_inverse, x, y)

    def in_one_run(self, cols: Positions, middle: Positions) -> Positions:
        """Source columns as near to others as they are around the globe, so that some lie beyond an end of the map.

        Args:
            cols: of a map of the world.
            middle: the others, of a shape that goes with it.
        """
        assert self.world is not None
        with np.errstate(invalid="ignore"):  # of places that are not there
            turns = np.round((middle - cols) / self.world)
            found: Positions = np.where(np.isfinite(turns), cols + self.world * turns, cols)
        return found

    def centres(self, target: Window) -> PositionsOf:
        """Source positions of the centres of the target's pixels, for parts of it."""
        if self.is_affine:
            return lambda part: self.exact(*_positions(part, 0.5))
        return CoordinateLattice(self.exact, target, 0.5).positions

    def cells(self, corners: Corners) -> Corners:
        """Corners of cells none of which goes around the globe: one over an end of a map is where its middle is."""
        if self.world is None:
            return corners
        first, last = corners.first_x, self.in_one_run(corners.last_x, corners.first_x)
        over = last != corners.last_x
        if not over.any():
            return corners
        moved = np.where(over, self.world * np.floor((first + last) / 2 / self.world), 0.0)
        return Corners(first - moved, corners.first_y, last - moved, corners.last_y)

    def corners(self, target: Window) -> Callable[[Window], Corners]:
        """Source positions of the upper left and lower right corner of each of the target's pixels, for parts of it."""
        positions: PositionsOf
        if self.is_affine:

            def positions(part: Window) -> tuple[Positions, Positions]:
                return self.exact(*_positions(part, 0.0))
        else:
            positions = CoordinateLattice(self.exact, _one_more(target), 0.0).positions

        def of(part: Window) -> Corners:
            x, y = positions(_one_more(part))
            return self.cells(Corners(x[:-1, :-1], y[:-1, :-1], x[1:, 1:], y[1:, 1:]))

        return of


@lru_cache(maxsize=512)
def pixel_map(  # noqa: PLR0917 - of two grids
    target: Affine,
    target_crs: str | None,
    source: Affine,
    source_crs: str | None,
    size: tuple[int, int],
    about: float | None = None,
    rolled: int = 0,
) -> PixelMap:
    """The `PixelMap` of these: one for all images of a grid, so that what is planned with it is planned once."""
    return PixelMap(target, target_crs, source, source_crs, size, about, rolled)


def _apply(affine: Affine, cols: Positions, rows: Positions) -> tuple[Positions, Positions]:
    if affine.is_rectilinear:
        return affine.a * cols + affine.c, affine.e * rows + affine.f
    return affine.a * cols + affine.b * rows + affine.c, affine.d * cols + affine.e * rows + affine.f


def _one_more(window: Window) -> Window:
    """The window of the pixels' corners."""
    return Window(window.col_off, window.row_off, window.width + 1, window.height + 1)


def _positions(window: Window, offset: float) -> tuple[Positions, Positions]:
    """Columns and rows of the pixels of a window, each of shape (height, width)."""
    cols = np.arange(window.col_off, window.col_end) + offset
    rows = np.arange(window.row_off, window.row_end) + offset
    shape = len(rows), len(cols)
    return np.broadcast_to(cols, shape), np.broadcast_to(rows[:, np.newaxis], shape)
