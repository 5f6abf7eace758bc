"""Computes statistics of many zones whose pixels are weighted by the fraction of each that the zone covers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.sort_zones import order_of_zones
from rasteret_sql.raster.statistic_names import FREQUENCIES, MOMENTS, needs_order, quantiles_in

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def zone_sums(numbers: Floats, ends: Ints) -> Floats:
    """Sum of the numbers of each zone; the same digits whatever other zones there are.

    Args:
        numbers: of all zones, one zone after the other.
        ends: position past the last number of each zone, shape (n,).
    """
    counts = np.diff(ends, prepend=0)
    sums = np.zeros(len(ends))
    some = np.flatnonzero(counts)
    if len(some):
        sums[some] = np.add.reduceat(numbers, (ends - counts)[some])
    return sums


def weighted_columns(
    values: npt.NDArray[np.generic], weights: Floats, ends: Ints, totals: Floats, names: Collection[str]
) -> dict[str, Floats]:
    """Statistics of zones, by the formulas of `stats.zonal_statistics` with weights.

    Args:
        values: valid pixels of all zones, one zone after the other, without NaN.
        weights: fraction of each, above 0.
        ends: position past the last pixel of each zone, shape (n,), each zone with at least one.
        totals: sum of the fractions of all pixels of each zone, valid or not.
        names: statistics wanted; others may come along.

    Returns:
        Each statistic, shape (n,).
    """
    x = values.astype(np.float64)
    counts = np.diff(ends, prepend=0)
    begins = ends - counts
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        count = np.add.reduceat(weights, begins)
        summed = np.add.reduceat(weights * x, begins)
        found = {"count": count, "valid_percent": 100.0 * count / totals, "sum": summed, "mean": summed / count}
        found["min"] = np.minimum.reduceat(values, begins).astype(np.float64)
        found["max"] = np.maximum.reduceat(values, begins).astype(np.float64)
        if not MOMENTS.isdisjoint(names):
            away = x - np.repeat(found["mean"], counts)
            found["variance"] = np.add.reduceat(weights * (away * away), begins) / count
            found["stddev"] = found["stddev_pop"] = np.sqrt(found["variance"])
        if needs_order(names):
            found |= _of_order(values, weights, counts, names)
    return found


def _of_order(
    values: npt.NDArray[np.generic], weights: Floats, counts: Ints, names: Collection[str]
) -> dict[str, Floats]:
    """Statistics for which the values of each zone are sorted."""
    zone = np.repeat(np.arange(len(counts)), counts)
    order = order_of_zones(values, zone)
    values, weights = values[order], weights[order]
    new = np.ones(len(values), np.bool_)
    new[1:] = (values[1:] != values[:-1]) | (zone[1:] != zone[:-1])
    at = np.flatnonzero(new)
    # From here on, one place for each distinct value of a zone.
    distinct, zone, mass = values[at], zone[at], np.add.reduceat(weights, at)
    kinds = np.bincount(zone, minlength=len(counts))
    ends = np.cumsum(kinds)
    begins = ends - kinds
    found: dict[str, Floats] = {}
    if not FREQUENCIES.isdisjoint(names):
        found |= _frequencies(distinct, mass, begins, kinds)
    wanted = quantiles_in(names)
    if wanted:
        found |= _quantiles(distinct, mass, begins, kinds, wanted)
    return found


def _frequencies(distinct: npt.NDArray[np.generic], mass: Floats, begins: Ints, kinds: Ints) -> dict[str, Floats]:
    place = np.arange(len(distinct))
    most = np.repeat(np.maximum.reduceat(mass, begins), kinds)
    least = np.repeat(np.minimum.reduceat(mass, begins), kinds)
    last_of_most = np.maximum.reduceat(np.where(mass == most, place, -1), begins)
    first_of_least = np.minimum.reduceat(np.where(mass == least, place, len(place)), begins)
    return {
        "majority": distinct[last_of_most].astype(np.float64),
        "minority": distinct[first_of_least].astype(np.float64),
        "variety": kinds.astype(np.float64),
    }


def _quantiles(
    distinct: npt.NDArray[np.generic], mass: Floats, begins: Ints, kinds: Ints, quantiles: Mapping[str, float]
) -> dict[str, Floats]:
    """The quantiles, linearly between the two distinct values on either side of where each falls."""
    reach = np.empty(len(mass))
    ends = begins + kinds
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        # Zone by zone: a running sum over all zones would round by what lies before.
        np.cumsum(mass[begin:end], out=reach[begin:end])
    before = np.empty(len(mass))
    before[1:] = reach[:-1]
    before[begins] = 0.0
    place = np.arange(len(mass)) - np.repeat(begins, kinds)
    stands = place * mass + np.repeat(kinds - 1, kinds) * before
    stands[begins] = 0.0
    x = distinct.astype(np.float64)
    found = {}
    for name, q in quantiles.items():
        wanted = q * (kinds - 1) * reach[ends - 1]
        right = begins + np.add.reduceat(stands <= np.repeat(wanted, kinds), begins, dtype=np.int64)
        inner = right < ends
        right = np.minimum(right, ends - 1)
        left = np.maximum(right - 1, begins)
        between = x[left] + (wanted - stands[left]) * (x[right] - x[left]) / (stands[right] - stands[left])
        found[name] = np.where(inner, between, x[ends - 1])
    return found
