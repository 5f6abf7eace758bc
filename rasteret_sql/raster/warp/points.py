"""Computes the methods that look at the source around the centre of each target pixel: nearest and four kernels."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rasteret_sql.raster.warp.kernels import cubic_weights, kernel
from rasteret_sql.raster.warp.neighbourhood import (
    Index,
    Mask,
    Neighbourhood,
    Numbers,
    Pixels,
    Source,
    all_count,
    cut_around,
    cut_out,
)
from rasteret_sql.raster.warp.output import to_pixels
from rasteret_sql.raster.warp.places import Places
from rasteret_sql.raster.warp.resampling import RADIUS
from rasteret_sql.raster.warp.wider import is_little_wider, sums_of_wider

EDGE = 1e-10
"""Source pixels by which a position before a border belongs to the next pixel already."""
OF_FOUR = ("bilinear", "cubic")
"""Methods that look at no more than four pixels of an axis, where they are not widened."""
FULL = 0.95
"""The smallest scale at which kernels are not widened."""
LEAST_SUM = 1e-6
"""A sum of weights below which there is no value."""
_NO_PIXELS = np.empty(0, np.intp)
_DIVIDED = {
    "bilinear": ("uint8", "int16", "uint16", "float32", "float64"),
    "cubic": ("uint8", "int16", "uint16", "float32", "float64"),
    "cubic_spline": ("uint8", "int16", "uint16"),
}
"""dtypes for which GDAL divides weights by their sum in any case, where there is neither a mask nor nodata."""
_FEW = 0.5
"""The part of a block's pixels below which those that get no value are left out of its computation."""


class Values(NamedTuple):
    """Values of target pixels of a block."""

    found: Index | None
    """Places of them in the block, shape (n,); None: all, in their order."""
    pixels: Pixels
    """Shape (n,), in the dtype of the source."""
    has: Mask | None
    """Shape (n,), True for those that get one; None: all do."""


