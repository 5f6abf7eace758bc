"""Properties of warps that need no other reader: parts of a whole, holes, borders, a hand-sized example."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.raster.warp.plan import plan_warp
from rasteret_sql.raster.warp.resampling import RESAMPLINGS
from rasteret_sql.raster.warp.warp import warp
from tests.sampling import some, some_tuples

UTM = "EPSG:32632"
SOURCE = Affine(10, 0, 600000, 0, -10, 5600000)


def plan_of(method, crs, pixel, shape, size):
    """A plan for a target in the middle of a source of that shape, numbered from where the CRS begins."""
    to_crs = pyproj.Transformer.from_crs(UTM, crs, always_xy=True)
    x, y = to_crs.transform(*SOURCE.apply(shape[1] / 2, shape[0] / 2))
    grid = Affine(pixel, 0, 0, 0, -pixel, 0)
    col, row = int(x / pixel) - size[1] // 2, int(-y / pixel) - size[0] // 2
    pixel_map = PixelMap(grid, crs, SOURCE, UTM, shape[::-1])
    return plan_warp(pixel_map, Window(col, row, size[1], size[0]), shape[::-1], method)


def part_of(plan, data):
    return data[plan.source.row_off : plan.source.row_end, plan.source.col_off : plan.source.col_end]


@pytest.mark.parametrize("method", some(RESAMPLINGS, 9))
@pytest.mark.parametrize(("crs", "pixel"), some([(UTM, 37.0), (UTM, 4.0), ("EPSG:3857", 23.0), ("EPSG:4326", 4e-4)], 2))
def test_a_part_is_the_part_of_the_whole_to_the_last_bit(method, crs, pixel):
    rng = np.random.default_rng(3)
    shape, size = (400, 420), (90, 80)
    data = rng.random(shape)
    valid = rng.random(shape) > 0.1
    valid[:200] = True
    plan = plan_of(method, crs, pixel, shape, size)
    whole, written = warp(part_of(plan, data), part_of(plan, valid), plan, nodata=-1.0)
    assert written.sum() > 0
    for col, row, width, height in ((0, 0, 80, 45), (13, 17, 40, 33), (79, 89, 1, 1), (5, 40, 3, 50)):
        part = Window(plan.target.col_off + col, plan.target.row_off + row, width, height)
        some, some_written = warp(part_of(plan, data), part_of(plan, valid), plan, nodata=-1.0, part=part)
        at = slice(row, row + height), slice(col, col + width)
        np.testing.assert_array_equal(some, whole[at])
        np.testing.assert_array_equal(some_written, written[at])


@pytest.mark.parametrize("method", some(RESAMPLINGS, 5))
@pytest.mark.parametrize("pixel", [4.0, 10.0, 25.0])
def test_a_plain_is_plain_whatever_is_not_valid(method, pixel):
    """No pixel that is not valid has any weight: what it holds cannot be seen."""
    rng = np.random.default_rng(4)
    shape, size = (60, 60), (20, 20)
    valid = rng.random(shape) > 0.3
    data = np.where(valid, 7.0, rng.choice([np.nan, np.inf, 1e300, -5], shape))
    plan = plan_of(method, "EPSG:3857" if pixel != 10 else UTM, pixel, shape, size)
    out, written = warp(part_of(plan, data), part_of(plan, valid), plan, nodata=-1.0)
    assert written.any()
    if method == "sum":
        assert np.isfinite(out).all()
    else:
        np.testing.assert_allclose(out[written], 7.0, rtol=1e-12)
    assert (out[~written] == -1).all()


@pytest.mark.parametrize("method", RESAMPLINGS)
def test_pixels_that_only_move_are_the_same(method):
    data = np.arange(48, dtype=np.int16).reshape(6, 8)
    pixel_map = PixelMap(Affine(10, 0, 600010, 0, -10, 5599980), UTM, SOURCE, UTM, (8, 6))
    plan = plan_warp(pixel_map, Window(0, 0, 5, 3), (8, 6), method)
    out, written = warp(part_of(plan, data), None, plan)
    np.testing.assert_array_equal(out, data[2:5, 1:6])
    assert written.all()


def test_only_what_lies_in_the_image_is_averaged():
    """Of a cell that covers the first pixel and a quarter of the second, beginning outside of the image."""
    data = np.array([[10.0, 20.0]])
    pixel_map = PixelMap(Affine(2, 0, -0.75, 0, -1, 0), UTM, Affine(1, 0, 0, 0, -1, 0), UTM, (2, 1))
    out, _ = warp(data, None, plan_warp(pixel_map, Window(0, 0, 1, 1), (2, 1), "average"))
    assert out[0, 0] == 12


def test_results_that_equal_nodata_move_off_it():
    data = np.array([[0, 2], [2, 0]], np.uint8)
    pixel_map = PixelMap(Affine(2, 0, 0, 0, -2, 0), UTM, Affine(1, 0, 0, 0, -1, 0), UTM, (2, 2))
    plan = plan_warp(pixel_map, Window(0, 0, 1, 1), (2, 2), "average")
    assert warp(data, None, plan, nodata=1)[0] == 0
    assert warp(data, None, plan, nodata=None)[0] == 1
    assert warp(np.zeros((2, 2), np.uint8), None, plan, nodata=0)[0] == 1
    assert warp(np.zeros((2, 2), np.float32), None, plan, nodata=0)[0] == np.float32(1e-45)


def test_quantiles_are_values_that_are_there():
    data = np.array([[1, 2], [3, 4]], np.uint8)
    pixel_map = PixelMap(Affine(2, 0, 0, 0, -2, 0), UTM, Affine(1, 0, 0, 0, -1, 0), UTM, (2, 2))
    found = {
        method: int(warp(data, None, plan_warp(pixel_map, Window(0, 0, 1, 1), (2, 2), method))[0][0, 0])
        for method in ("q1", "med", "q3", "min", "max", "sum", "mode", "average")
    }
    assert found == {"q1": 1, "med": 2, "q3": 3, "min": 1, "max": 4, "sum": 10, "mode": 1, "average": 3}


def test_integers_of_64_bit_stay_exact_where_they_are_chosen():
    data = np.array([[2**63 - 1, 2**63 - 3], [2**63 - 5, 2**63 - 7]], np.int64)
    pixel_map = PixelMap(Affine(2, 0, 0, 0, -2, 0), UTM, Affine(1, 0, 0, 0, -1, 0), UTM, (2, 2))
    for method, value in (("max", 2**63 - 1), ("min", 2**63 - 7), ("med", 2**63 - 5), ("mode", 2**63 - 1)):
        assert warp(data, None, plan_warp(pixel_map, Window(0, 0, 1, 1), (2, 2), method))[0][0, 0] == value


def test_longitudes_of_another_turn():
    """A source of 0 to 360 degrees under a target of -180 to 180."""
    data = np.arange(36, dtype=np.float32).reshape(1, 36).repeat(18, 0)
    grid = Affine(5, 0, -180, 0, -5, 45)
    pixel_map = PixelMap(grid, "EPSG:4326", Affine(10, 0, 0, 0, -10, 90), "EPSG:4269", (36, 18))
    plan = plan_warp(pixel_map, Window(0, 0, 72, 4), (36, 18), "nearest")
    out, written = warp(part_of(plan, data), None, plan)
    assert written.all()
    np.testing.assert_array_equal(out[0], (np.arange(72) // 2 + 18) % 36)


@pytest.mark.parametrize("crs", [UTM, "EPSG:3857", "EPSG:3413"])
def test_only_what_the_source_reaches_is_computed(crs):
    """A small image in a wide target: the same pixels as in a target around it."""
    rng = np.random.default_rng(5)
    shape = (60, 70)
    data = rng.integers(1, 200, shape).astype(np.uint8)
    wide, close = (plan_of("nearest", crs, 9.0, shape, size) for size in ((2000, 3000), (300, 301)))
    assert wide.reached.width * wide.reached.height < 70_000
    out, written = warp(part_of(wide, data), None, wide)
    of_close, close_written = warp(part_of(close, data), None, close)
    row, col = close.target.row_off - wide.target.row_off, close.target.col_off - wide.target.col_off
    at = slice(row, row + 300), slice(col, col + 301)
    np.testing.assert_array_equal(written[at], close_written)
    np.testing.assert_array_equal(out[at], of_close)
    assert written.sum() == close_written.sum() > 3000


def test_data_of_another_window_are_refused():
    pixel_map = PixelMap(Affine(2, 0, 600000, 0, -2, 5600000), UTM, SOURCE, UTM, (8, 8))
    plan = plan_warp(pixel_map, Window(0, 0, 4, 4), (8, 8), "cubic")
    with pytest.raises(InvalidArgumentError, match="a warp needs"):
        warp(np.zeros((1, 1)), None, plan)


def test_a_target_beside_the_source_has_no_plan():
    pixel_map = PixelMap(Affine(10, 0, 900000, 0, -10, 5600000), UTM, SOURCE, UTM, (8, 8))
    assert plan_warp(pixel_map, Window(0, 0, 4, 4), (8, 8), "cubic") is None


STEPS = [(4.0, -4.0), (10.0, -20.0), (13.0, 13.0), (-37.0, -25.0), (40.0, -40.0)]
"""Metres across and down a target pixel; those of the source are 10 and -10."""
POINTS_AND_AREAS = ("nearest", "bilinear", "cubic", "cubic_spline", "lanczos", "average", "rms", "min", "max")


@pytest.mark.parametrize("dtype", some(["uint16", "float32", "int16", "float64"], 4))
@pytest.mark.parametrize("steps", some_tuples(STEPS, 3))
@pytest.mark.parametrize("method", POINTS_AND_AREAS)
def test_rows_and_columns_by_themselves_give_what_pixels_one_by_one_do(method, steps, dtype, monkeypatch):
    """Also to the last bit, but for means, of which the order of additions is another."""
    rng = np.random.default_rng(11)
    shape = (80, 90)
    data = (rng.random(shape) * 3000).astype(dtype)
    holes = rng.random(shape) > 0.02
    holes[:30] = True
    grid = Affine(steps[0], 0, 600_333.0, 0, steps[1], 5_599_721.0)
    pixel_map = PixelMap(grid, UTM, SOURCE, UTM, shape[::-1])
    target = Window(-220, -210, 260, 240)
    plan = plan_warp(pixel_map, target, shape[::-1], method)
    assert plan is not None
    for valid in (None, part_of(plan, holes)):
        for nodata in (None, 7):
            found, written = warp(part_of(plan, data), valid, plan, nodata=nodata)
            with monkeypatch.context() as patch:
                patch.setattr("rasteret_sql.raster.warp.warp._is_separable", lambda *_: False)
                same, same_written = warp(part_of(plan, data), valid, plan, nodata=nodata)
            assert written.any()
            np.testing.assert_array_equal(written, same_written)
            if method in ("average", "rms") and dtype.startswith("float"):
                np.testing.assert_allclose(found, same, rtol=2e-7 if dtype == "float32" else 1e-14)
            else:
                np.testing.assert_array_equal(found, same)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("pixels", ["smooth", "all values", "three values"])
@pytest.mark.parametrize(
    "steps", some_tuples([(10.0, -20.0), (40.0, 40.0), (33.0, -27.3), (700.0, -90.0), (7.0, -210.0)], 3)
)
def test_means_of_small_integers_are_those_of_large_ones(dtype, pixels, steps):
    """Sums of the former are in single precision, of the latter in double; means of three often end in a half."""
    rng = np.random.default_rng(12)
    shape = (300, 310)
    limits = np.iinfo(dtype)
    if pixels == "smooth":
        wave = np.sin(np.arange(shape[1]) / 19) + np.cos(np.arange(shape[0]) / 23)[:, np.newaxis]
        data = (wave * limits.max / 5 + limits.max / 2 + rng.normal(0, 3, shape)).astype(dtype)
    elif pixels == "all values":
        data = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    else:
        data = rng.integers(0, 3, shape).astype(dtype)
    patches = (rng.random((30, 31)) > 0.4).repeat(10, 0).repeat(10, 1)
    grid = Affine(steps[0], 0, 599_903.0, 0, steps[1], 5_600_041.0 if steps[1] < 0 else 5_596_959.0)
    pixel_map = PixelMap(grid, UTM, SOURCE, UTM, shape[::-1])
    plan = plan_warp(pixel_map, Window(0, 0, int(3500 / steps[0]), int(3500 / abs(steps[1]))), shape[::-1], "average")
    assert plan is not None
    for valid in (None, part_of(plan, patches), part_of(plan, rng.random(shape) > 0.3)):
        found, written = warp(part_of(plan, data), valid, plan)
        same, same_written = warp(part_of(plan, data).astype(np.int32), valid, plan)
        assert written.any()
        np.testing.assert_array_equal(written, same_written)
        np.testing.assert_array_equal(found, same)
