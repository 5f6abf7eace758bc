#!/usr/bin/env bash
# GDAL: LERC with MAX_Z_ERROR turns nodata pixels into data where nodata is above the data, and keeps them where below.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: MAX_Z_ERROR bounds the error of a pixel, and one expects a nodata value that the file declares to be kept.
#   But the encoder is not told of it: in a block (8 x 8 pixels) that has data and nodata, the steps are counted from
#   the lowest value of the block, so that the lowest one is exact and the others are off by up to MAX_Z_ERROR. With
#   nodata -9999 the lowest is nodata, and all is well, which is why it is so rarely seen. With nodata 255, 9999, 32767
#   or 65535 nodata is the highest, and is stored as 254.99 or 65533, which no reader masks. Blocks of nodata alone are
#   right, so that it happens along the edges of the data and at its holes; the share is small, the values are large.
#   A nodata so far off (1e20) that a block is stored without steps is kept, too. No warning.
# Output seen, 256 x 256 pixels, the upper 30 percent and single pixels nodata (20,381 pixels); how many of them are read
#   as data, mean of the data before and after: -9999, float32, 0 to 3000, MAX_Z_ERROR 0.01: 0, 1502.5, 1502.5; 9999
#   with the same data: 547, 1502.5, 1604.2; 255, float32, 0 to 1, 0.01: 809, 0.50082, 4.9801; 65535, uint16, 0 to
#   10000, 3: 794, 5007.7, 6054.1; 1e20, float32, 0 to 3000, 0.01: 0, 1502.5, 1502.5.
# Way out: a nodata value below the data; NaN, which GDAL's LERC keeps in a mask; or a mask band.
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
from rasterio.transform import from_origin

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
size = 256
changed = []
for nodata, dtype, highest, max_z_error, kept in (
    (-9999, "float32", 3000, 0.01, True),
    (9999, "float32", 3000, 0.01, False),
    (255, "float32", 1, 0.01, False),
    (65535, "uint16", 10000, 3, False),
    (1e20, "float32", 3000, 0.01, True),
):
    random = np.random.default_rng(1)
    pixels = (highest * random.random((size, size))).astype(dtype)
    missing = random.random((size, size)) < 0.02
    missing[: size * 3 // 10] = True
    before = pixels[~missing].mean(dtype="float64")
    pixels[missing] = nodata
    with rasterio.open(
        "a.tif", "w", driver="GTiff", width=size, height=size, count=1, dtype=dtype, nodata=nodata,
        crs="EPSG:32632", transform=from_origin(500000, 5000000, 10, 10),
        tiled=True, blockxsize=128, blockysize=128, compress="LERC", max_z_error=max_z_error,
    ) as dataset:
        dataset.write(pixels, 1)
    with rasterio.open("a.tif") as dataset:
        declared, read = dataset.nodata, dataset.read(1, masked=True)
    masked = np.ma.getmaskarray(read)
    lost = int((missing & ~masked).sum())
    after = read.mean(dtype="float64")
    values = np.unique(read.data[missing & ~masked])[:3].tolist()
    print(f"nodata {nodata:g} {dtype}: lost {lost} of {missing.sum()}, such as {values}")
    print(f"    mean {before:.5g} -> {after:.5g}")
    if not np.isclose(declared, nodata) or (lost == 0) != kept or (abs(after - before) < 0.01) != kept:
        changed.append(nodata)
sys.exit(f"no longer so for {changed}" if changed else 0)
PY
cd "$work"
venv/bin/python script.py
