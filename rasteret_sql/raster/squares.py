"""`Squares`: finds the pixels around points, all of them or the valid one that is nearest to each point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.edges import Floats, Ints
from rasteret_sql.raster.runs import Runs


@dataclass(frozen=True, slots=True, eq=False)
class Squares:
    """Squares of 2·reach + 1 pixels around the pixels that hold points inside an image."""

    x: Floats
    """Columns of the points in the image, from its corner; shape (n,)."""
    y: Floats
    """Rows."""
    reach: int
    width: int
    """Of the image."""
    height: int

    @property
    def side(self) -> int:
        """Pixels across."""
        return 2 * self.reach + 1

    def _first(self) -> tuple[Ints, Ints]:
        """The first column and row of each."""
        return np.floor(self.x).astype(np.int64) - self.reach, np.floor(self.y).astype(np.int64) - self.reach

    def windows(self) -> list[Window]:
        """The pixels of each that are in the image."""
        cols, rows = self._first()
        ends = np.minimum(cols + self.side, self.width), np.minimum(rows + self.side, self.height)
        cols, rows = np.maximum(cols, 0), np.maximum(rows, 0)
        return [Window(*one) for one in np.stack([cols, rows, ends[0] - cols, ends[1] - rows], axis=1).tolist()]

    def runs(self) -> Runs:
        """The pixels of each that are in the image, row by row."""
        cols, rows = self._first()
        start, end = np.maximum(cols, 0), np.minimum(cols + self.side, self.width)
        every = rows[:, np.newaxis] + np.arange(self.side)
        there = (every >= 0) & (every < self.height)
        of = np.repeat(np.arange(len(cols)), there.sum(axis=1))
        first = np.concatenate(([0], np.cumsum(there.sum(axis=1))))
        return Runs(of, every[there], start[of], (end - start)[of], first)

    def inside(self) -> npt.NDArray[np.bool_]:
        """True for pixels that are in the image, shape (n, rows, columns)."""
        cols, rows = self._first()
        steps = np.arange(self.side)
        across, down = cols[:, np.newaxis] + steps, rows[:, np.newaxis] + steps
        in_cols, in_rows = (across >= 0) & (across < self.width), (down >= 0) & (down < self.height)
        found: npt.NDArray[np.bool_] = in_rows[:, :, np.newaxis] & in_cols[:, np.newaxis, :]
        return found

    def arranged(self, values: npt.NDArray[Any], fill: float) -> npt.NDArray[Any]:
        """Arrange values of the pixels of `runs`, or of `windows` one after the other, as squares.

        Returns:
            Shape (n, side, side), `fill` outside of the image; in the dtype of the values.
        """
        inside = self.inside()
        found = np.full(inside.shape, fill, values.dtype)
        found[inside] = values
        return found

    def nearest(self, valid: npt.NDArray[np.bool_], transform: Affine) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """The valid pixel to give for each point, by the rule of `raster.nearest`.

        Args:
            valid: (n, side, side), False outside of the image.
            transform: pixel corner → CRS of the image.

        Returns:
            Position in the square, row-major; and True where there is a valid pixel.
        """
        steps = np.arange(self.side) - self.reach
        rings = np.maximum(np.abs(steps)[:, np.newaxis], np.abs(steps))
        far = self.reach + 1
        of_pixels = np.where(valid, rings, far)
        first = of_pixels.min(axis=(1, 2))
        # Nearest position of each pixel to the point in pixel space, then the distance of that in CRS units.
        in_col, in_row = self.x - np.floor(self.x), self.y - np.floor(self.y)
        across = np.clip(in_col[:, np.newaxis], steps, steps + 1) - in_col[:, np.newaxis]
        down = np.clip(in_row[:, np.newaxis], steps, steps + 1) - in_row[:, np.newaxis]
        d_col, d_row = across[:, np.newaxis, :], down[:, :, np.newaxis]
        dx, dy = transform.a * d_col + transform.b * d_row, transform.d * d_col + transform.e * d_row
        away = np.where(of_pixels == first[:, np.newaxis, np.newaxis], dx * dx + dy * dy, np.inf)
        return away.reshape(len(first), -1).argmin(axis=1), first < far
