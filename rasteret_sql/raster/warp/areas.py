"""Computes the methods over areas: what lies in the cell that a target pixel covers of the source."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rasteret_sql.raster.warp.cells import Spans, taps
from rasteret_sql.raster.warp.neighbourhood import Index, Neighbourhood, Numbers, Pixels, Source, neighbourhood
from rasteret_sql.raster.warp.output import to_pixels
from rasteret_sql.raster.warp.points import Values

_QUANTILES = {"med": 0.5, "q1": 0.25, "q3": 0.75}
_NEAR_HALF = 1e-7
"""Distance from a half below which the order of additions decides how a mean is rounded."""


def area_values(method: str, source: Source, cols: Spans, rows: Spans) -> Values:
    """Values of a block, whose places are those in the spans.

    Args:
        method: average, mode, min, max, med, q1, q3 or rms.
        source: the pixels.
        cols: source columns of each target's cell.
        rows: source rows.
    """
    found = np.flatnonzero((cols.count > 0) & (rows.count > 0))
    if not found.size:
        return Values(found, np.empty(0, source.data.dtype), None)
    everywhere = len(found) == len(cols.count)
    if not everywhere:
        cols, rows = cols.take(found), rows.take(found)
    numbers = method in ("average", "rms")
    near = neighbourhood(
        source,
        (cols.first, rows.first),
        0,
        (int(cols.count.max()) - 1, int(rows.count.max()) - 1),
        np.float64 if numbers else source.data.dtype,
    )
    has, values = _METHODS[method](near, cols, rows, method)
    if numbers:
        pixels = to_pixels(values, source.data.dtype)
        if method == "average" and pixels.dtype.kind != "f":
            settle(pixels, values, lambda some: (near.of(some), cols.take(some), rows.take(some)))
        values = pixels
    return Values(None if everywhere else found, values, None if has.all() else has)


def _mean(near: Neighbourhood, cols: Spans, rows: Spans, method: str) -> tuple[Pixels, Numbers]:
    """Weighted mean, or root of the mean of squares."""
    total, sums = np.zeros(len(near.at)), np.zeros(len(near.at))
    has_nan = bool(np.isnan(near.values.sum()))
    for tap in taps(cols, rows, near.stride):
        at = near.at + tap.offset
        value = near.values.take(at)
        weights = tap.weights if near.counts is None else tap.weights * near.counts.take(at)
        if has_nan:  # one beside the cell has no weight, but is not 0 by any weight
            value[~tap.inside] = 0
        if method == "rms":
            value *= value
        value *= weights
        total += value
        sums += weights
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / sums
        return sums > 0, np.sqrt(mean) if method == "rms" else mean


def settle(pixels: Pixels, values: Numbers, around: Callable[..., tuple[Neighbourhood, Spans, Spans]]) -> None:
    """Round means that are next to a half as the running mean does, which is how GDAL adds up.

    Args:
        pixels: the means as integers, changed in place; of any shape.
        values: the means.
        around: places of some of them, an array for each axis → the source pixels around these, and their cells'
            columns and rows.
    """
    with np.errstate(invalid="ignore"):
        close = np.nonzero(np.abs(values - np.floor(values) - 0.5) < _NEAR_HALF)
    if not close[0].size:
        return
    by_running_mean(pixels, close, *around(*close))


def by_running_mean(pixels: Pixels, at: tuple[Index, ...], near: Neighbourhood, cols: Spans, rows: Spans) -> None:
    """Round some means as the running mean does.

    Args:
        pixels: the means as integers, changed in place; of any shape.
        at: places of those in it.
        near: the source pixels around these.
        cols: columns of their cells.
        rows: rows.
    """
    sums, mean = np.zeros(len(near.at)), np.zeros(len(near.at))
    for tap in taps(cols, rows, near.stride):
        under = near.at + tap.offset
        weights = tap.weights if near.counts is None else tap.weights * near.counts.take(under)
        sums += weights
        with np.errstate(divide="ignore", invalid="ignore"):
            mean += np.where(weights > 0, weights / sums * (near.values.take(under) - mean), 0.0)
    pixels[at] = to_pixels(mean, pixels.dtype)


def _extreme(near: Neighbourhood, cols: Spans, rows: Spans, method: str) -> tuple[Pixels, Pixels]:
    """Smallest or largest value; NaN only where there is nothing else."""
    choose, start = choice_of_extreme(method, near.values.dtype)
    best, has = np.full(len(near.at), start), np.zeros(len(near.at), bool)
    for tap in taps(cols, rows, near.stride):
        at = near.at + tap.offset
        counts = tap.inside if near.counts is None else tap.inside & near.counts.take(at)
        choose(best, near.values.take(at), out=best, where=counts)
        has |= counts
    return has, best


def choice_of_extreme(method: str, dtype: np.dtype) -> tuple[np.ufunc, Any]:
    """Chooses of two values, for min or max, and the value to begin with."""
    smaller = method == "min"
    if dtype.kind == "f":
        return (np.fmin if smaller else np.fmax), dtype.type(np.nan)
    info = np.iinfo(dtype)
    return (np.minimum, dtype.type(info.max)) if smaller else (np.maximum, dtype.type(info.min))


def _stacked(near: Neighbourhood, cols: Spans, rows: Spans) -> tuple[Pixels, Pixels, Numbers]:
    """Values, what counts of them, and weights, each of shape (pixels of a cell, cells)."""
    values, counts, weights = [], [], []
    for tap in taps(cols, rows, near.stride):
        at = near.at + tap.offset
        values.append(near.values.take(at))
        counts.append(tap.inside if near.counts is None else tap.inside & near.counts.take(at))
        weights.append(tap.weights)
    return np.stack(values), np.stack(counts), np.stack(weights)


def _quantile(near: Neighbourhood, cols: Spans, rows: Spans, method: str) -> tuple[Pixels, Pixels]:
    """The value at a part of the way through the sorted ones: never a mean of two."""
    values, counts, _ = _stacked(near, cols, rows)
    dtype = values.dtype
    values[~counts] = np.inf if dtype.kind == "f" else np.iinfo(dtype).max
    values.sort(axis=0)
    number = counts.sum(axis=0)
    place = np.ceil(_QUANTILES[method] * number - 1).astype(np.intp)
    return number > 0, np.take_along_axis(values, np.maximum(place, 0)[np.newaxis], axis=0)[0]


def _mode(near: Neighbourhood, cols: Spans, rows: Spans, _method: str) -> tuple[Pixels, Pixels]:
    """The value that covers the largest area; of equal ones that which reaches it first, row by row."""
    values, counts, weights = _stacked(near, cols, rows)
    has = counts.any(axis=0)
    weights[~counts] = 0
    order = np.argsort(values, axis=0, kind="stable")
    values = np.take_along_axis(values, order, axis=0)
    parts = np.take_along_axis(weights, order, axis=0).astype(np.float32)
    best = np.zeros(len(near.at), np.float32)
    reached = np.full(len(near.at), len(values), np.intp)
    chosen = values[0].copy()
    so_far = np.zeros(len(near.at), np.float32)
    for number in range(len(values)):
        if number:
            so_far[values[number] != values[number - 1]] = 0
        so_far += parts[number]
        # The last pixel of a value decides when it reached its area: one that adds nothing is none of them.
        adds = parts[number] > 0
        better = adds & ((so_far > best) | ((so_far == best) & (order[number] < reached)))
        best[better] = so_far[better]
        reached[better] = order[number][better]
        chosen[better] = values[number][better]
    return has & (best > 0), chosen


_METHODS = {
    "average": _mean,
    "rms": _mean,
    "min": _extreme,
    "max": _extreme,
    "med": _quantile,
    "q1": _quantile,
    "q3": _quantile,
    "mode": _mode,
}


def most_taps(scale: tuple[float, float]) -> int:
    """About as many source pixels as a cell has."""
    across, down = (math.ceil(1 / each) + 1 for each in scale)
    return across * down
