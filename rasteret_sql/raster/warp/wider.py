"""Computes bilinear kernels that are a little wider than a pixel: most pixels need four of the source's, not sixteen.

So wide they are between CRSs, where pixels are as large as those of the source, or nearly. Sums have the order of those
over all pixels under the kernel, of which the others add 0, so that they are the same to the last bit.
"""

from __future__ import annotations

import numpy as np

from rasteret_sql.raster.warp.neighbourhood import Index, Mask, Neighbourhood, Numbers

_LEAST_SCALE = 2 / 3
"""Above it a kernel covers at most three pixels of an axis."""


def is_little_wider(scale: tuple[float, float]) -> bool:
    """True for a kernel that covers two pixels of an axis, or three.

    Args:
        scale: of columns and rows, at most 1: how much wider it is than a pixel.
    """
    return min(scale) > _LEAST_SCALE


def sums_of_wider(
    near: Neighbourhood, right: Numbers, below: Numbers, scale: tuple[float, float]
) -> tuple[Numbers, Numbers]:
    """Sums of pixels by their weights, and of the weights.

    Args:
        near: all of which count, and are finite.
        right: distance of the centre of the pixel left of and above each to the position, in columns from 0 to 1.
        below: the same in rows.
        scale: as `is_little_wider` takes it.
    """
    of_cols, of_rows = _of_two(right, scale[0]), _of_two(below, scale[1])
    total, sums = _added(near, near.at, of_cols, of_rows)
    # Where the kernel reaches one more pixel; a pixel too many here changes nothing.
    some = np.flatnonzero(_has_third(right, scale[0]) | _has_third(below, scale[1]))
    if some.size:
        (first_col, of_cols), (first_row, of_rows) = _of_three(right[some], scale[0]), _of_three(below[some], scale[1])
        at = near.at[some] + (first_row * near.stride + first_col).astype(np.intp)
        total[some], sums[some] = _added(near, at, of_cols, of_rows)
    return total, sums


def _of_two(past: Numbers, scale: float) -> list[Numbers]:
    """Weights of the pixels at 0 and 1."""
    first = past * scale
    second = 1 - past
    second *= scale
    return [np.subtract(1, first, out=first), np.subtract(1, second, out=second)]


def _has_third(past: Numbers, scale: float) -> Mask:
    """True where another pixel than those at 0 and 1 may have a weight."""
    more = 1 / scale - 1 + 1e-9
    return (past < more) | (past > 1 - more)


def _of_three(past: Numbers, scale: float) -> tuple[Numbers, list[Numbers]]:
    """The first of three pixels that have a weight, or two: -1 or 0; and the weights of all."""
    first = np.where(past < 0.5, -1.0, 0.0) if scale < 1 else np.full(past.shape, -1.0)  # there is none at 2
    weights = []
    for number in range(3):
        weight = first + number
        weight -= past
        weight *= scale
        np.abs(weight, out=weight)
        np.subtract(1, weight, out=weight)
        weights.append(np.maximum(weight, 0, out=weight))
    return first, weights


def _added(near: Neighbourhood, at: Index, of_cols: list[Numbers], of_rows: list[Numbers]) -> tuple[Numbers, Numbers]:
    """The sums over as many columns and rows, from some pixels on, as there are weights."""
    counted = of_cols[0] + of_cols[1]
    for weight in of_cols[2:]:
        counted += weight
    total, sums = np.zeros(len(at)), np.zeros(len(at))
    for row, of_row in enumerate(of_rows):
        values = near.values[row * near.stride :]
        line = values.take(at)
        line *= of_cols[0]
        for col, of_col in enumerate(of_cols[1:], 1):
            value = values[col:].take(at)
            value *= of_col
            line += value
        line *= of_row
        total += line
        sums += counted * of_row
    return total, sums
