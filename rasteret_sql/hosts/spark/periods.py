"""Finds the period of each instant, as `date_trunc` and `time_bucket` of DuckDB do in UTC."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rasteret_sql.functions.calls.mosaics import PERIODS, length_of

_MICROSECONDS = {
    unit: seconds * 1_000_000
    for unit, seconds in {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604_800}.items()
}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
_MONDAY = np.datetime64("2000-01-03", "us").astype(np.int64)
"""From which periods of days and less are counted; those of months are from 2000-01-01."""
_FIRST_MONTH = np.datetime64("2000-01", "M").astype(np.int64)


def periods_of(instants: pa.Array, every: str) -> pa.Array:
    """The begin of the period of each instant.

    Args:
        instants: TIMESTAMP in UTC, none of them NULL.
        every: day, week, month, quarter, year, or an interval such as '10 days'.

    Raises:
        InvalidArgumentError: it is no interval.
    """
    count, unit = length_of(every)
    if every.lower() in PERIODS:
        return pc.floor_temporal(instants, unit=unit).cast(instants.type)
    at = instants.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    if unit in _MONTHS:
        step = count * _MONTHS[unit]
        months = at.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) - _FIRST_MONTH
        begins = (months // step * step + _FIRST_MONTH).astype("datetime64[M]").astype("datetime64[us]")
        return pa.array(begins.astype(np.int64)).cast(pa.timestamp("us", "UTC"))
    step = count * _MICROSECONDS[unit]
    return pa.array((at - _MONDAY) // step * step + _MONDAY).cast(pa.timestamp("us", "UTC"))
