"""Cuts the source pixels around a block of the target out of those of a warp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.geo.grid import Window

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The source pixels of a warp: those of its plan's window."""

    data: Pixels
    """(height, width)"""
    valid: Mask | None
    """(height, width), True is valid; None: all are."""

    @property
    def height(self) -> int:
        return int(self.data.shape[0])

    @property
    def width(self) -> int:
        return int(self.data.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """Source pixels around those of a block, as one line, so that a pixel's neighbours are at fixed distances."""

    values: Pixels
    """Shape (n,); 0 where nothing counts."""
    counts: Mask | None
    """Shape (n,): True for valid pixels of the source; None where all of them are."""
    stride: int
    """Distance of a pixel from the one below it."""
    at: Index
    """Place of each target pixel's source pixel in `values`."""

    def of(self, some: Index) -> Neighbourhood:
        """The same for some of the target pixels."""
        return Neighbourhood(self.values, self.counts, self.stride, self.at[some])


def neighbourhood(
    source: Source, at: tuple[Index, Index], before: int, after: tuple[int, int], dtype: npt.DTypeLike = np.float64
) -> Neighbourhood:
    """Cut out the source pixels around some.

    Args:
        source: all pixels.
        at: source columns and rows, each of shape (n,), n ≥ 1; with `before` and `after` they may reach out of the
            source.
        before: columns and rows that are looked at before these.
        after: columns and rows that are looked at after these.
        dtype: of the values; by default they are numbers to compute with.
    """
    window, places = cut_around(at, before, after)
    values, counts = cut_out(source, window, dtype)
    return Neighbourhood(values.ravel(), None if counts is None else counts.ravel(), window.width, places)


def cut_around(at: tuple[Index, Index], before: int, after: tuple[int, int]) -> tuple[Window, Index]:
    """The source pixels around some, and the place of each of these in the line of them; arguments as above."""
    cols, rows = at
    left, top = int(cols.min()) - before, int(rows.min()) - before
    right, bottom = int(cols.max()) + after[0] + 1, int(rows.max()) + after[1] + 1
    return Window(left, top, right - left, bottom - top), (rows - top) * (right - left) + (cols - left)


def cut_out(source: Source, window: Window, dtype: npt.DTypeLike) -> tuple[Pixels, Mask | None]:
    """Cut out a window, which may reach out of the source.

    Args:
        source: all pixels.
        window: numbered from the first of them.
        dtype: of the values.

    Returns:
        Values, shape (height, width), 0 where nothing counts; and True for valid pixels of the source, of the same
        shape, None where all of the window are.
    """
    top, left = window.row_off, window.col_off
    inner = (
        slice(max(top, 0), min(window.row_end, source.height)),
        slice(max(left, 0), min(window.col_end, source.width)),
    )
    part, valid = source.data[inner], None if source.valid is None else source.valid[inner]
    if valid is not None and valid.all():
        valid = None
    if part.shape == window.shape and valid is None:
        return np.ascontiguousarray(part, dtype), None
    values, counts = np.zeros(window.shape, dtype), np.zeros(window.shape, bool)
    place = (
        slice(inner[0].start - top, inner[0].stop - top),
        slice(inner[1].start - left, inner[1].stop - left),
    )
    if part.size:
        counts[place] = True if valid is None else valid
        values[place] = part
        if valid is not None and part.dtype.kind == "f":  # NaN times 0 is NaN
            values[place][~valid] = 0
        elif valid is not None:
            values[place] *= valid
    return values, counts


def all_count(near: Neighbourhood, before: int, after: int) -> Mask:
    """True for pixels whose neighbours all count: so many before and after, on both axes; as a line."""
    assert near.counts is not None
    counts = near.counts.reshape(-1, near.stride)
    size = before + after + 1
    whole = np.zeros_like(counts)
    lines = counts[:, : counts.shape[1] - size + 1].copy()
    for col in range(1, size):
        lines &= counts[:, col : counts.shape[1] - size + 1 + col]
    inner = lines[: len(lines) - size + 1].copy()
    for row in range(1, size):
        inner &= lines[row : len(lines) - size + 1 + row]
    whole[before : before + len(inner), before : before + inner.shape[1]] = inner
    return whole.ravel()
