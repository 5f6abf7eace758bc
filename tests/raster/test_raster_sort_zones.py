"""One sort of packed numbers orders as numpy's sort by two keys."""

import numpy as np
import pytest

from rasteret_sql.raster.sort_zones import order_of_zones, sorted_zones


@pytest.mark.parametrize("zones", [1, 50, 1 << 40])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "float32"])
def test_as_by_two_keys(dtype, zones):
    """With few zones all fits into 64 bits, with numbers of zones beyond any it does not."""
    rng = np.random.default_rng(zones)
    limits = (-1000, 1000) if dtype == "float32" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    values = rng.integers(*limits, 5000, dtype="int64").astype(dtype)
    values[::3] = values[0]
    zone = np.sort(rng.integers(0, zones, 5000))
    expected = np.lexsort((values, zone))
    np.testing.assert_array_equal(order_of_zones(values, zone), expected)
    np.testing.assert_array_equal(sorted_zones(values, zone), values[expected])


def test_none():
    nothing = np.empty(0, np.uint8), np.empty(0, np.int64)
    assert len(order_of_zones(*nothing)) == len(sorted_zones(*nothing)) == 0
