"""Warps of random grids agree with GDAL's: every integer, and floats to their last digits.

Left out is what GDAL does in its own way: lanczos and cubic_spline that make pixels smaller (its kernels are off), mode
before GDAL 3.11 (which a plain program stands in for), and cells that reach over the border of the source.
"""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.warp import Resampling, reproject

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.raster.warp.plan import plan_warp
from rasteret_sql.raster.warp.resampling import RADIUS, RESAMPLINGS
from rasteret_sql.raster.warp.warp import warp
from tests.oracle.gdal_approximation import ApproximatingMap
from tests.sampling import some

UTM = "EPSG:32632"
DTYPES = ("uint8", "int16", "uint16", "int32", "float32", "float64")
FACTORS = (0.25, 0.5, 1, 2, 3, 4)
METHODS = [method for method in RESAMPLINGS if method != "mode"]


def pixels(rng, dtype, shape):
    """Random pixels, few or many different ones, and nodata: None, one that no pixel has, or holes."""
    dtype = np.dtype(dtype)
    low, high = (0, 255) if dtype == "uint8" else (0, 3000) if dtype == "uint16" else (-1000, 1000)
    if rng.random() < 0.3:
        high = low + 6
    data = rng.integers(low, high + 1, shape).astype(dtype)
    if dtype.kind == "f":
        data = (data + rng.random(shape)).astype(dtype)
    if rng.random() < 0.3:
        return data, None
    nodata = -9999.0 if dtype.kind == "f" else float(low)
    data[data == nodata] = low + 1
    if rng.random() < 0.7:
        data[rng.random(shape) < rng.uniform(0.02, 0.6)] = nodata
    return data, nodata


def of_gdal(data, nodata, grids, crs, method):
    """The warp by rasterio; grids are the transforms of source and target, and the shape of the target."""
    source, target, shape = grids
    out = np.zeros(shape, data.dtype)
    reproject(
        data,
        out,
        src_transform=rasterio.Affine(*source),
        dst_transform=rasterio.Affine(*target),
        src_crs=UTM,
        dst_crs=crs,
        src_nodata=nodata,
        dst_nodata=nodata,
        resampling=Resampling[method],
    )
    return out


def of_ours(data, nodata, pixel_map, shape, method):
    plan = plan_warp(pixel_map, Window(0, 0, shape[1], shape[0]), data.shape[::-1], method)
    if plan is None:
        return np.full(shape, nodata or 0, data.dtype), None
    at = plan.source
    part = data[at.row_off : at.row_end, at.col_off : at.col_end]
    return warp(part, None if nodata is None else part != nodata, plan, nodata=nodata)[0], plan


def differing(ours, theirs, relative=1e-6):
    if ours.dtype.kind == "f":
        scale = np.abs(theirs).max() + 1
        return ~np.isclose(ours, theirs, rtol=0, atol=relative * scale, equal_nan=True)
    return ours != theirs


def small_grid(rng, shape, factor, overhang):
    """A target of that factor in a source of that shape: (transform, shape)."""
    height, width = shape
    cols, rows = (
        max(1, int(size / each * rng.uniform(0.3, 0.9))) for size, each in zip((width, height), factor, strict=True)
    )
    space = width - cols * factor[0], height - rows * factor[1]
    left, top = (rng.uniform(-overhang, max(0.0, each) + overhang) for each in space)
    if rng.random() < 0.4:
        left, top = np.floor(left), np.floor(top)
    return Affine(10 * factor[0], 0, 500000 + 10 * left, 0, -10 * factor[1], 5600000 - 10 * top), (rows, cols)


def is_left_out(method, scale, factor):
    """True where GDAL's own numbers are off: its B-spline has no fifth term, and there its sum sees an antimeridian."""
    if method == "cubic_spline":
        return any(each < 1 and abs(1 / each - round(1 / each)) > 1e-9 for each in scale)
    if method == "lanczos":
        return any(each > 1 and each % 2 == 1 for each in factor)
    return method == "sum" and min(factor) < 0.5 and 1 in scale


