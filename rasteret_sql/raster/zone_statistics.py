"""Computes the statistics of many zones at once, from their pixels one zone after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.raster.plain_statistics import can_take, plain_columns
from rasteret_sql.raster.stats import zonal_statistics
from rasteret_sql.raster.weighted_statistics import weighted_columns, zone_sums

Ints = npt.NDArray[np.int64]
Statistics = npt.NDArray[np.float64]
Missing = npt.NDArray[np.bool_]


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
    values, ends, _ = _valid(values, invalid, ends, None)
    if can_take(values.dtype):
        count = np.diff(ends, prepend=0)
        some = count > 0
        columns = plain_columns(values, ends[some], totals[some], names) if some.any() else {}
        table = _table(columns, some, totals, names)
        for at, name in enumerate(names):
            if name in {"variance", "stddev"}:  # not by NaN, which is a number where pixels are infinite
                table[1][:, at] |= count == 1
        return table
    found = np.full((len(totals), len(names)), np.nan)
    missing = np.ones(found.shape, bool)
    begins = np.concatenate(([0], ends[:-1]))
    for zone, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        one = zonal_statistics(values[begin:end], int(totals[zone]), None, names)
        found[zone] = [np.nan if one[name] is None else one[name] for name in names]
        missing[zone] = [one[name] is None for name in names]
    return found, missing


def statistics_of_weighted_zones(
    values: npt.NDArray[np.generic],
    invalid: npt.NDArray[np.bool_] | None,
    weights: Statistics,
    pixels: Ints,
    names: Sequence[str],
) -> tuple[Statistics, Missing]:
    """Statistics of each zone as `zonal_statistics` has them with weights.

    Args:
        values: pixels of all zones, one zone after the other.
        invalid: True for those that are not valid; None: all are.
        weights: fraction of each, above 0.
        pixels: number of pixels of each zone, shape (n,).
        names: statistics wanted.

    Returns:
        Shape (n, names), and True where `zonal_statistics` has None.
    """
    ends = np.cumsum(pixels)
    totals = zone_sums(weights, ends)
    values, ends, kept = _valid(values, invalid, ends, weights)
    assert kept is not None
    some = np.diff(ends, prepend=0) > 0
    columns = weighted_columns(values, kept, ends[some], totals[some], names) if some.any() else {}
    return _table(columns, some, totals, names)


def _valid(
    values: npt.NDArray[np.generic], invalid: npt.NDArray[np.bool_] | None, ends: Ints, weights: Statistics | None
) -> tuple[npt.NDArray[np.generic], Ints, Statistics | None]:
    """The valid pixels alone, where those of each zone end, and their weights; NaN is not valid."""
    valid = None if invalid is None else ~invalid
    if values.dtype.kind == "f":
        real = ~np.isnan(values)
        valid = real if valid is None else valid & real
    if valid is None or valid.all():
        return values, ends, weights
    kept = np.concatenate(([0], np.cumsum(valid)))
    return values[valid], kept[ends], None if weights is None else weights[valid]


def _table(
    columns: Mapping[str, Statistics], some: npt.NDArray[np.bool_], totals: npt.NDArray[Any], names: Sequence[str]
) -> tuple[Statistics, Missing]:
    """A row for each zone, also for those without a valid pixel, of which `columns` does not tell.

    Args:
        columns: statistics of the other ones.
        some: True for these, shape (n,).
        totals: pixels of each zone, or the sum of their fractions.
        names: statistics wanted.
    """
    found = np.full((len(some), len(names)), np.nan)
    missing = np.ones(found.shape, bool)
    for at, name in enumerate(names):
        if columns:
            found[some, at] = columns[name]
            missing[some, at] = False
        if name in {"count", "valid_percent"}:
            lacking = (name == "valid_percent") & (totals[~some] <= 0)
            found[~some, at] = np.where(lacking, np.nan, 0.0)
            missing[~some, at] = lacking
    return found, missing
