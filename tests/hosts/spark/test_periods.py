"""Periods of instants beside `date_trunc` and `time_bucket` of DuckDB."""

from __future__ import annotations

import datetime as dt

import duckdb
import pyarrow as pa

from rasteret_sql.functions.calls.mosaics import period_sql
from rasteret_sql.hosts.spark.periods import periods_of

INSTANTS = pa.array(
    [
        dt.datetime(2024, 2, 29, 23, 59, 59, 999999, dt.UTC),
        dt.datetime(2000, 1, 3, tzinfo=dt.UTC),
        dt.datetime(2000, 1, 2, 23, tzinfo=dt.UTC),
        dt.datetime(1999, 12, 31, 12, 30, tzinfo=dt.UTC),
        dt.datetime(1969, 7, 20, 20, 17, 40, tzinfo=dt.UTC),
        dt.datetime(2018, 10, 1, tzinfo=dt.UTC),
    ],
    pa.timestamp("us", "UTC"),
)
EVERY = ["day", "week", "Month", "quarter", "year"]
EVERY += ["10 days", "3 weeks", "5 months", "2 quarters", "7 years", "36 hours", "90 minutes", "100 seconds"]


def test_periods_begin_as_in_duckdb():
    times = pa.table({"datetime": INSTANTS})
    columns = ", ".join(f"epoch_us({period_sql('read_mosaic', every)})" for every in EVERY)
    wanted = duckdb.connect().sql(f"SELECT {columns} FROM times").fetchall()
    assert times.num_rows == len(wanted) == 6
    found = [periods_of(INSTANTS, every).cast(pa.int64()).to_pylist() for every in EVERY]
    assert list(zip(*found, strict=True)) == wanted
