#!/usr/bin/env bash
# rasterio: a window of a WarpedVRT has other, more blurred, values than the same window of the whole.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: the same file, the same grid, bilinear: 100 x 100 pixels read as a window differ from v.read()[...,
#   200:300, 200:300] in 10,000 of 10,000 pixels. One expects small differences, from the approximate transformer
#   (tolerance 0.125 pixel), and those go away with a small tolerance. The larger part stays. The whole is warped in one
#   go; a window is put together from the blocks of the VRT, 512 x 128, and each is warped for itself. For each, GDAL
#   takes the size of the box around its source as the number of source pixels, and the kernel is stretched by the
#   ratio. Grids of two UTM zones are turned against each other by a few degrees: the box around the source of a wide
#   and low block has 170 rows for 128, although the pixels of both grids have the same size. So windows come out
#   blurred by a third in one direction, and the whole does not. Tile servers and chunked readers read windows; a test
#   against one big read fails by far more than rounding. With `tolerance=0`, which should switch the approximation off,
#   the WarpedVRT raises an error about setting a projection; rasterio.warp.reproject(tolerance=...) takes the word
#   without an error and ignores it.
# Output seen, UTM 33 to UTM 32, 600 x 600 pixels of random values of 0 to 1000, window of 100 x 100: plain: 10,000
#   pixels differ, by up to 267; tolerance=1e-9: 10,000, up to 267; XSCALE=1, YSCALE=1: 10,000, up to 5.7; both: 0.
#   Standard deviation: 192.0 of the whole, 165.7 of the window (with tolerance=1e-9). reproject with tolerance 0 and 5:
#   the pixels as without.
# Way out: WarpedVRT(..., tolerance=1e-9, XSCALE=1, YSCALE=1), with the real ratio of the two grids for the two scales.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import array_bounds, from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform, reproject
from rasterio.windows import Window

SIZE = 600
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
source = {"crs": "EPSG:32633", "transform": from_origin(300_000, 5_600_000, 30, 30)}
pixels = np.random.default_rng(0).integers(0, 1000, (SIZE, SIZE)).astype("float64")
with rasterio.open("a.tif", "w", driver="GTiff", width=SIZE, height=SIZE, count=1, dtype="float64", **source) as dataset:
    dataset.write(pixels, 1)
bounds = array_bounds(SIZE, SIZE, source["transform"])
transform, width, height = calculate_default_transform(source["crs"], "EPSG:32632", SIZE, SIZE, *bounds)
grid = {"crs": "EPSG:32632", "transform": transform, "width": width, "height": height, "nodata": -1}
scales = {"XSCALE": "1", "YSCALE": "1"}
largest, spread = {}, {}
for options in ({}, {"tolerance": 1e-9}, scales, {"tolerance": 1e-9, **scales}):
    name = ", ".join(f"{key}={value}" for key, value in options.items()) or "plain"
    with rasterio.open("a.tif") as dataset, WarpedVRT(dataset, resampling=Resampling.bilinear, **grid, **options) as warped:
        whole = warped.read(1)[200:300, 200:300]
        window = warped.read(1, window=Window(200, 200, 100, 100))
    assert whole.min() >= 0 and window.min() >= 0
    difference = np.abs(whole - window)
    largest[name], spread[name] = float(difference.max()), (float(whole.std()), float(window.std()))
    print(f"{name}: {(difference > 1e-6).sum()} pixels differ, by up to {largest[name]:.2f}; "
          f"standard deviation {spread[name][0]:.1f} of the whole, {spread[name][1]:.1f} of the window")
with rasterio.open("a.tif") as dataset:
    try:
        WarpedVRT(dataset, tolerance=0, **grid).close()
        zero = "no error"
    except Exception as error:
        zero = f"{type(error).__name__}: {error}"
print("WarpedVRT(tolerance=0):", zero)
seen = []
for options in ({}, {"tolerance": 0}, {"tolerance": 5}):
    target = np.full((height, width), -1.0)
    reproject(
        pixels, target, src_crs=source["crs"], src_transform=source["transform"], dst_crs=grid["crs"], dst_transform=transform,
        dst_nodata=-1, resampling=Resampling.bilinear, **options,
    )
    seen.append(target)
ignored = all(np.array_equal(seen[0], other) for other in seen[1:])
print("reproject: tolerance 0 and 5 give the pixels of none given:", ignored)
if largest["plain"] < 100 or largest["tolerance=1e-09"] < 100 or not 1 < largest["XSCALE=1, YSCALE=1"] < 50:
    sys.exit("the windows differ otherwise from the whole now")
if largest["tolerance=1e-09, XSCALE=1, YSCALE=1"] > 1e-6:
    sys.exit("the way out does not help any more")
if spread["tolerance=1e-09"][1] > 0.9 * spread["tolerance=1e-09"][0]:
    sys.exit("the window is not blurred any more")
if zero == "no error" or not ignored:
    sys.exit("tolerance is treated otherwise now")
PY
cd "$work"
venv/bin/python script.py
