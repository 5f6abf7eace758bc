"""Sorts planes of pixels, and takes exact medians of the values that each pixel has."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Planes = npt.NDArray[Any]
_BY_NETWORK = 32
"""Planes, at most, that are sorted by comparing whole planes: beyond, sorting pixel by pixel takes less."""
_AT_ONCE = 1 << 14
"""Pixels whose planes are sorted together, at most."""
_BYTES_AT_ONCE = 1 << 20
"""Bytes of these: they stay near the processor."""
_FEW = 256
"""Pixels that are sorted together however many planes they have."""


def sort_planes(planes: Planes) -> None:
    """Sort the values of each pixel in place.

    Args:
        planes: Shape (planes, pixels); no NaN among them.
    """
    count, pixels = planes.shape
    some = min(_AT_ONCE, max(_FEW, _BYTES_AT_ONCE // max(count * planes.itemsize, 1)))
    for begin in range(0, pixels, some):
        part = planes[:, begin : begin + some]
        if count > _BY_NETWORK:
            lanes = np.ascontiguousarray(part.T)
            lanes.sort(axis=1)
            part[...] = lanes.T
            continue
        rows = [row.copy() for row in part]
        low = np.empty_like(rows[0]) if rows else None
        for one, other in _comparisons(count):
            np.minimum(rows[one], rows[other], out=low)
            np.maximum(rows[one], rows[other], out=rows[other])
            rows[one], low = low, rows[one]
        for row, sorted_row in zip(part, rows, strict=True):
            row[...] = sorted_row


@lru_cache(maxsize=_BY_NETWORK)
def _comparisons(count: int) -> tuple[tuple[int, int], ...]:
    """Pairs of planes to compare, one after the other, so that all are sorted.

    Batcher's merge exchange (Knuth, The Art of Computer Programming, volume 3, 5.2.2, algorithm M).
    """
    return tuple(_merge_exchange(count))


def _merge_exchange(count: int) -> Iterator[tuple[int, int]]:
    if count < 2:
        return
    top = 1 << ((count - 1).bit_length() - 1)
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            yield from ((i, i + d) for i in range(count - d) if i & p == r)
            if q == p:
                break
            d, q, r = q - p, q >> 1, p
        p >>= 1


def median_of_sorted(planes: Planes, counts: npt.NDArray[np.uint32], dtype: np.dtype) -> Planes:
    """The median of the first so many values of each pixel.

    Args:
        planes: Shape (planes, pixels), sorted along the first axis.
        counts: Values of each pixel, shape (pixels,); others stand behind them.
        dtype: A float, of the result.

    Returns:
        The middle value, or the mean of the two in the middle, shape (pixels,); of a pixel without values anything.
    """
    found = np.zeros(planes.shape[1], dtype)
    for count in np.unique(counts).tolist():
        if not count:
            continue
        at = slice(None) if (counts == count).all() else counts == count
        upper = planes[count // 2, at]
        if count % 2:
            found[at] = upper
            continue
        lower = planes[count // 2 - 1, at].astype(np.float64)
        # Not (a + b) / 2, which may be beyond the largest number.
        found[at] = lower / 2 + upper.astype(np.float64) / 2
    return found
