"""Computes zonal statistics of one zone's pixels, plain or weighted by the fraction of each that it covers.

All statistics of a zone come from one sort of its values: percentiles are positions in it, counts of equal values are
its runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.raster.statistic_names import (
    FREQUENCIES,
    MOMENTS,
    STATS,
    in_order,
    is_statistic,
    needs_order,
    quantiles_in,
)
from rasteret_sql.raster.weighted_statistics import weighted_columns

if TYPE_CHECKING:
    import numpy.typing as npt

Statistic = float | int | None


def zonal_statistics(
    values: npt.NDArray[np.generic],
    total: float,
    weights: npt.NDArray[np.floating] | None = None,
    names: Collection[str] = STATS,
) -> dict[str, Statistic]:
    """Statistics of the valid pixels of one zone.

    Without weights, of n values x:

    - `count` n; `valid_percent` 100 n / total; `sum` exact for integers; `mean` sum / n
    - `variance` Σ(x - mean)² / (n - 1) and `stddev` its root, as DuckDB's stddev, None where n < 2
    - `stddev_pop` √(Σ(x - mean)² / n)
    - `median`, `pNN`: the value at position (n - 1) q of the sorted values, between two of them linearly, as DuckDB's
      quantile_cont
    - `majority` the most, `minority` the least frequent value, the smallest of several; `variety` how many there are

    With weights w, the formulas of exactextract:

    - `count` Σw; `valid_percent` 100 Σw / total; `sum` Σwx; `mean` Σwx / Σw
    - `variance` Σw(x - mean)² / Σw, `stddev` and `stddev_pop` both its root: fractions of pixels have no sample form
    - `min`, `max`, `variety` over pixels with w > 0
    - quantiles over the k distinct values with summed weights W: value i stands at i W_i + (k - 1) Σ_{j<i} W_j, and the
      quantile is where q (k - 1) ΣW falls, linearly between two values
    - `majority` the value with most weight, the greatest of several; `minority` with least, the smallest of several

    Args:
        values: valid pixels, shape (n,), any real dtype. NaN counts as not valid.
        total: pixels of the zone, valid or not; with weights the sum of their fractions.
        weights: fraction of each pixel that the zone covers, shape (n,), 0..1; None to count each pixel once.
        names: statistics wanted; fewer cost less.

    Returns:
        The statistics by name, in the order of `STATS`. Without a valid pixel `count` is 0, `valid_percent` 0 (None
        where the zone has no pixel at all) and all others None.
    """
    if values.dtype.kind == "f":
        real = ~np.isnan(values)
        if not real.all():
            values = values[real]
            weights = None if weights is None else weights[real]
    if weights is not None:
        covered = weights > 0
        if not covered.all():
            values, weights = values[covered], weights[covered]
    if len(values) == 0:
        return empty_statistics(total, names)
    found = _plain(values, total, names) if weights is None else weighted_statistics(values, total, weights, names)
    return {name: found[name] for name in in_order(names)}


def empty_statistics(total: float, names: Collection[str] = STATS) -> dict[str, Statistic]:
    """Statistics of a zone without a valid pixel, of `total` pixels."""
    empty = {"count": 0, "valid_percent": 0.0 if total > 0 else None}
    return {name: empty.get(name) for name in in_order(names)}


def check_statistic(name: str, others: Sequence[str] = ()) -> str:
    """The name itself.

    Args:
        name: a statistic.
        others: names that are allowed, too.

    Raises:
        InvalidArgumentError: there is no such statistic.
    """
    if not is_statistic(name) and name not in others:
        several = [part.strip() for part in name.split(",")]
        if len(several) > 1 and all(is_statistic(part) or part in others for part in several):
            raise InvalidArgumentError(f"'{name}' is no statistic; several are a list: {several}")
        known = (*STATS, *others)
        near = did_you_mean(name, known, len(known))
        raise InvalidArgumentError(f'unknown statistic "{name}"; {near}, and any percentile from p0 to p100, as p2.5')
    return name


def _plain(values: npt.NDArray[np.generic], total: float, names: Collection[str]) -> dict[str, Statistic]:
    n = len(values)
    sort = needs_order(names)
    # Sums run over the pixels as they lie, whatever is asked for: the order of a float sum shows in its last digits.
    if sort:
        ranked = np.sort(values)
        low, high = ranked[0].item(), ranked[-1].item()
    else:
        low, high = values.min().item(), values.max().item()
    summed = _sum(values, low, high)
    mean = summed / n
    out: dict[str, Statistic] = {
        "count": n,
        "valid_percent": float(100.0 * n / total),
        "sum": summed,
        "mean": mean,
        "min": low,
        "max": high,
    }
    if not MOMENTS.isdisjoint(names):
        with np.errstate(invalid="ignore", over="ignore"):
            away = values.astype(np.float64) - mean
            # As `plain_statistics` adds those of many zones, so that they have the same digits.
            out |= spread(float(np.add.reduceat(away * away, [0])[0]), n)
    if sort:
        out |= quantiles(n, lambda place: ranked[place].item(), quantiles_in(names))
    if not FREQUENCIES.isdisjoint(names):
        distinct, ends = _distinct(ranked)
        counts = ends.copy()
        counts[1:] -= ends[:-1]
        out["majority"] = distinct[counts.argmax()].item()
        out["minority"] = distinct[counts.argmin()].item()
        out["variety"] = len(distinct)
    return out


def weighted_statistics(
    values: npt.NDArray[np.generic], total: float, weights: npt.NDArray[np.floating], names: Collection[str]
) -> dict[str, Statistic]:
    """The weighted part of `zonal_statistics`, of pixels that are all valid and of weight above 0, at least one."""
    ends = np.array([len(values)])
    found = weighted_columns(values, weights.astype(np.float64), ends, np.array([total]), names)
    return {name: column[0].item() for name, column in found.items()}


def quantiles(n: int, value_at: Callable[[int], float], wanted: Mapping[str, float]) -> dict[str, Statistic]:
    """Some quantiles of n values, name → 0 to 1, given the one at a place of their order, from 0."""
    out: dict[str, Statistic] = {}
    for name, q in wanted.items():
        at = (n - 1) * q
        below = int(at)
        left = value_at(below)
        # The neighbour is looked at only where it counts: an infinity there would spoil an exact position.
        right = value_at(below + 1) if at > below else left
        out[name] = left + (right - left) * (at - below) if right != left else float(left)
    return out


def spread(squares: float, n: int) -> dict[str, Statistic]:
    """Variance and deviations of n values, from the sum of the squares of their distances to the mean."""
    variance = squares / (n - 1) if n > 1 else None
    return {
        "stddev": None if variance is None else math.sqrt(variance),
        "stddev_pop": math.sqrt(squares / n),
        "variance": variance,
    }


def _sum(values: npt.NDArray[np.generic], low: float, high: float) -> float:
    """Sum of all values: exact for integers, in 64 bit for floats."""
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            return float(np.add.reduceat(values.astype(np.float64), [0])[0])
    if len(values) * max(abs(low), abs(high)) < 1 << 63:
        return int(np.add.reduce(values, dtype=np.int64))
    numbers: Sequence[int] = values.tolist()
    return sum(numbers)


def _distinct(values: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.intp]]:
    """Distinct values of sorted ones, and the position after the last of each."""
    last = np.flatnonzero(values[1:] != values[:-1])
    ends = np.empty(len(last) + 1, dtype=np.intp)
    ends[:-1] = last
    ends[-1] = len(values) - 1
    distinct = values[ends]
    ends += 1
    return distinct, ends
