"""Zonal statistics against DuckDB's own aggregates and by hand."""

from __future__ import annotations

import math

import duckdb
import hypothesis.extra.numpy as st_np
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.raster.stats import STATS, check_statistic, zonal_statistics
from tests.sampling import examples

DTYPES = ("uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


def test_five_pixels_by_hand() -> None:
    found = zonal_statistics(np.array([4, 1, 2, 2, 6], dtype=np.uint8), 8)
    assert tuple(found) == STATS
    assert found == {
        "count": 5,
        "valid_percent": 62.5,
        "sum": 15,
        "mean": 3.0,
        "min": 1,
        "max": 6,
        "stddev": 2.0,
        "stddev_pop": math.sqrt(16 / 5),
        "variance": 4.0,
        "median": 2.0,
        "p05": 1.2,
        "p25": 2.0,
        "p75": 4.0,
        "p95": pytest.approx(5.6),
        "majority": 2,
        "minority": 1,
        "variety": 4,
    }


def test_no_valid_pixel() -> None:
    found = zonal_statistics(np.array([np.nan, np.nan], dtype=np.float32), 2)
    assert (found.pop("count"), found.pop("valid_percent")) == (0, 0)
    assert set(found.values()) == {None}
    assert zonal_statistics(np.array([], dtype=np.uint8), 0)["valid_percent"] is None


def test_one_pixel_has_no_sample_deviation() -> None:
    found = zonal_statistics(np.array([7], dtype=np.int16), 1)
    assert (found["stddev"], found["variance"], found["stddev_pop"]) == (None, None, 0)
    assert (found["median"], found["p95"], found["majority"]) == (7, 7, 7)


def test_ties_take_the_smallest_value() -> None:
    found = zonal_statistics(np.array([5, 5, 3, 3, 9, 8], dtype=np.uint8), 6)
    assert (found["majority"], found["minority"]) == (3, 8)


def test_nan_is_not_valid() -> None:
    found = zonal_statistics(np.array([1, np.nan, 3]), 3)
    assert (found["count"], found["mean"]) == (2, 2)
    assert found["valid_percent"] == pytest.approx(200 / 3)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_sums_of_large_integers_are_exact(dtype: str) -> None:
    largest = int(np.iinfo(dtype).max)
    found = zonal_statistics(np.array([largest, largest - 1, 3], dtype=dtype), 3)
    assert (found["sum"], found["max"], found["min"]) == (2 * largest + 2, largest, 3)


def test_infinite_values_do_not_warn() -> None:
    found = zonal_statistics(np.array([1, 2, np.inf], dtype=np.float32), 3)
    assert (found["max"], found["median"], found["sum"]) == (math.inf, 2, math.inf)


@settings(max_examples=examples(80))
@given(st.data())
def test_equal_to_duckdb_aggregates(data: st.DataObject) -> None:
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    if dtype.kind == "f":
        elements = st.floats(-1e6, 1e6, width=8 * dtype.itemsize, allow_subnormal=False)
    else:
        limits = np.iinfo(dtype)
        elements = st.integers(max(int(limits.min), -(10**9)), min(int(limits.max), 10**9))
    values = data.draw(st_np.arrays(dtype, st.integers(1, 60), elements=elements))
    found = zonal_statistics(values, len(values))
    with duckdb.connect() as con:
        con.execute("CREATE TABLE t AS SELECT unnest($1::DOUBLE[]) AS v", [values.astype(np.float64).tolist()])
        rows = con.execute(
            "SELECT count(v), sum(v), avg(v), min(v), max(v), stddev(v), stddev_pop(v), variance(v), median(v), "
            "quantile_cont(v, 0.05), quantile_cont(v, 0.25), quantile_cont(v, 0.75), quantile_cont(v, 0.95), "
            "count(DISTINCT v) FROM t"
        ).fetchall()
        majority = con.execute("SELECT v FROM t GROUP BY v ORDER BY count(*) DESC, v LIMIT 1").fetchall()[0][0]
        minority = con.execute("SELECT v FROM t GROUP BY v ORDER BY count(*), v LIMIT 1").fetchall()[0][0]
    names = ("count", "sum", "mean", "min", "max", "stddev", "stddev_pop", "variance", "median")
    names += ("p05", "p25", "p75", "p95", "variety")
    scale = 1 + float(np.abs(values.astype(np.float64)).max())
    for name, value in zip(names, rows[0], strict=True):
        tolerance = 1e-9 * (scale**2 if name == "variance" else scale)
        # Roots of rounding errors: where all values are equal, one engine gives 0 and the other 1e-8 of the value.
        tolerance = 1e-6 * scale if name.startswith("stddev") else tolerance
        assert found[name] == (None if value is None else pytest.approx(value, rel=1e-9, abs=tolerance)), name
    assert (found["majority"], found["minority"]) == (majority, minority)


def test_equal_weights_change_nothing_but_the_sample_form() -> None:
    values = np.arange(11, dtype=np.int16) ** 2
    plain, weighted = zonal_statistics(values, 11), zonal_statistics(values, 11, np.ones(11))
    for name in STATS:
        if name not in ("stddev", "variance", "majority"):
            assert weighted[name] == pytest.approx(plain[name]), name
    assert weighted["stddev"] == pytest.approx(plain["stddev_pop"])
    assert weighted["majority"] == 100


def test_weights_by_hand() -> None:
    found = zonal_statistics(np.array([1, 3, 9]), 2, np.array([0.5, 1.0, 0.0]))
    assert (found["count"], found["sum"], found["max"], found["variety"]) == (1.5, 3.5, 3, 2)
    assert found["mean"] == pytest.approx(7 / 3)
    assert found["valid_percent"] == 75


def test_a_single_statistic_is_the_same_one() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.integers(0, 20, 100), rng.uniform(0, 1, 100)
    for of in (None, weights):
        whole = zonal_statistics(values, 100, of)
        assert set(whole) == set(STATS)
        for name in STATS:
            assert zonal_statistics(values, 100, of, (name,)) == {name: whole[name]}


def test_unknown_statistic_names_the_known() -> None:
    with pytest.raises(InvalidArgumentError, match=r'"maen"; did you mean "mean".*variety'):
        check_statistic("maen")
    assert check_statistic("p95") == "p95"
