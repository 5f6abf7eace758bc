"""Computes the methods that look at the source around the centre of each target pixel: nearest and four kernels."""

from __future__ import annotations

import math

import numpy as np

from rasteret_sql.raster.warp.kernels import cubic_weights, kernel
from rasteret_sql.raster.warp.neighbourhood import Index, Mask, Neighbourhood, Numbers, Source, neighbourhood
from rasteret_sql.raster.warp.resampling import RADIUS

EDGE = 1e-10
"""Source pixels by which a position before a border belongs to the next pixel already."""
_FULL = 0.95
"""The smallest scale at which kernels are not widened."""
_LEAST_SUM = 1e-6
"""A sum of weights below which there is no value."""


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
        self._normalizes = normalizes
        self._four = min(scale) >= _FULL and method in ("bilinear", "cubic")
        self._scale = tuple(min(each, 1.0) for each in scale)
        radius = RADIUS[method]
        reach = tuple(math.ceil(radius / each) if each < 1 else radius for each in scale)
        if normalizes and (reach[0] > source.width or reach[1] > source.height):
            method, self._four = "bilinear", True
        elif not normalizes and 1 in (source.width, source.height):
            method = "nearest"
        self.method = method
        self._reach = reach

    def pixels_under(self, xs: Numbers, ys: Numbers) -> tuple[Index, Index, Index]:
        """Targets, as places in `xs`, that get a value, and the source column and row under the centre of each.

        Args:
            xs: source columns of the centres, shape (n,); not finite where there is no such place.
            ys: source rows.
        """
        source = self._source
        if self._all_inside(xs, ys):
            found = np.arange(len(xs))
            cols, rows = (xs + EDGE).astype(np.intp), (ys + EDGE).astype(np.intp)
        else:
            with np.errstate(invalid="ignore"):
                inside = (xs >= 0) & (ys >= 0) & (xs + EDGE <= source.width) & (ys + EDGE <= source.height)
            found = np.flatnonzero(inside)
            cols, rows = (xs[found] + EDGE).astype(np.intp), (ys[found] + EDGE).astype(np.intp)
        np.minimum(cols, source.width - 1, out=cols)
        np.minimum(rows, source.height - 1, out=rows)
        if source.valid is not None:
            kept = source.valid.ravel().take(rows * source.width + cols)
            if not kept.all():
                found, cols, rows = found[kept], cols[kept], rows[kept]
        return found, cols, rows

    def _all_inside(self, xs: Numbers, ys: Numbers) -> bool:
        """True where every position is in the source; of NaN neither comparison holds."""
        low, right, bottom = min(xs.min(), ys.min()), xs.max(), ys.max()
        return bool(low >= 0 and right + EDGE <= self._source.width and bottom + EDGE <= self._source.height)

    def values(self, xs: Numbers, ys: Numbers) -> tuple[Index, Numbers]:
        """Targets that get a value, and the value of each, not rounded.

        Args:
            xs: source columns of the centres, shape (n,).
            ys: source rows.
        """
        found, _, _ = self.pixels_under(xs, ys)
        if not found.size:
            return found, np.empty(0)
        if len(found) != len(xs):
            xs, ys = xs[found], ys[found]
        if self._four:
            values, sums = self._of_four(xs, ys)
        else:
            values, sums = self._of_kernel(xs, ys)
        kept = sums >= _LEAST_SUM
        return (found, values) if kept.all() else (found[kept], values[kept])

    def _of_four(self, xs: Numbers, ys: Numbers) -> tuple[Numbers, Numbers]:
        """Bilinear of the four nearest pixels that count; cubic of sixteen where all of them do."""
        xs, ys = xs - 0.5, ys - 0.5
        cols, rows = np.floor(xs), np.floor(ys)
        right, below = xs - cols, ys - rows
        before, after = (1, 2) if self.method == "cubic" else (0, 1)
        near = neighbourhood(self._source, (cols.astype(np.intp), rows.astype(np.intp)), before, (after, after))
        values, sums = _bilinear(near, right, below)
        if self.method == "cubic":
            self._sharpen(values, sums, near, right, below)
        return values, sums

    @staticmethod
    def _sharpen(values: Numbers, sums: Numbers, near: Neighbourhood, right: Numbers, below: Numbers) -> None:
        """Put the cubic of sixteen pixels where all of them count."""
        offsets = [(row - 1) * near.stride + col - 1 for row in range(4) for col in range(4)]
        at = near.at
        chosen: slice | Index = slice(None)
        if near.counts is not None:
            whole = near.counts.take(at + offsets[0])
            for offset in offsets[1:]:
                whole &= near.counts.take(at + offset)
            if not whole.any():
                return
            if not whole.all():
                chosen = np.flatnonzero(whole)
                at, right, below = at[chosen], right[chosen], below[chosen]
        across, down = cubic_weights(right), cubic_weights(below)
        total = np.zeros(len(at))
        for row in range(4):
            line = across[0] * near.values.take(at + offsets[4 * row])
            for col in range(1, 4):
                line += across[col] * near.values.take(at + offsets[4 * row + col])
            line *= down[row]
            total += line
        values[chosen] = total
        sums[chosen] = 1.0

    def _of_kernel(self, xs: Numbers, ys: Numbers) -> tuple[Numbers, Numbers]:
        """The kernel over all pixels that it covers and that count, each weight a product of two."""
        across, down = self._reach
        xs, ys = xs - 0.5, ys - 0.5
        cols, rows = np.floor(xs), np.floor(ys)
        right, below = xs - cols, ys - rows
        near = neighbourhood(
            self._source, (cols.astype(np.intp), rows.astype(np.intp)), max(across, down), (across, down)
        )
        of_cols = [kernel(self.method, (at - right) * self._scale[0]) for at in range(1 - across, across + 1)]
        of_rows = [kernel(self.method, (at - below) * self._scale[1]) for at in range(1 - down, down + 1)]
        total, sums = np.zeros(len(xs)), np.zeros(len(xs))
        whole_line = sum(of_cols[1:], start=of_cols[0])
        for row, of_row in enumerate(of_rows, 1 - down):
            line = np.zeros(len(xs))
            counted = whole_line if near.counts is None else np.zeros(len(xs))
            for col, of_col in enumerate(of_cols, 1 - across):
                at = near.at + (row * near.stride + col)
                line += near.values.take(at) * of_col
                if near.counts is not None:
                    np.add(counted, of_col, out=counted, where=near.counts.take(at))
            total += line * of_row
            sums += counted * of_row
        if self.method == "lanczos" and self._source.valid is not None and near.counts is not None:
            sums[self._too_few(near, (cols, rows), (right, below))] = 0
        plain = np.zeros(len(xs), bool) if self._normalizes else (sums >= 0.99999) & (sums <= 1.00001)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(plain, total, total / sums), sums

    def _too_few(self, near: Neighbourhood, at: tuple[Numbers, Numbers], after: tuple[Numbers, Numbers]) -> Mask:
        """True where fewer than half of the source's pixels under the kernel are valid."""
        assert near.counts is not None
        under = []
        for place, past, reach, scale, size in zip(
            at, after, self._reach, self._scale, (self._source.width, self._source.height), strict=True
        ):
            each_offset = []
            for offset in range(-reach, reach + 1):
                covered = np.abs((offset - past) * scale) <= RADIUS["lanczos"]
                each_offset.append(covered & (place + offset >= 0) & (place + offset < size))
            under.append(each_offset)
        valid = np.zeros(len(near.at), np.intp)
        for row, in_row in enumerate(under[1], -self._reach[1]):
            for col, in_col in enumerate(under[0], -self._reach[0]):
                valid += in_row & in_col & near.counts.take(near.at + (row * near.stride + col))
        pixels = np.sum(under[0], 0) * np.sum(under[1], 0)
        few: Mask = valid < pixels // 2
        return few


def _bilinear(near: Neighbourhood, right: Numbers, below: Numbers) -> tuple[Numbers, Numbers]:
    """The four nearest pixels by their weights, and the sum of the weights of those that count."""
    left, above = 1 - right, 1 - below
    total = sums = np.zeros(0)
    for number, (offset, of_col, of_row) in enumerate(
        ((0, left, above), (1, right, above), (near.stride, left, below), (near.stride + 1, right, below))
    ):
        weight = of_col * of_row
        at = near.at + offset if offset else near.at
        value = near.values.take(at)
        value *= weight
        if near.counts is not None:
            weight *= near.counts.take(at)
        if number:
            total += value
            sums += weight
        else:
            total, sums = value, weight
    with np.errstate(divide="ignore", invalid="ignore"):
        total /= sums
    sums[sums < 1e-5] = 0
    return total, sums