def lies_inside(pixel_map, target, shape):
    """True for cells that do not reach over the border of the source: GDAL gives its last pixels a weight above 1."""
    xs, ys = (
        np.sort([first, last], 0)
        for first, last in zip(*np.array_split(pixel_map.corners(target)(target), 2), strict=True)
    )
    return (xs[0] >= 0) & (ys[0] >= 0) & (xs[1] <= shape[1]) & (ys[1] <= shape[0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", some(range(20), 20))
def test_within_one_crs(method, seed):
    rng = np.random.default_rng((seed, METHODS.index(method)))
    compared = 0
    for dtype in DTYPES:
        for overhang in (0, 5) if method in RADIUS or method == "sum" else (0,):
            shape = tuple(rng.integers(8, 70, 2))
            data, nodata = pixels(rng, dtype, shape)
            factor = rng.uniform(0.15, 5, 2)
            if rng.random() < 0.5:
                factor = np.full(2, rng.choice(FACTORS))
            target, size = small_grid(rng, shape, factor, overhang)
            source = Affine(10, 0, 500000, 0, -10, 5600000)
            theirs = of_gdal(data, nodata, (source, target, size), UTM, method)
            ours, plan = of_ours(data, nodata, PixelMap(target, UTM, source, UTM, shape[::-1]), size, method)
            if plan is not None and is_left_out(method, plan.scale, factor):
                continue
            wrong = differing(ours, theirs, 1e-5 if method == "sum" else 1e-6)
            if method == "sum":  # a pixel that rounding moves over a border by 1e-12 has a share there
                wrong &= np.abs(theirs) > 1e-6
            assert not wrong.any(), (dtype, nodata, factor, shape, size, np.argwhere(wrong)[:3], wrong.sum())
            compared += 1
    assert compared


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_b_splines_by_whole_factors(factor, dtype):
    rng = np.random.default_rng(factor)
    shape = (90, 80)
    data, nodata = pixels(rng, dtype, shape)
    size = int(80 / factor), int(70 / factor)
    source = Affine(10, 0, 500000, 0, -10, 5600000)
    target = Affine(10 * factor, 0, 500000 + 10.3, 0, -10 * factor, 5600000 - 20.7)
    theirs = of_gdal(data, nodata, (source, target, size), UTM, "cubic_spline")
    ours, _ = of_ours(data, nodata, PixelMap(target, UTM, source, UTM, shape[::-1]), size, "cubic_spline")
    assert not differing(ours, theirs).any()


@pytest.mark.parametrize("crs", some(["EPSG:3857", "EPSG:32633", "EPSG:4326", "EPSG:3413"], 2))
@pytest.mark.parametrize("seed", some(range(12), 12))
def test_across_crs(crs, seed):
    """At the places where GDAL's approximation looks, so that nothing else differs."""
    rng = np.random.default_rng((seed, int(crs[5:])))
    data, nodata = pixels(rng, DTYPES[seed % len(DTYPES)], shape := tuple(rng.integers(30, 80, 2)))
    pixel, zoom = rng.choice([10.0, 60, 300, 4000]), rng.choice([0.4, 1, 2.7])
    source = Affine(pixel, 0, 600000, 0, -pixel, 5600000)
    to_crs = pyproj.Transformer.from_crs(UTM, crs, always_xy=True)
    x, y = source.apply(shape[1] / 2, shape[0] / 2)
    (left, top), (right, other) = to_crs.transform(x, y), to_crs.transform(x + pixel, y)
    size = tuple(max(6, int(each / zoom * 0.6)) for each in shape)
    side = float(np.hypot(right - left, other - top) * zoom)
    target = Affine(side, 0, left - side * size[1] / 2, 0, -side, top + side * size[0] / 2)
    pixel_map = ApproximatingMap(target, crs, source, UTM, shape[::-1])
    wrong = {}
    for method in METHODS:
        theirs = of_gdal(data, nodata, (source, target, size), crs, method)
        ours, plan = of_ours(data, nodata, pixel_map, size, method)
        if is_left_out(method, plan.scale, (zoom, zoom)):
            continue
        differ = differing(ours, theirs, 1e-5)
        if method in ("average", "rms"):
            differ &= lies_inside(pixel_map, plan.target, shape)
        wrong[method] = int(differ.sum())
    # Quadrilaterals are cut in another order of arithmetic: halves may round to either side.
    assert wrong.pop("sum", 0) <= size[0] * size[1] // 500
    assert wrong == dict.fromkeys(wrong, 0)
    assert len(wrong) > 8


def mode_of(data, valid, x, y):
    """Mode of a cell by areas, as GDAL has it from 3.11 on: the first value to reach the largest area."""
    areas, best = {}, None
    for row in range(int(np.floor(y[0] + 1e-10)), int(np.ceil(y[1] - 1e-10))):
        for col in range(int(np.floor(x[0] + 1e-10)), int(np.ceil(x[1] - 1e-10))):
            if valid[row, col]:
                part = (min(x[1], col + 1) - max(x[0], col)) * (min(y[1], row + 1) - max(y[0], row))
                value = data[row, col]
                areas[value] = np.float32(areas.get(value, np.float32(0)) + np.float32(part))
                if best is None or areas[value] > areas[best]:
                    best = value
    return best


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factor", [(2, 2), (3, 3), (2.5, 3.25), (4, 1.75)])
def test_mode_is_the_value_of_the_largest_area(dtype, factor):
    rng = np.random.default_rng(7)
    data = rng.integers(1, 5, (40, 50)).astype(dtype)
    data[rng.random(data.shape) < 0.2] = 0
    source = Affine(1, 0, 0, 0, -1, 0)
    target = Affine(factor[0], 0, 2, 0, -factor[1], -3)
    size = 9, 8
    ours, _ = of_ours(data, 0, PixelMap(target, UTM, source, UTM, data.shape[::-1]), size, "mode")
    expected = np.zeros(size)
    for row, col in np.ndindex(size):
        x, y = 2 + factor[0] * np.array([col, col + 1]), 3 + factor[1] * np.array([row, row + 1])
        expected[row, col] = mode_of(data, data != 0, x, y) or 0
    np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("nodata", [None, -9999.0])
@pytest.mark.parametrize("method", some(["bilinear", "nearest", "cubic_spline", "rms"], 2))
def test_infinite_pixels_are_infinite_where_they_are_in_gdal(method, nodata):
    rng = np.random.default_rng(5)
    data = rng.random((40, 50)).astype(np.float32)
    for value in (np.inf, -np.inf, np.nan):
        data[rng.integers(0, 40, 5), rng.integers(0, 50, 5)] = value
    source, target, shape = Affine(10, 0, 5e5, 0, -10, 5e6), Affine(7.3, 0, 500003, 0, -7.3, 4999996), (52, 65)
    theirs = of_gdal(data, nodata, (source, target, shape), UTM, method)
    ours, _ = of_ours(data, nodata, PixelMap(target, UTM, source, UTM, (50, 40)), shape, method)
    assert np.isinf(theirs).sum() > 5
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