class PointMethod:
    """One method at one scale over one source.

    Args:
        method: nearest, bilinear, cubic, cubic_spline or lanczos.
        source: the pixels.
        scale: target pixels for each source pixel, of columns and rows.
        normalizes: True: weights are divided by their sum however near to 1 it is, as GDAL does without any mask.
    """

    def __init__(self, method: str, source: Source, scale: tuple[float, float], *, normalizes: bool) -> None:
        self._source = source
        self._valid = None if source.valid is None else source.valid.ravel()
        self.normalizes = normalizes
        self.four = min(scale) >= FULL and method in OF_FOUR
        least = min(scale[0], 1.0), min(scale[1], 1.0)
        self.scale: tuple[Numbers | float, Numbers | float] = least
        reach = reach_of(method, least)
        if normalizes and (reach[0] > source.width or reach[1] > source.height):
            method, self.four = "bilinear", True
        elif not normalizes and 1 in (source.width, source.height):
            method = "nearest"
        self.name = method
        self.reach = reach
        is_wider = method == "bilinear" and not self.four and is_little_wider(least)
        self._wider = least if is_wider else None
        """The scale, of a bilinear kernel that is a little wider than a pixel."""

    def places(self, xs: Numbers, ys: Numbers) -> Places:
        """Place the pixels of a block on the source.

        Args:
            xs: source columns of the centres, shape (n,); not finite where there is no such place.
            ys: source rows.
        """
        found = None if self._all_inside(xs, ys) else self._inside(xs, ys)
        if found is not None:
            xs, ys = xs[found], ys[found]
        is_nearest = self.name == "nearest"
        under = self._under(xs, ys) if is_nearest or self._valid is not None else None
        if is_nearest or not xs.size:
            return Places(found, under, None, _NO_PIXELS, xs[:0], ys[:0])
        xs, ys = xs - 0.5, ys - 0.5
        cols, rows = np.floor(xs), np.floor(ys)
        right, below = np.subtract(xs, cols, out=xs), np.subtract(ys, rows, out=ys)
        near, at = cut_around((cols.astype(np.intp), rows.astype(np.intp)), *self._around())
        return Places(found, under, near, at, right, below)

    def _around(self) -> tuple[int, tuple[int, int]]:
        """Source pixels that are looked at before those left of and above a centre, and after them."""
        if self.four:
            before, after = around(self.name)
            return before, (after, after)
        return max(self.reach), self.reach

    def serves(self, places: Places) -> bool:
        """True for places that say all that is needed; those of a source without a mask may lack the pixels under."""
        return self._valid is None or places.under is not None

    def values(self, places: Places) -> Values:
        """Values of a block."""
        has = None
        if self._valid is not None:
            assert places.under is not None
            has = self._valid.take(places.under)
            if has.all():
                has = None
            elif has.mean() < _FEW:
                places, has = places.of(np.flatnonzero(has)), None
        if self.name == "nearest":
            assert places.under is not None
            return Values(places.found, self._source.data.ravel().take(places.under), has)
        if not places.at.size or places.near is None:
            return Values(np.empty(0, np.intp), np.empty(0, self._source.data.dtype), None)
        return self.of_kernel(places, has)

    def of_kernel(self, places: Places, has: Mask | None) -> Values:
        """The same by a kernel; `has`: True for those pixels that are on valid ones, None: all are."""
        assert places.near is not None
        values, counts = cut_out(self._source, places.near, np.float64)
        line = None if counts is None else counts.ravel()
        near = Neighbourhood(values.ravel(), line, places.near.width, places.at.astype(np.intp, copy=False))
        if self.four:
            numbers, sums = of_four(near, places.right, places.below, self.name)
        else:
            numbers, sums = self._of_kernel(near, places)
        if sums is not None and not (enough := sums >= LEAST_SUM).all():
            has = enough if has is None else has & enough
        return Values(places.found, to_pixels(numbers, self._source.data.dtype), has)

    def _all_inside(self, xs: Numbers, ys: Numbers) -> bool:
        """True where every position is in the source; of NaN neither comparison holds."""
        low, right, bottom = min(xs.min(), ys.min()), xs.max(), ys.max()
        return bool(low >= 0 and right + EDGE <= self._source.width and bottom + EDGE <= self._source.height)

    def _inside(self, xs: Numbers, ys: Numbers) -> Index:
        """Places of the positions in the source."""
        with np.errstate(invalid="ignore"):
            inside = (xs >= 0) & (ys >= 0)
            inside &= (xs + EDGE <= self._source.width) & (ys + EDGE <= self._source.height)
        return np.flatnonzero(inside)

    def _under(self, xs: Numbers, ys: Numbers) -> Index:
        """The source pixel under each centre, as its place in the line of all."""
        cols, rows = (xs + EDGE).astype(np.intp), (ys + EDGE).astype(np.intp)
        np.minimum(cols, self._source.width - 1, out=cols)
        np.minimum(rows, self._source.height - 1, out=rows)
        rows *= self._source.width
        rows += cols
        return rows

    def _of_kernel(self, near: Neighbourhood, places: Places) -> tuple[Numbers, Numbers]:
        """The kernel over all pixels that it covers and that count, each weight a product of two."""
        is_plain = near.counts is None and (self._source.data.dtype.kind in "iu" or np.isfinite(near.values.sum()))
        if is_plain and self._wider is not None:
            total, sums = sums_of_wider(near, places.right, places.below, self._wider)
        else:
            total, sums = self._sums(near, places)
        uneven = True if self.normalizes else (sums < 0.99999) | (sums > 1.00001)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Sums of the kernel that are as good as 1 divide nothing, unless GDAL divides in any case.
            return np.divide(total, sums, out=total, where=uneven), sums

    def _sums(self, near: Neighbourhood, places: Places) -> tuple[Numbers, Numbers]:
        """Sums of the pixels by their weights, and of the weights."""
        across, down = self.reach
        right, below = places.right, places.below
        of_cols = [kernel(self.name, (at - right) * self.scale[0]) for at in range(1 - across, across + 1)]
        of_rows = [kernel(self.name, (at - below) * self.scale[1]) for at in range(1 - down, down + 1)]
        total, sums = np.zeros(len(right)), np.zeros(len(right))
        whole_line = sum(of_cols[1:], start=of_cols[0])
        for row, of_row in enumerate(of_rows, 1 - down):
            line = np.zeros(len(right))
            counted = whole_line if near.counts is None else np.zeros(len(right))
            for col, of_col in enumerate(of_cols, 1 - across):
                at = near.at + (row * near.stride + col)
                line += near.values.take(at) * of_col
                if near.counts is not None:
                    counted += of_col * near.counts.take(at)
            total += line * of_row
            sums += counted * of_row
        if self.name == "lanczos" and self._source.valid is not None and near.counts is not None:
            sums[self._too_few(near, places)] = 0
        return total, sums

    def _too_few(self, near: Neighbourhood, places: Places) -> Mask:
        """True where fewer than half of the source's pixels under the kernel are valid."""
        assert near.counts is not None
        assert places.near is not None
        rows, cols = np.divmod(near.at, near.stride)
        at = cols + places.near.col_off, rows + places.near.row_off
        under = []
        for place, past, reach, scale, size in zip(
            at,
            (places.right, places.below),
            self.reach,
            self.scale,
            (self._source.width, self._source.height),
            strict=True,
        ):
            each_offset = []
            for offset in range(-reach, reach + 1):
                covered = np.abs((offset - past) * scale) <= RADIUS["lanczos"]
                each_offset.append(covered & (place + offset >= 0) & (place + offset < size))
            under.append(each_offset)
        valid = np.zeros(len(near.at), np.intp)
        for row, in_row in enumerate(under[1], -self.reach[1]):
            for col, in_col in enumerate(under[0], -self.reach[0]):
                valid += in_row & in_col & near.counts.take(near.at + (row * near.stride + col))
        pixels = np.sum(under[0], 0) * np.sum(under[1], 0)
        few: Mask = valid < pixels // 2
        return few


