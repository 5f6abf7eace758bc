#!/usr/bin/env bash
# GDAL: resampling with RMS to half size gives 0 where only the lower right one of four pixels is not 0.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: RMS, the root of the mean of the squares, is the resampling for amplitudes of radar (their squares are what
#   is to be averaged). For float32, and for int8 and int16, which are computed as float32, GDAL has a quick way for a
#   factor of exactly 2: it divides by the largest of the four pixels, so that squares do not overflow, but looks for it
#   in three of them. If these three are 0, the answer is 0, whatever the fourth. A bright target on a background of 0
#   (a ship on masked or noise-corrected water, a single detection) disappears from the overview if its row and column
#   are odd, and stays if not. Where the fourth is larger by many orders of magnitude, the answer is inf. Decimated
#   reads without overviews take the same way. A factor of 4 in one step is right, overviews by 2, 4, 8 (each made from
#   the one before) are not. uint8, uint16, int32 and float64 are right, and so are overviews of a raster with a nodata
#   value; a decimated read of one is not.
# Output seen, 100 in one of four pixels, right is 50 in all: at the upper left, upper right, lower left: 50; at the
#   lower right: float32 and int16: 0 in the overview and in a read at half size; with nodata 255: 50 and 0. uint16,
#   float64: 50. Of 1,000 single targets at random places in 2000 x 2000 pixels of float32: 733 are left in the overview
#   by 2.
# Way out: square the pixels yourself, and resample them with average; or float64.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)


def halves(pixels, nodata=None):
    """The overview of half the size, and a read at that size of the file without overviews, both with RMS."""
    Path("a.tif").unlink(missing_ok=True)
    height, width = pixels.shape
    with rasterio.open(
        "a.tif", "w", driver="GTiff", width=width, height=height, count=1, dtype=pixels.dtype, nodata=nodata,
        crs="EPSG:32632", transform=from_origin(500_000, 5_000_000, 10, 10),
    ) as dataset:
        dataset.write(pixels, 1)
    with rasterio.open("a.tif") as dataset:
        read = dataset.read(1, out_shape=(height // 2, width // 2), resampling=Resampling.rms)
    with rasterio.open("a.tif", "r+") as dataset:
        dataset.build_overviews([2], Resampling.rms)
    with rasterio.open("a.tif", overview_level=0) as dataset:
        return dataset.read(1), read


changed = []
for dtype, nodata in (("float32", None), ("int16", None), ("float32", 255), ("uint16", None), ("float64", None)):
    seen = []
    for place in ((0, 0), (0, 1), (1, 0), (1, 1)):
        four = np.zeros((2, 2), dtype)
        four[place] = 100
        seen.append([np.unique(half).tolist() for half in halves(np.tile(four, (16, 16)), nodata)])
    print(f"{dtype}, nodata {nodata}, 100 at each of four places: [overview, read at half size] {seen}")
    lost = dtype in ("float32", "int16")
    last = [[0 if lost and nodata is None else 50], [0 if lost else 50]]
    if seen != [[[50], [50]]] * 3 + [last]:
        changed.append((dtype, nodata))

places = np.random.default_rng(0).choice(1000 * 1000, 1000, replace=False)  # one target in each of 1,000 fours
odd = np.random.default_rng(1).integers(0, 2, (2, 1000))
sea = np.zeros((2000, 2000), "float32")
sea[places // 1000 * 2 + odd[0], places % 1000 * 2 + odd[1]] = 100
left, both_odd = int((halves(sea)[0] > 0).sum()), int(odd.all(axis=0).sum())
print(f"1,000 targets, {both_odd} of them at odd rows and columns: {left} are left in the overview")
huge = halves(np.tile(np.array([[1, 1], [1, 1e30]], "float32"), (16, 16)))[0]
print("three of 1 and a fourth of 1e30:", np.unique(huge).tolist())
if left != 1000 - both_odd or not np.isinf(huge).all():
    changed.append("targets")
if changed:
    sys.exit(f"resampled otherwise now: {changed}")
PY
cd "$work"
venv/bin/python script.py
