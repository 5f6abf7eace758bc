"""Computes warps of which columns depend on columns alone, and rows on rows: along the rows first, then down.

What is computed along a row of the source serves all target rows around it. Each pixel is that of `points.py` and
`areas.py`, whose sums it adds up in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from rasteret_sql.geo.grid import Window
from rasteret_sql.raster.warp.areas import choice_of_extreme, settle
from rasteret_sql.raster.warp.band_matrix import BandMatrix
from rasteret_sql.raster.warp.cells import Spans, spans
from rasteret_sql.raster.warp.kernels import cubic_weights, kernel
from rasteret_sql.raster.warp.neighbourhood import Index, Mask, Neighbourhood, Numbers, Pixels, Source, cut_out
from rasteret_sql.raster.warp.output import to_pixels
from rasteret_sql.raster.warp.plan import WarpPlan
from rasteret_sql.raster.warp.points import EDGE, LEAST_SUM, PointMethod, Values, around, bilinear_of_some
from rasteret_sql.raster.warp.rounded import can_round, rounded_means

AREAS = ("average", "rms", "min", "max")
"""Methods over areas that are computed here."""
_SOURCE_PIXELS = 1 << 17
"""Source pixels of a block, about: as numbers they take a megabyte."""
_WIDTH, _HEIGHT = 512, 64
"""Pixels of a block, at most."""
_ROUNDED = (1 << 21, 128)
"""Source pixels and height where few pixels are numbers at a time: larger blocks need fewer calls of numpy."""
_LEAST_HEIGHT = 8


class SeparableWarp(NamedTuple):
    """A warp that is computed block by block."""

    inside: Window | None
    """The part of the target that gets values; None: nothing does."""
    work: Callable[[Window], Values]
    """Gives the values of a block of it, of shape (height, width); all have a place."""
    block_size: tuple[int, int]
    """Width and height of the blocks."""


def _block_size(scale: tuple[float, float], most: tuple[int, int] = (_SOURCE_PIXELS, _HEIGHT)) -> tuple[int, int]:
    """Width and height of the blocks of a warp.

    Args:
        scale: target pixels for each source pixel, of columns and rows.
        most: source pixels of a block, about, and its height.
    """
    across, down = (min(each, 1.0) for each in scale)
    height = int(most[0] * across * down / _WIDTH)
    return _WIDTH, min(max(height, _LEAST_HEIGHT), most[1])


class _Centres(NamedTuple):
    """Source positions of the centres of target pixels on one axis; each has shape (n,)."""

    under: Index
    """The source pixel under it."""
    before: Index
    """The source pixel whose centre lies before it, or on it."""
    past: Numbers
    """Distance from that centre."""

    def of(self, begin: int, end: int) -> _Centres:
        """Some of them."""
        return _Centres(self.under[begin:end], self.before[begin:end], self.past[begin:end])


def _centres(positions: Numbers, size: int) -> tuple[int, int, _Centres]:
    """The first and the end of the positions that are in a source of so many pixels, and these.

    Positions rise or fall all the way, so that those inside are neighbours.
    """
    inside = np.flatnonzero((positions >= 0) & (positions + EDGE <= size))
    if not inside.size:
        return 0, 0, _Centres(inside, inside, positions[:0])
    begin, end = int(inside[0]), int(inside[-1]) + 1
    positions = positions[begin:end]
    under = np.minimum((positions + EDGE).astype(np.intp), size - 1)
    from_centre = positions - 0.5
    before = np.floor(from_centre)
    return begin, end, _Centres(under, before.astype(np.intp), from_centre - before)


def separable_points(source: Source, method: PointMethod, plan: WarpPlan, target: Window) -> SeparableWarp:
    """Prepare a method at points.

    Args:
        source: the pixels.
        method: of them.
        plan: of the whole target.
        target: pixels of the target to compute.
    """
    xs = plan.map.columns(np.arange(target.col_off, target.col_end) + 0.5) - plan.source.col_off
    ys = plan.map.rows(np.arange(target.row_off, target.row_end) + 0.5) - plan.source.row_off
    left, right, cols = _centres(xs, source.width)
    top, bottom, rows = _centres(ys, source.height)
    if left == right or top == bottom:
        return SeparableWarp(None, lambda _: _nothing(source), _block_size(plan.scale))
    inside = Window(target.col_off + left, target.row_off + top, right - left, bottom - top)

    def work(block: Window) -> Values:
        some_cols = cols.of(block.col_off - inside.col_off, block.col_end - inside.col_off)
        some_rows = rows.of(block.row_off - inside.row_off, block.row_end - inside.row_off)
        return _of_points(source, method, some_cols, some_rows)

    return SeparableWarp(inside, work, _block_size(plan.scale))


def _nothing(source: Source) -> Values:
    return Values(np.empty(0, np.intp), np.empty(0, source.data.dtype), None)


def _of_points(source: Source, method: PointMethod, cols: _Centres, rows: _Centres) -> Values:
    has: Mask | None = None
    if source.valid is not None:
        has = taken(source.valid, rows.under, cols.under)
        if has.all():
            has = None
        elif not has.any():
            return _nothing(source)
    if method.name == "nearest":
        return Values(None, taken(source.data, rows.under, cols.under), has)
    numbers, sums = (_of_four if method.four else _of_kernel)(source, method, cols, rows)
    if sums is not None and not (enough := sums >= LEAST_SUM).all():
        has = enough if has is None else has & enough
    return Values(None, to_pixels(numbers, source.data.dtype), has)


def taken(pixels: Pixels, rows: Index, cols: Index) -> Pixels:
    """The pixels at some rows and columns, shape (rows, columns); rows rise or fall all the way."""
    first, last = sorted((int(rows[0]), int(rows[-1])))
    if last - first + 1 < len(rows):  # several are the same one
        found: Pixels = pixels[first : last + 1].take(cols, axis=1).take(rows - first, axis=0)
        return found
    return pixels.take(rows, axis=0).take(cols, axis=1)


class _Part(NamedTuple):
    """Source pixels around those of a block, as numbers."""

    values: Numbers
    """(height, width); 0 where nothing counts."""
    counts: Mask | None
    """True for valid pixels of the source, same shape; None where all of them are."""
    cols: Index
    """Of the source pixels of the block in it, shape (columns,)."""
    rows: Index

    def near(self, row: Index, col: Index) -> Neighbourhood:
        """The same around some pixels of the block, as a line."""
        stride = self.values.shape[1]
        counts = None if self.counts is None else self.counts.ravel()
        return Neighbourhood(self.values.ravel(), counts, stride, self.rows[row] * stride + self.cols[col])


def _part(source: Source, at: tuple[Index, Index], before: tuple[int, int], after: tuple[int, int]) -> _Part:
    """Cut out the source pixels around some columns and rows, with so many before and after, of columns and rows."""
    cols, rows = at
    left, top = int(cols.min()) - before[0], int(rows.min()) - before[1]
    right, bottom = int(cols.max()) + after[0] + 1, int(rows.max()) + after[1] + 1
    values, counts = cut_out(source, Window(left, top, right - left, bottom - top), np.float64)
    return _Part(values, counts, cols - left, rows - top)


def _of_four(source: Source, method: PointMethod, cols: _Centres, rows: _Centres) -> tuple[Numbers, Numbers | None]:
    """Bilinear of the four nearest pixels that count; cubic of sixteen where all of them do."""
    before, after = around(method.name)
    part = _part(source, (cols.before, rows.before), (before, before), (after, after))
    values = (_cubic if method.name == "cubic" else _bilinear)(part, cols.past, rows.past)
    if part.counts is None:
        return values, None
    row, col = np.nonzero(~_whole(part, before + after + 1, before))
    if not row.size:
        return values, None
    sums = np.ones(values.shape)
    values[row, col], sums[row, col] = bilinear_of_some(part.near(row, col), cols.past[col], rows.past[row])
    return values, sums


def _whole(part: _Part, size: int, before: int) -> Mask:
    """True for pixels of the block whose so many neighbours on each axis all count."""
    assert part.counts is not None
    lines = part.counts.take(part.cols - before, axis=1)
    for col in range(1, size):
        lines &= part.counts.take(part.cols - before + col, axis=1)
    whole: Mask = lines.take(part.rows - before, axis=0)
    for row in range(1, size):
        whole &= lines.take(part.rows - before + row, axis=0)
    return whole


def _bilinear(part: _Part, right: Numbers, below: Numbers) -> Numbers:
    """The four nearest pixels by their weights."""
    lines = part.values.take(part.cols, axis=1)
    step = part.values.take(part.cols + 1, axis=1)
    step -= lines
    step *= right
    lines += step
    upper: Numbers = lines.take(part.rows, axis=0)
    lower = lines.take(part.rows + 1, axis=0)
    lower -= upper
    lower *= below[:, np.newaxis]
    upper += lower
    return upper


def _cubic(part: _Part, right: Numbers, below: Numbers) -> Numbers:
    """Sixteen pixels by their weights."""
    return _weighted(part, -1, cubic_weights(right), cubic_weights(below))


def _weighted(part: _Part, first: int, of_cols: tuple[Numbers, ...], of_rows: tuple[Numbers, ...]) -> Numbers:
    """Sums over the pixels from `first` columns and rows on, by weights of columns and rows."""
    return _down(_along(part.values, part.cols + first, of_cols), part.rows + first, of_rows)


def _along(values: Numbers, cols: Index, weights: tuple[Numbers, ...]) -> Numbers:
    """Sums of the pixels from each column on by their weights, of all rows."""
    total = values.take(cols, axis=1)
    total *= weights[0]
    for number, weight in enumerate(weights[1:], 1):
        value = values.take(cols + number, axis=1)
        value *= weight
        total += value
    return total


def _down(lines: Numbers, rows: Index, weights: tuple[Numbers, ...]) -> Numbers:
    """The same of rows."""
    total = lines.take(rows, axis=0)
    total *= weights[0][:, np.newaxis]
    for number, weight in enumerate(weights[1:], 1):
        line = lines.take(rows + number, axis=0)
        line *= weight[:, np.newaxis]
        total += line
    return total


def _of_kernel(source: Source, method: PointMethod, cols: _Centres, rows: _Centres) -> tuple[Numbers, Numbers]:
    """The kernel over all pixels that it covers and that count, each weight a product of two."""
    across, down = method.reach
    part = _part(source, (cols.before, rows.before), (across, down), (across, down))
    of_cols = tuple(kernel(method.name, (at - cols.past) * method.scale[0]) for at in range(1 - across, across + 1))
    of_rows = tuple(kernel(method.name, (at - rows.past) * method.scale[1]) for at in range(1 - down, down + 1))
    at_cols, at_rows = part.cols + (1 - across), part.rows + (1 - down)
    total = _down(_along(part.values, at_cols, of_cols), at_rows, of_rows)
    if part.counts is None:
        counted = np.broadcast_to(sum(of_cols[1:], start=of_cols[0]), (len(part.values), len(of_cols[0])))
    else:
        counted = _along(part.counts.astype(np.float64), at_cols, of_cols)
    sums = _down(counted, at_rows, of_rows)
    # Sums of the kernel that are as good as 1 divide nothing, unless GDAL divides in any case.
    plain = (sums >= 0.99999) & (sums <= 1.00001) & (not method.normalizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(plain, total, total / sums), sums


def separable_areas(source: Source, plan: WarpPlan, target: Window) -> SeparableWarp:
    """Prepare one of `AREAS`; arguments as of `separable_points`."""
    xs = plan.map.columns(np.arange(target.col_off, target.col_end + 1.0)) - plan.source.col_off
    ys = plan.map.rows(np.arange(target.row_off, target.row_end + 1.0)) - plan.source.row_off
    cols, rows = spans(xs[:-1], xs[1:], source.width), spans(ys[:-1], ys[1:], source.height)
    (left, right), (top, bottom) = _span(cols), _span(rows)
    if left == right or top == bottom:
        return SeparableWarp(None, lambda _: _nothing(source), _block_size(plan.scale))
    inside = Window(target.col_off + left, target.row_off + top, right - left, bottom - top)

    rounds = plan.method == "average" and can_round(source.data.dtype, cols, rows)

    @cache
    def of_cols(begin: int, end: int) -> BandMatrix:
        return BandMatrix(cols.take(np.arange(begin, end) - target.col_off), source.width)

    def work(block: Window) -> Values:
        some_rows = rows.take(np.arange(block.row_off, block.row_end) - target.row_off)
        if rounds:
            some = of_cols(block.col_off, block.col_end), BandMatrix(some_rows, source.height)
            means = rounded_means(source, *some)
            if means is not None:
                return Values(None, *means)
        some_cols = cols.take(np.arange(block.col_off, block.col_end) - target.col_off)
        return _of_areas(source, plan.method, some_cols, some_rows)

    return SeparableWarp(inside, work, _block_size(plan.scale, _ROUNDED) if rounds else _block_size(plan.scale))


def _span(cells: Spans) -> tuple[int, int]:
    """The first of the cells that are in the source, and the end."""
    inside = np.flatnonzero(cells.count)
    return (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)


def _of_areas(source: Source, method: str, cols: Spans, rows: Spans) -> Values:
    after = int(cols.count.max()) - 1, int(rows.count.max()) - 1
    is_number = method in ("average", "rms")
    bottom, right = int(rows.first.max()) + after[1] + 1, int(cols.first.max()) + after[0] + 1
    left, top = int(cols.first.min()), int(rows.first.min())
    dtype = np.float64 if is_number else source.data.dtype
    values, counts = cut_out(source, Window(left, top, right - left, bottom - top), dtype)
    part = _Part(values, counts, cols.first - left, rows.first - top)
    if not is_number:
        return _extreme(part, cols, rows, method)
    total, sums = _sums(part, cols, rows, squares=method == "rms")
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / sums
        if method == "rms":
            mean = np.sqrt(mean)
    pixels = to_pixels(mean, source.data.dtype)
    if method == "average" and pixels.dtype.kind != "f":
        settle(pixels, mean, lambda row, col: (part.near(row, col), cols.take(col), rows.take(row)))
    has = sums > 0
    return Values(None, pixels, None if has.all() else has)


def _sums(part: _Part, cols: Spans, rows: Spans, *, squares: bool) -> tuple[Numbers, Numbers]:
    """Sums of the values, or of their squares, by the part of each that a cell covers; and sums of these parts."""
    of_cols = [cols.weights(number) for number in range(int(cols.count.max()))]
    of_rows = [rows.weights(number) for number in range(int(rows.count.max()))]
    values = part.values
    if squares:
        values = values * values
    has_nan = bool(np.isnan(values.sum()))
    if not has_nan:
        total = _down(_along(values, part.cols, tuple(of_cols)), part.rows, tuple(of_rows))
    else:
        total = _sums_with_nan(values, part, cols, rows)
    if part.counts is None:
        return total, np.sum(of_rows, axis=0)[:, np.newaxis] * np.sum(of_cols, axis=0)
    counted = _along(part.counts.astype(np.float64), part.cols, tuple(of_cols))
    return total, _down(counted, part.rows, tuple(of_rows))


def _sums_with_nan(values: Numbers, part: _Part, cols: Spans, rows: Spans) -> Numbers:
    """The same sums where some values are NaN: one beside the cell has no weight, but is not 0 by any weight."""
    lines = np.zeros((len(values), len(part.cols)))
    for number in range(int(cols.count.max())):
        value = values.take(part.cols + number, axis=1)
        value[:, number >= cols.count] = 0
        lines += value * cols.weights(number)
    total = np.zeros((len(part.rows), len(part.cols)))
    for number in range(int(rows.count.max())):
        line = lines.take(part.rows + number, axis=0)
        line[number >= rows.count] = 0
        total += line * rows.weights(number)[:, np.newaxis]
    return total


def _extreme(part: _Part, cols: Spans, rows: Spans, method: str) -> Values:
    """Smallest or largest value; NaN only where there is nothing else."""
    choose, start = choice_of_extreme(method, part.values.dtype)
    shape = len(part.values), len(part.cols)
    lines, has_line = np.full(shape, start), np.zeros(shape, bool)
    for number in range(int(cols.count.max())):
        at = part.cols + number
        inside = number < cols.count
        counts = np.broadcast_to(inside, shape) if part.counts is None else inside & part.counts.take(at, axis=1)
        choose(lines, part.values.take(at, axis=1), out=lines, where=counts)
        has_line |= counts
    best, has = np.full((len(part.rows), shape[1]), start), np.zeros((len(part.rows), shape[1]), bool)
    for number in range(int(rows.count.max())):
        at = part.rows + number
        counts = (number < rows.count)[:, np.newaxis] & has_line.take(at, axis=0)
        choose(best, lines.take(at, axis=0), out=best, where=counts)
        has |= counts
    return Values(None, best, None if has.all() else has)
