"""Counts how often each value occurs, and computes zonal statistics from the counts: for zones too large to be kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.statistic_names import STATS, in_order, quantiles_in
from rasteret_sql.raster.stats import Statistic, empty_statistics, quantiles, spread, weighted_statistics

_VALUES = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class ValueCounts:
    """Counts of each value of an integer type of at most 16 bits, or its weights."""

    dtype: np.dtype[np.generic]
    counts: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    """Shape (65536,), from the least value of the type on."""
    weighted: bool

    @staticmethod
    def can_count(dtype: np.dtype[np.generic]) -> bool:
        """True where a type has so few values that they can be counted."""
        return dtype.kind in "iub" and dtype.itemsize <= 2

    @classmethod
    def of(cls, values: npt.NDArray[np.generic], weights: npt.NDArray[np.floating] | None) -> ValueCounts:
        """Count values, shape (n,); with weights, shape (n,), sum those of each value."""
        least = _least(values.dtype)
        places = values.astype(np.int64) - least
        counts = np.bincount(places, None if weights is None else weights.astype(np.float64), minlength=_VALUES)
        return cls(values.dtype, counts, weights is not None)

    def plus(self, other: ValueCounts) -> ValueCounts:
        """The counts of both."""
        counts: npt.NDArray[np.int64] | npt.NDArray[np.float64] = np.add(self.counts, other.counts)
        return ValueCounts(self.dtype, counts, self.weighted)

    def distinct(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.generic]]:
        """Values that occur, in order, and the count or weight of each."""
        there = np.flatnonzero(self.counts)
        return there + _least(self.dtype), self.counts[there]


def histogram(
    values: npt.NDArray[np.generic], weights: npt.NDArray[np.floating] | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Distinct values in ascending order, and how many pixels have each, or the sum of their weights; NaN is none."""
    # Before they are told apart: 64-bit integers beyond 2^53 may be one number as float64, and -0.0 is 0.
    numbers = values.astype(np.float64) + 0.0
    real = ~np.isnan(numbers)
    keys, at = np.unique(numbers[real], return_inverse=True)
    return keys, np.bincount(at, None if weights is None else weights[real], len(keys)).astype(np.float64)


def _least(dtype: np.dtype[np.generic]) -> int:
    """The least value of a type that can be counted."""
    return -(1 << 8 * dtype.itemsize - 1) if dtype.kind == "i" else 0


def counted_statistics(counts: ValueCounts, total: float, names: Collection[str] = STATS) -> dict[str, Statistic]:
    """Statistics of a zone as `zonal_statistics` defines them, from counts of its values.

    Args:
        counts: of its valid pixels.
        total: pixels of the zone, valid or not; with weights the sum of their fractions.
        names: statistics wanted.
    """
    values, numbers = counts.distinct()
    if len(values) == 0:
        return empty_statistics(total, names)
    if counts.weighted:
        found = weighted_statistics(values, total, numbers.astype(np.float64), names)
    else:
        found = _plain(values, numbers.astype(np.int64), total, names)
    return {name: found[name] for name in in_order(names)}


def _plain(
    values: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], total: float, names: Collection[str]
) -> dict[str, Statistic]:
    n, summed = int(counts.sum()), int(counts.dot(values))  # below 2^63: a zone has fewer than 2^47 pixels
    mean = summed / n
    away = values - mean
    ends = np.cumsum(counts)
    return {
        "count": n,
        "valid_percent": float(100.0 * n / total),
        "sum": summed,
        "mean": mean,
        "min": int(values[0]),
        "max": int(values[-1]),
        "majority": int(values[counts.argmax()]),
        "minority": int(values[counts.argmin()]),
        "variety": len(values),
        **spread(float((counts * away).dot(away)), n),
        **quantiles(n, lambda place: int(values[np.searchsorted(ends, place, side="right")]), quantiles_in(names)),
    }
