"""Any percentile, by every way in which statistics are computed: numpy's linear one, exactextract's weighted one."""

import numpy as np
import pytest

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.raster.plain_statistics import plain_columns
from rasteret_sql.raster.stats import check_statistic, zonal_statistics
from rasteret_sql.raster.value_counts import ValueCounts, counted_statistics
from rasteret_sql.raster.weighted_statistics import weighted_columns

NAMES = ("p0", "p2.5", "p05", "p5", "p33.3", "median", "p50", "p90", "p99.9", "p100")
PLACES = (0, 2.5, 5, 5, 33.3, 50, 50, 90, 99.9, 100)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_by_every_way_as_numpy(dtype):
    rng = np.random.default_rng(2)
    values = (rng.normal(0, 40, 501) + (100 if dtype == "uint8" else 0)).astype(dtype)
    right = np.percentile(values.astype(np.float64), PLACES)
    of_one = zonal_statistics(values, 600, None, NAMES)
    assert list(of_one) == ["median", "p05", *(name for name in NAMES if name not in ("median", "p05"))]
    assert [of_one[name] for name in NAMES] == pytest.approx(right)
    of_many = plain_columns(values, np.array([len(values)]), np.array([600]), NAMES)
    assert [of_many[name][0] for name in NAMES] == pytest.approx(right)
    if dtype != "float32":
        counted = counted_statistics(ValueCounts.of(values, None), 600, NAMES)
        assert [counted[name] for name in NAMES] == pytest.approx(right)


def test_weighted_percentiles_of_equal_weights_are_those_of_distinct_values():
    values, weights = np.arange(11, dtype=np.uint8), np.full(11, 0.5)
    found = weighted_columns(values, weights, np.array([11]), np.array([5.5]), ("p10", "p95", "p2.5"))
    assert {name: column[0] for name, column in found.items() if name[0] == "p"} == pytest.approx(
        {"p10": 1.0, "p95": 9.5, "p2.5": 0.25}
    )
    counted = counted_statistics(ValueCounts.of(values, weights), 5.5, ("p10", "p2.5"))
    assert counted == pytest.approx({"p10": 1.0, "p2.5": 0.25})


def test_a_zone_without_a_valid_pixel_has_none():
    assert zonal_statistics(np.empty(0, np.uint8), 4, None, ("count", "p90")) == {"count": 0, "p90": None}


@pytest.mark.parametrize("name", ["p", "p101", "p-1", "pp", "p9x", "P90", "90", "p1e1", "p100.1"])
def test_what_is_no_percentile(name):
    with pytest.raises(InvalidArgumentError, match="any percentile from p0 to p100"):
        check_statistic(name)
