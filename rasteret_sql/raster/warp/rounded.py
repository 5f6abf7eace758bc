"""Computes means of 8 and 16 bit integers by sums in single precision, and by exact ones where rounding needs these.

Rounded to integers, sums in single precision mostly are what exact ones are. Where they are so close to a half that
they may not be, the pixel is computed once more, in double precision and in the order of `areas.py`. So all pixels are
the same to the last bit, whatever the order in which a library of linear algebra adds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rasteret_sql.geo.grid import Window
from rasteret_sql.raster.warp.areas import by_running_mean
from rasteret_sql.raster.warp.band_matrix import BandMatrix, weighted_sums
from rasteret_sql.raster.warp.cells import Spans
from rasteret_sql.raster.warp.neighbourhood import Index, Mask, Neighbourhood, Pixels, Source, cut_out

_ULP = 2.0**-24
"""The part of a number in single precision by which it is rounded, at most."""
_MOST_TAPS = 64
"""Source pixels on an axis for which errors stay small."""
_MOST_AGAIN = 0.3
"""The part of a block's pixels that may be computed once more; where more are to be, `separable.py` computes all."""
_SAMPLED = 16
"""One of so many rows and columns tells where the values of a block are, about."""


class RoundedMeans(NamedTuple):
    """Means of a block, each of shape (rows, columns)."""

    pixels: Pixels
    has: Mask | None
    """True for those that have a value; None: all have one."""


def can_round(dtype: np.dtype, cols: Spans, rows: Spans) -> bool:
    """True where sums in single precision are near enough to exact ones.

    Args:
        dtype: of the pixels.
        cols: source columns of each target column.
        rows: of each row.
    """
    is_small = dtype.kind in "iu" and dtype.itemsize <= 2
    return is_small and max(cols.count.max(initial=0), rows.count.max(initial=0)) <= _MOST_TAPS


def rounded_means(source: Source, cols: BandMatrix, rows: BandMatrix) -> RoundedMeans | None:
    """Means of what lies in cells; None where too many of them are close to a half.

    Args:
        source: the pixels, of a dtype that `can_round` allows.
        cols: the parts of source columns in target columns.
        rows: of rows.
    """
    at = slice(rows.begin, rows.end), slice(cols.begin, cols.end)
    valid = source.valid
    if valid is not None and valid[at].all():
        valid = None
    centre = _centre(source.data[at], None if valid is None else valid[at])
    means, weights, largest = weighted_sums(source.data, valid, centre, rows, cols)
    has = None
    if weights is None:
        means /= rows.sums.astype(np.float32)[:, np.newaxis] * cols.sums.astype(np.float32)
    else:
        has = weights > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            means /= weights
        if has.all():
            has = None
        else:
            means[~has] = 0
    whole = np.rint(means)
    # Of both sums, each factor is rounded once, each product and each addition; then the quotient and the difference.
    error = _ULP * largest * (2 * (cols.taps + rows.taps + 4) + 8)
    means -= whole
    close = np.abs(means, out=means) >= 0.5 - error
    again = np.nonzero(close)
    if again[0].size > _MOST_AGAIN * close.size:
        return None
    whole += np.float32(centre)
    pixels = whole.astype(source.data.dtype)
    if again[0].size:
        by_running_mean(pixels, again, *_around(source, again, cols, rows))
    return RoundedMeans(pixels, has)


def _centre(pixels: Pixels, valid: Mask | None) -> int:
    """The middle of the values of a block, about: near to it, numbers in single precision are the finest."""
    some = pixels[::_SAMPLED, ::_SAMPLED]
    if valid is not None:
        some = some[valid[::_SAMPLED, ::_SAMPLED]]
    return (int(some.min()) + int(some.max())) // 2 if some.size else 0


def _around(
    source: Source, at: tuple[Index, ...], cols: BandMatrix, rows: BandMatrix
) -> tuple[Neighbourhood, Spans, Spans]:
    """The source pixels around some target pixels, and their cells' columns and rows."""
    window = Window(cols.begin, rows.begin, cols.end - cols.begin + cols.taps, rows.end - rows.begin + rows.taps)
    values, counts = cut_out(source, window, source.data.dtype)
    of_cols, of_rows = cols.cells.take(at[1]), rows.cells.take(at[0])
    first = (of_rows.first - rows.begin) * window.width + (of_cols.first - cols.begin)
    return (
        Neighbourhood(values.ravel(), None if counts is None else counts.ravel(), window.width, first),
        of_cols,
        of_rows,
    )
