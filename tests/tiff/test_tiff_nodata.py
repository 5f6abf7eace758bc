"""Nodata texts, and the samples they match, against GDAL's masks."""

import math

import numpy as np
import pytest
from craft import ASCII, grey, header_of, tiff
from rasterio.io import MemoryFile

from rasteret_sql.tiff.nodata import matches_nodata

pytestmark = pytest.mark.filterwarnings("ignore")

F4MAX = float(np.finfo("f4").max)
CASES = [
    ("u1", [2, 3, 4], ["3", "3.5", "-1", "256", "255.4", "nan", "inf", "", " 3 ", "3 metres", "none", "0x3"]),
    ("i1", [-128, -1, 0, 3], ["-128", "-1.5", "128", "-129"]),
    ("i2", [0, 1, -3, -9999], ["nan", "-3.7", "-9999", "-9.999e3", "-32769"]),
    ("u2", [0, 65535, 3], ["65535", "65536", "-0"]),
    ("i4", [-1, 0, -(2**31)], ["4294967295", "-2147483648", "-2147483649"]),
    ("u4", [4294967295, 0], ["4294967295", "4294967296"]),
    ("i8", [-(2**63), -(2**63) + 1, 2**63 - 1, 5, 1], [str(-(2**63)), str(2**63), "5.0", "1e3", str(2**63 - 1)]),
    ("u8", [2**64 - 1, 2**64 - 2, 0, 2**63], [str(2**64 - 1), str(2**64), "-1", "-2", str(2**63)]),
    ("f4", [0, math.nan, math.inf, -math.inf, 1e-45], ["nan", "NaN", "inf", "-inf", "0", "junk", "1e-50"]),
    ("f4", [F4MAX, -F4MAX, math.inf, 0, -3.4e38], [repr(-F4MAX), "-3.4028235e+38", "-3.40283e+38", "-1.797693e308"]),
    ("f4", [0.1, 0.1 + 1e-8, 0.10001], ["0.1"]),
    ("f8", [0.1, 0.1 + 1e-17, 0.1 + 1e-9, 0.1001, -1.7976931348623157e308], ["0.1", "-1.7976931348623157e+308"]),
    ("f8", [0, 5e-324, 1e-300, 1e-17], ["0"]),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "values", "text"), [(d, v, t) for d, v, texts in CASES for t in texts])
def test_nodata_masks_what_gdal_masks(dtype, values, text):
    image = np.array([values], dtype)
    tags, tiles = grey(image)
    data = tiff(({**tags, 42113: (ASCII, text)}, tiles))
    nodata = header_of(data).nodata[0]
    assert nodata is None or isinstance(nodata, int if image.dtype.kind in "ui" else float)
    with MemoryFile(data) as file, file.open() as source:
        np.testing.assert_array_equal(matches_nodata(image, nodata), source.read_masks(1) == 0)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("nodata", [-9999.0, 1.0, 1e-5, 1e20, -3.4e38])
def test_values_next_to_nodata_match_as_far_as_gdal_takes_them(dtype, nodata):
    near = np.array([[nodata * (1 + step * 1.2e-7) for step in range(-9, 10)]], dtype)
    tags, tiles = grey(near)
    data = tiff(({**tags, 42113: (ASCII, repr(nodata))}, tiles))
    with MemoryFile(data) as file, file.open() as source:
        masked = source.read_masks(1) == 0
    np.testing.assert_array_equal(matches_nodata(near, header_of(data).nodata[0]), masked)
    assert masked.any()


def test_half_floats_match_only_values_that_they_can_hold():
    image = np.array([[-9999, -10000, np.nan, 3]], "f2")
    tags, tiles = grey(image)
    for text, expected in (("-9999", [0, 0, 0, 0]), ("nan", [0, 0, 1, 0]), ("3", [0, 0, 0, 1]), ("1e9", [0, 0, 0, 0])):
        nodata = header_of(tiff(({**tags, 42113: (ASCII, text)}, tiles))).nodata[0]
        np.testing.assert_array_equal(matches_nodata(image, nodata), np.array([expected], bool))
