"""Adds up source pixels by weights in single precision: `BandMatrix` has those of one axis along its diagonal."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.warp.cells import Spans
from rasteret_sql.raster.warp.neighbourhood import Mask, Numbers, Pixels

Singles = npt.NDArray[np.float32]

_SOURCE_PIXELS = 32
"""Source pixels of an axis for whose targets there is one matrix, about: a larger one has more zeros."""
_MOST_MEMBERS = 16
_AT_ONCE = 1 << 18
"""Products of numbers in one product of matrices: libraries of linear algebra start threads for more."""


class BandMatrix:
    """Weights of neighbouring target pixels on one axis.

    Args:
        cells: of the target pixels, each with a source pixel; their places rise or fall all the way.
        size: source pixels on the axis.
    """

    def __init__(self, cells: Spans, size: int) -> None:
        self.cells = cells
        targets = len(cells.first)
        self.taps = int(cells.count.max())
        """The most source pixels of a target pixel."""
        weights = [cells.weights(number) for number in range(self.taps)]
        self.sums: Numbers = np.sum(weights, axis=0)
        """Of the weights of each target pixel, shape (n,)."""
        step = max(abs(int(cells.first[-1] - cells.first[0])) / max(targets - 1, 1), 1.0)
        self.members = min(max(int(_SOURCE_PIXELS / step), 1), _MOST_MEMBERS)
        """Target pixels of each matrix; the last one has rows of 0 beyond the end."""
        group, member = np.divmod(np.arange(targets), self.members)
        starts = np.minimum.reduceat(cells.first, np.arange(0, targets, self.members))
        self.length = int((cells.first + cells.count - starts[group]).max())
        """Source pixels of each matrix."""
        starts = np.minimum(starts, size - self.length)
        self.matrices: Singles = np.zeros((len(starts), self.members, self.length), np.float32)
        """Shape (matrices, members, length)."""
        at = cells.first - starts[group]
        for number, weight in enumerate(weights):
            some = np.flatnonzero(weight)
            self.matrices[group[some], member[some], at[some] + number] = weight[some]
        self.begin, self.end = int(starts.min()), int(starts.max()) + self.length
        """The source pixels that are needed."""
        self.starts: list[int] = starts.tolist()
        """The first source pixel of each matrix."""


def weighted_sums(
    data: Pixels, valid: Mask | None, centre: int, rows: BandMatrix, cols: BandMatrix
) -> tuple[Singles, Singles | None, float]:
    """Sums of source pixels by their weights, in single precision.

    Args:
        data: all source pixels, of 8 or 16 bit.
        valid: True for those that count, None: all of those that are needed do.
        centre: what is subtracted from the pixels before.
        rows: weights of target rows.
        cols: of target columns.

    Returns:
        Sums of pixels and of weights, each of shape (rows, columns), the latter None where all count; and the largest
        pixel without its sign, after the subtraction.
    """
    across, parts = cols.end - cols.begin, 1 if valid is None else 2
    chunk = min(max(_AT_ONCE // (rows.members * rows.length) // 16 * 16, 16), across)
    chunks = -(-across // chunk)
    some = np.empty((parts, rows.length, chunks * chunk), np.float32)
    some[..., across:] = 0
    lines = np.empty((parts, len(rows.starts) * rows.members, chunks * chunk), np.float32)
    factors = some.reshape(parts, rows.length, chunks, chunk).transpose(0, 2, 1, 3)
    largest = 0.0
    for number, start in enumerate(rows.starts):
        part = slice(start, start + rows.length), slice(cols.begin, cols.end)
        values = some[0, :, :across]
        np.subtract(data[part], np.float32(centre), out=values)
        if valid is not None:
            counts = some[1, :, :across]
            counts[...] = valid[part]
            values *= counts
        largest = max(largest, float(values.max()), -float(values.min()))
        line = lines[:, number * rows.members : (number + 1) * rows.members]
        into = line.reshape(parts, rows.members, chunks, chunk).transpose(0, 2, 1, 3)
        np.matmul(rows.matrices[number], factors, out=into)
    down = lines.shape[1]
    found = _along(lines.reshape(parts * down, -1), cols).reshape(parts, down, -1)
    shape = slice(len(rows.sums)), slice(len(cols.sums))
    return found[0][shape], None if valid is None else found[1][shape], largest


def _along(lines: Singles, cols: BandMatrix) -> Singles:
    """Sums along lines, which begin with the first column that is needed."""
    found = np.empty((len(lines), len(cols.starts) * cols.members), np.float32)
    down = max(_AT_ONCE // (cols.members * cols.length), 1)
    for number, start in enumerate(cols.starts):
        matrix, begin = cols.matrices[number].T, start - cols.begin
        at = slice(number * cols.members, (number + 1) * cols.members)
        for top in range(0, len(lines), down):
            some = slice(top, top + down)
            np.matmul(lines[some, begin : begin + cols.length], matrix, out=found[some, at])
    return found
