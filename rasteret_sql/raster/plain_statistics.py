"""Computes statistics of many zones whose pixels count once each."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.sort_zones import sorted_zones
from rasteret_sql.raster.statistic_names import FREQUENCIES, MOMENTS, needs_order, quantiles_in

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Values = npt.NDArray[np.generic]


def can_take(dtype: np.dtype[np.generic]) -> bool:
    """True for pixels of which sums are exact or need no more than 64 bits: all but integers of 64 bits."""
    return dtype.kind == "f" or (dtype.kind in "ui" and dtype.itemsize <= 4)


def plain_columns(values: Values, ends: Ints, totals: Ints, names: Collection[str]) -> dict[str, Floats]:
    """Statistics of zones, by the formulas of `stats.zonal_statistics` without weights.

    Args:
        values: valid pixels of all zones, one zone after the other, without NaN; of a dtype that `can_take` takes.
        ends: position past the last pixel of each zone, shape (n,), each zone with at least one.
        totals: number of all pixels of each zone, valid or not.
        names: statistics wanted; others may come along.

    Returns:
        Each statistic, shape (n,); NaN where there is none, as the variance of one pixel.
    """
    count = np.diff(ends, prepend=0)
    begins = ends - count
    wide = np.int64 if values.dtype.kind in "ui" else np.float64
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        summed = np.add.reduceat(values.astype(wide), begins)
        found = {
            "count": count.astype(np.float64),
            "valid_percent": 100.0 * count / totals,
            "sum": summed.astype(np.float64),
            "mean": summed / count,
        }
        if not {"min", "max"}.isdisjoint(names):
            found["min"] = np.minimum.reduceat(values, begins).astype(np.float64)
            found["max"] = np.maximum.reduceat(values, begins).astype(np.float64)
        if not MOMENTS.isdisjoint(names):
            away = values.astype(np.float64) - np.repeat(found["mean"], count)
            squares = np.add.reduceat(away * away, begins)
            found["variance"] = np.where(count > 1, squares / (count - 1), np.nan)
            found["stddev"] = np.sqrt(found["variance"])
            found["stddev_pop"] = np.sqrt(squares / count)
        if needs_order(names):
            found |= _of_order(values, begins, count, names)
    return found


def _of_order(values: Values, begins: Ints, count: Ints, names: Collection[str]) -> dict[str, Floats]:
    """Statistics for which the values of each zone are sorted."""
    zone = np.repeat(np.arange(len(count)), count)
    ranked = sorted_zones(values, zone)
    found: dict[str, Floats] = {}
    for name, quantile in quantiles_in(names).items():
        at = (count - 1) * quantile
        below = at.astype(np.int64)
        left = ranked[begins + below].astype(np.float64)
        # The neighbour is looked at only where it counts: an infinity there would spoil an exact position.
        right = ranked[begins + np.where(at > below, below + 1, below)].astype(np.float64)
        found[name] = np.where(right == left, left, left + (right - left) * (at - below))
    if not FREQUENCIES.isdisjoint(names):
        new = np.ones(len(ranked), np.bool_)
        new[1:] = (ranked[1:] != ranked[:-1]) | (zone[1:] != zone[:-1])
        first = np.flatnonzero(new)
        times = np.diff(np.append(first, len(ranked)))
        kinds = np.bincount(zone[first], minlength=len(count))
        start = np.cumsum(kinds) - kinds
        found["majority"] = _first_where(ranked[first], times, np.maximum.reduceat(times, start), start, kinds)
        found["minority"] = _first_where(ranked[first], times, np.minimum.reduceat(times, start), start, kinds)
        found["variety"] = kinds.astype(np.float64)
    return found


def _first_where(distinct: Values, times: Ints, wanted: Ints, start: Ints, kinds: Ints) -> Floats:
    """The smallest value of each zone that occurs as often as is wanted."""
    place = np.where(times == np.repeat(wanted, kinds), np.arange(len(times)), len(times))
    return distinct[np.minimum.reduceat(place, start)].astype(np.float64)