def divides(method: str, dtype: np.dtype, nodata: float | None) -> bool:
    """True where weights are divided by their sum, however near to 1 it is, if all pixels of the source are valid."""
    return nodata is None and dtype.name in _DIVIDED.get(method, ())


def reach_of(method: str, scale: tuple[float, float]) -> tuple[int, int]:
    """Source pixels to each side under a kernel, of columns and rows; scales are at most 1."""
    radius = RADIUS[method]
    return math.ceil(radius / scale[0]), math.ceil(radius / scale[1])


def around(method: str) -> tuple[int, int]:
    """Pixels before and after the one left of and above a centre that bilinear or cubic looks at."""
    return (1, 2) if method == "cubic" else (0, 1)


def of_four(near: Neighbourhood, right: Numbers, below: Numbers, method: str) -> tuple[Numbers, Numbers | None]:
    """Bilinear of the four nearest pixels that count; cubic of sixteen where all of them do.

    Args:
        near: the pixels `around` the one left of and above each centre.
        right: distance of the centre of that pixel to the position, in columns from 0 to 1.
        below: the same in rows.
        method: bilinear or cubic.

    Returns:
        Values, and the sums of their weights: 0 where nothing counts; None where all pixels do.
    """
    is_cubic = method == "cubic"
    if near.counts is None:
        return (_cubic if is_cubic else _bilinear)(near, right, below), None
    whole = all_count(near, *around(method)).take(near.at)
    if is_cubic:
        chosen = np.flatnonzero(whole)
        values, sums = np.zeros(len(right)), np.ones(len(right))
        values[chosen] = _cubic(near.of(chosen), right[chosen], below[chosen])
    else:
        values, sums = _bilinear(near, right, below), np.ones(len(right))
    some = np.flatnonzero(~whole)
    values[some], sums[some] = bilinear_of_some(near.of(some), right[some], below[some])
    return values, sums


def _bilinear(near: Neighbourhood, right: Numbers, below: Numbers) -> Numbers:
    """The four nearest pixels by their weights, where all of them count."""
    upper = _between(near, 0, right)
    lower = _between(near, near.stride, right)
    lower -= upper
    lower *= below
    upper += lower
    if np.isnan(upper.sum()):  # from an infinite pixel to the next there is no step
        odd = np.flatnonzero(np.isnan(upper))
        upper[odd] = _sum_of_four(near.of(odd), right[odd], below[odd])
    return upper


def _sum_of_four(near: Neighbourhood, right: Numbers, below: Numbers) -> Numbers:
    """The same as a sum, in which infinite pixels are infinite."""
    lines = [
        near.values.take(near.at + row) * (1 - right) + near.values.take(near.at + row + 1) * right
        for row in (0, near.stride)
    ]
    total: Numbers = lines[0] * (1 - below) + lines[1] * below
    return total


def _between(near: Neighbourhood, offset: int, right: Numbers) -> Numbers:
    """A value between a pixel and the one to the right of it."""
    at = near.at + offset if offset else near.at
    first = near.values.take(at)
    step = near.values.take(at + 1)
    step -= first
    step *= right
    first += step
    return first


def bilinear_of_some(near: Neighbourhood, right: Numbers, below: Numbers) -> tuple[Numbers, Numbers]:
    """The same of those of the four that count, and the sum of their weights."""
    assert near.counts is not None
    left, above = 1 - right, 1 - below
    total, sums = np.zeros(len(right)), np.zeros(len(right))
    for offset, of_col, of_row in (
        (0, left, above),
        (1, right, above),
        (near.stride, left, below),
        (near.stride + 1, right, below),
    ):
        at = near.at + offset
        weight = of_col * of_row * near.counts.take(at)
        total += near.values.take(at) * weight
        sums += weight
    with np.errstate(divide="ignore", invalid="ignore"):
        total /= sums
    sums[sums < 1e-5] = 0
    return total, sums


def _cubic(near: Neighbourhood, right: Numbers, below: Numbers) -> Numbers:
    """Sixteen pixels by their weights, where all of them count."""
    across, down = cubic_weights(right), cubic_weights(below)
    total = np.zeros(len(near.at))
    for row in range(4):
        at = near.at + ((row - 1) * near.stride - 1)
        line = near.values.take(at)
        line *= across[0]
        for col in range(1, 4):
            at += 1
            value = near.values.take(at)
            value *= across[col]
            line += value
        line *= down[row]
        total += line
    return total
