"""Cuts the source into the cells of target pixels: which source pixels each covers, and with which part of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.warp.neighbourhood import Index, Mask, Numbers

Ints = npt.NDArray[np.int64]
_EDGE = 1e-10
"""Source pixels by which a cell may reach over a pixel's border and not touch it."""


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Source pixels of cells on one axis; each field has shape (n,)."""

    first: Index
    count: Index
    """0 where a cell misses the source."""
    of_first: Numbers
    """The part of the first pixel that the cell covers; 1 where there is just one."""
    of_last: Numbers

    def take(self, cells: Index) -> Spans:
        """Some of the cells."""
        return Spans(self.first[cells], self.count[cells], self.of_first[cells], self.of_last[cells])

    def moved(self, by: Index) -> Spans:
        """The same on a larger source, in which each cell's own begins so many pixels further."""
        return Spans(self.first + by, self.count, self.of_first, self.of_last)

    def weights(self, number: int) -> Numbers:
        """The part of the n-th pixel of each cell, 0 where it has fewer."""
        parts = np.where(number < self.count, 1.0, 0.0)
        if number == 0:
            parts = np.where(self.count > 0, self.of_first, parts)
        last = self.count == number + 1
        parts[last] = self.of_last[last]
        return parts


def spans(start: Numbers, end: Numbers, size: int | Ints) -> Spans:
    """Source pixels of cells between two positions.

    Args:
        start: source positions of one side of each cell, shape (n,); not finite where there is no such place.
        end: of the other side.
        size: source pixels on the axis; one number, or one for each cell.
    """
    low, high = np.minimum(start, end), np.maximum(start, end)
    with np.errstate(invalid="ignore"):
        meets = (high > -_EDGE) & (low < size + _EDGE)
    low, high = np.where(meets, low, 0.0), np.where(meets, high, 0.0)
    first = np.maximum(np.floor(low + _EDGE), 0.0)
    last = np.minimum(np.ceil(high - _EDGE), size)
    last += (first == last) & (last < size)
    count = np.where(meets, np.maximum(last - first, 0), 0).astype(np.intp)
    # At the border of the source only what lies inside of it counts.
    of_first = np.where(count == 1, 1.0, 1 - (np.maximum(low, 0.0) - first))
    of_last = np.where(count == 1, 1.0, 1 - (last - np.minimum(high, size)))
    return Spans(np.minimum(first, size).astype(np.intp), count, of_first, of_last)


@dataclass(frozen=True, slots=True, eq=False)
class Tap:
    """The n-th source pixel of each cell, row by row; fields have shape (n,)."""

    offset: int
    """From the first pixel of the cell, as the source pixels around it lie in a line."""
    weights: Numbers
    """The part of the pixel that the cell covers."""
    inside: Mask
    """True where the cell has so many."""


def taps(cols: Spans, rows: Spans, stride: int) -> Iterator[Tap]:
    """Go through the source pixels of cells, those of all cells at once: row by row, and in each from the left.

    Args:
        cols: of each cell, with at least one pixel.
        rows: likewise.
        stride: distance of a pixel from the one below it.
    """
    across = [(cols.weights(number), number < cols.count) for number in range(int(cols.count.max(initial=0)))]
    for row in range(int(rows.count.max(initial=0))):
        of_row, in_row = rows.weights(row), row < rows.count
        for col, (of_col, in_col) in enumerate(across):
            yield Tap(row * stride + col, of_row * of_col, in_row & in_col)
