"""Computes the statistics of many zones at once, from their pixels one zone after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.stats import zonal_statistics

Ints = npt.NDArray[np.int64]
Statistics = npt.NDArray[np.float64]
Missing = npt.NDArray[np.bool_]
SUMS = frozenset(("count", "valid_percent", "sum", "mean"))
"""Statistics that come from sums alone."""
_SUMS_AND_ENDS = SUMS | {"min", "max"}
"""Statistics that numpy gives for many zones in one step."""


def statistics_of_sums(
    sums: Statistics, invalid: Statistics | None, totals: Ints, names: Sequence[str]
) -> tuple[Statistics, Missing]:
    """Statistics in `SUMS` of each zone as `zonal_statistics` has them.

    Args:
        sums: of the valid pixels of each zone, shape (n,).
        invalid: number of the other ones; None: there are none.
        totals: number of all pixels.
        names: statistics wanted.

    Returns:
        Shape (n, names), and True where `zonal_statistics` has None.
    """
    count = totals.astype(np.float64) if invalid is None else totals - invalid
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "count": count,
            "valid_percent": 100.0 * count / totals,
            "sum": np.where(count > 0, sums, np.nan),
            "mean": sums / count,
        }
    found = np.stack([columns[name] for name in names], 1)
    return found, np.isnan(found)


def statistics_of_zones(
    values: npt.NDArray[np.generic], invalid: npt.NDArray[np.bool_] | None, totals: Ints, names: Sequence[str]
) -> tuple[Statistics, Missing]:
    """Statistics of each zone as `zonal_statistics` has them.

    Args:
        values: pixels of all zones, one zone after the other.
        invalid: True for those that are not valid; None: all are.
        totals: number of pixels of each zone, shape (n,).
        names: statistics wanted.

    Returns:
        Shape (n, names), and True where `zonal_statistics` has None.
    """
    ends = np.cumsum(totals)
    if invalid is not None:
        valid = ~invalid
        kept = np.concatenate(([0], np.cumsum(valid)))
        values, ends = values[valid], kept[ends]
    begins = np.concatenate(([0], ends[:-1]))
    # Sums of floats depend on the order of adding: as a single zone has it.
    if values.dtype.kind in "ui" and values.dtype.itemsize < 8 and _SUMS_AND_ENDS.issuperset(names):
        sums = _sums(values, begins, ends, totals, names)
        return sums, np.isnan(sums)
    found = np.full((len(totals), len(names)), np.nan)
    missing = np.ones(found.shape, bool)
    for zone, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        one = zonal_statistics(values[begin:end], int(totals[zone]), None, names)
        found[zone] = [np.nan if one[name] is None else one[name] for name in names]
        missing[zone] = [one[name] is None for name in names]
    return found, missing


def _sums(
    values: npt.NDArray[np.generic],
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    totals: npt.NDArray[np.int64],
    names: Sequence[str],
) -> npt.NDArray[np.float64]:
    """Statistics in `_SUMS_AND_ENDS` of integers that lie zone after zone."""
    count = ends - begins
    some = np.flatnonzero(count)
    starts = begins[some]
    nothing = np.full(len(count), np.nan)

    def of_zones(reduced: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        column = nothing.copy()
        column[some] = reduced
        return column

    def ends_of(function: np.ufunc) -> npt.NDArray[np.float64]:
        return of_zones(function.reduceat(values, starts)) if len(some) else nothing

    summed = of_zones(np.add.reduceat(values, starts, dtype=np.int64)) if len(some) else nothing
    columns: dict[str, npt.NDArray[np.float64]] = {"count": count.astype(np.float64), "sum": summed}
    with np.errstate(invalid="ignore", divide="ignore"):
        columns["valid_percent"] = 100.0 * count / totals
        columns["mean"] = summed / count
    for name, function in (("min", np.minimum), ("max", np.maximum)):
        if name in names:
            columns[name] = ends_of(function)
    return np.stack([columns[name] for name in names], 1)
