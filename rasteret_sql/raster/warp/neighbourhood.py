"""Cuts the source pixels around a block of the target out of those of a warp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
    cols, rows = at
    left, top = int(cols.min()) - before, int(rows.min()) - before
    right, bottom = int(cols.max()) + after[0] + 1, int(rows.max()) + after[1] + 1
    width, height = right - left, bottom - top
    inner = slice(max(top, 0), min(bottom, source.height)), slice(max(left, 0), min(right, source.width))
    part, valid = source.data[inner], None if source.valid is None else source.valid[inner]
    if valid is not None and valid.all():
        valid = None
    if part.shape == (height, width) and valid is None:
        values = np.ascontiguousarray(part, dtype)
        counts: Mask | None = None
    else:
        values = np.zeros((height, width), dtype)
        counts = np.zeros((height, width), bool)
        place = (
            slice(inner[0].start - top, inner[0].stop - top),
            slice(inner[1].start - left, inner[1].stop - left),
        )
        if part.size:
            counts[place] = True if valid is None else valid
            if valid is None:
                values[place] = part
            else:
                np.copyto(values[place], part, where=valid, casting="unsafe")
    line = None if counts is None else counts.ravel()
    return Neighbourhood(values.ravel(), line, width, (rows - top) * width + (cols - left))
