"""`Patches`: finds the pixels around points, and interpolates between them as GDAL's warp does at one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasteret_sql.geo.grid import Window
from rasteret_sql.raster.edges import Floats, Ints
from rasteret_sql.raster.runs import Runs
from rasteret_sql.raster.warp.neighbourhood import Neighbourhood
from rasteret_sql.raster.warp.points import EDGE, around, of_four


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """The pixels around points inside an image: squares of 2 or 4, of which those outside of it do not count.

    The rule is that of a warp onto a pixel of the image's size with the point as its centre: the pixel that holds the
    point must be valid, others without a value have no weight, and cubic is bilinear where one of the sixteen has none.
    Values are not rounded, whatever the dtype.
    """

    method: str
    """One of `INTERPOLATIONS`."""
    x: Floats
    """Columns of the points in the image, from its corner; shape (n,)."""
    y: Floats
    """Rows."""
    width: int
    """Of the image."""
    height: int

    @property
    def _side(self) -> int:
        before, after = around(self.method)
        return before + after + 1

    def _first(self) -> tuple[Ints, Ints]:
        """The first column and row of each patch."""
        before, _ = around(self.method)
        return (np.floor(self.x - 0.5) - before).astype(np.int64), (np.floor(self.y - 0.5) - before).astype(np.int64)

    def windows(self) -> list[Window]:
        """The pixels of each patch that are in the image."""
        side, (cols, rows) = self._side, self._first()
        ends = np.minimum(cols + side, self.width), np.minimum(rows + side, self.height)
        cols, rows = np.maximum(cols, 0), np.maximum(rows, 0)
        spans = np.stack([cols, rows, ends[0] - cols, ends[1] - rows], axis=1)
        return [Window(*span) for span in spans.tolist()]

    def runs(self) -> Runs:
        """The pixels of each patch that are in the image, row by row."""
        side, (cols, rows) = self._side, self._first()
        start, end = np.maximum(cols, 0), np.minimum(cols + side, self.width)
        every = rows[:, np.newaxis] + np.arange(side)
        there = (every >= 0) & (every < self.height)
        of = np.repeat(np.arange(len(cols)), there.sum(axis=1))
        first = np.concatenate(([0], np.cumsum(there.sum(axis=1))))
        return Runs(of, every[there], start[of], (end - start)[of], first)

    def interpolate(
        self, values: npt.NDArray[np.generic], invalid: npt.NDArray[np.bool_] | None
    ) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Values at the points, and True where there is none.

        Args:
            values: of the pixels of `runs`, one after the other.
            invalid: True where one is not valid; None: all are.
        """
        count, side, (cols, rows) = len(self.x), self._side, self._first()
        patches = np.zeros((count, side, side))
        counts = self._inside(cols, rows)
        patches[counts] = values
        if invalid is not None:
            counts[counts] = ~invalid
            patches[~counts] = 0  # NaN times 0 is NaN
        before, _ = around(self.method)
        each = np.arange(count)
        at = each * side * side + before * (side + 1)
        near = Neighbourhood(patches.ravel(), None if counts.all() else counts.ravel(), side, at)
        right, below = self.x - 0.5 - (cols + before), self.y - 0.5 - (rows + before)
        with np.errstate(invalid="ignore"):  # infinite pixels
            found, sums = of_four(near, right, below, self.method)
        under = self._under(self.x, self.width) - cols, self._under(self.y, self.height) - rows
        missing = ~counts[each, under[1], under[0]]
        return found, missing if sums is None else missing | (sums <= 0)

    def _inside(self, cols: Ints, rows: Ints) -> npt.NDArray[np.bool_]:
        """True for pixels of the patches that are in the image, shape (n, rows, columns)."""
        steps = np.arange(self._side)
        across, down = cols[:, np.newaxis] + steps, rows[:, np.newaxis] + steps
        in_rows, in_cols = (down >= 0) & (down < self.height), (across >= 0) & (across < self.width)
        inside: npt.NDArray[np.bool_] = in_rows[:, :, np.newaxis] & in_cols[:, np.newaxis, :]
        return inside

    @staticmethod
    def _under(positions: Floats, size: int) -> Ints:
        """The pixel that holds each position, on one axis."""
        return np.minimum(np.floor(positions + EDGE), size - 1).astype(np.int64)
