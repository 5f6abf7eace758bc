"""Statistics of many zones at once, equal to the last digit to those of each zone alone."""

import numpy as np
import pytest

from rasteret_sql.raster.statistic_names import STATS
from rasteret_sql.raster.stats import zonal_statistics
from rasteret_sql.raster.zone_statistics import statistics_of_weighted_zones, statistics_of_zones
from tests.sampling import some_tuples

DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]


def zones(dtype, seed):
    """Values, invalid ones, weights and number of pixels of 60 zones of 0 to 400 pixels, with ties and extremes."""
    rng = np.random.default_rng(seed)
    counts = np.concatenate(([0, 1, 1, 2, 0], rng.integers(0, 400, 55)))
    size = int(counts.sum())
    if np.dtype(dtype).kind == "f":
        values = rng.normal(0, 1000, size).astype(dtype)
        values[rng.random(size) < 0.3] = rng.integers(-3, 3)
        values[rng.random(size) < 0.02] = np.nan
        values[rng.random(size) < 0.01] = np.inf
    else:
        info = np.iinfo(dtype)
        values = rng.integers(info.min, info.max, size, dtype=dtype, endpoint=True)
        few = rng.random(size) < 0.5
        values[few] = rng.integers(0, 7, int(few.sum())).astype(dtype)
    invalid = rng.random(size) < 0.2
    invalid[counts[0] : counts[:4].sum()] = [False, True, False, False][: int(counts[:4].sum())]
    return values, invalid, rng.uniform(1e-9, 1, size), counts


@pytest.mark.parametrize(
    "names", some_tuples([STATS, ("mean",), ("median", "variety"), ("stddev", "count", "min"), ("minority",)], 3)
)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_zone_has_what_it_has_alone(dtype, weighted, masked, names):
    values, invalid, weights, counts = zones(dtype, DTYPES.index(dtype))
    hidden = invalid if masked else None
    if weighted:
        found, missing = statistics_of_weighted_zones(values, hidden, weights, counts, names)
    else:
        found, missing = statistics_of_zones(values, hidden, counts, names)
    ends = np.cumsum(counts)
    assert found.shape == missing.shape == (60, len(names))
    for zone, (end, count) in enumerate(zip(ends.tolist(), counts.tolist(), strict=True)):
        own = np.s_[end - count : end]
        valid = ~invalid[own] if masked else np.ones(count, bool)
        total = float(np.add.reduceat(weights[own], [0])[0]) if weighted and count else count
        alone = zonal_statistics(values[own][valid], total, weights[own][valid] if weighted else None, names)
        assert missing[zone].tolist() == [alone[name] is None for name in names], zone
        expected = [np.nan if alone[name] is None else float(alone[name]) for name in names]
        np.testing.assert_array_equal(found[zone], expected, err_msg=f"zone {zone}")


def test_by_hand():
    values = np.array([4, 1, 2, 2, 9, 7], np.uint8)
    found, _ = statistics_of_zones(values, None, np.array([4, 0, 2]), ("median", "majority", "stddev_pop", "count"))
    np.testing.assert_allclose(found, [[2, 2, np.sqrt(1.1875), 4], [np.nan, np.nan, np.nan, 0], [8, 7, 1, 2]])
    shares = np.array([0.5, 1, 0.25, 0.25, 1, 0.5])
    found, _ = statistics_of_weighted_zones(values, None, shares, np.array([4, 0, 2]), ("sum", "count", "majority"))
    np.testing.assert_allclose(found, [[4.0, 2.0, 1], [np.nan, 0, np.nan], [12.5, 1.5, 9]])
