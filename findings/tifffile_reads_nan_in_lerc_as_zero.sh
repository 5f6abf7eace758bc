#!/usr/bin/env bash
# tifffile and imagecodecs read the NaN pixels of a GeoTIFF that GDAL compressed with LERC as 0.
#
# Versions: tifffile 2026.3.3, imagecodecs 2026.3.6, rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: LERC has no NaN in its pixels: GDAL's encoder puts them into the blob's own mask and GDAL's decoder puts NaN back.
#   imagecodecs.lerc_decode returns pixels without the mask unless it is asked for it (masks=True), and the masked ones
#   are 0, a valid value. tifffile decodes with it and does not ask. No error or warning; the file says nothing
#   about a mask outside of the blob, and it needs no nodata for this.
# Output seen: rasterio: nan; tifffile: 0.0; lerc_decode: 0.0; lerc_decode(masks=True): 0.0 and a mask that is False there. The same
#   for LERC_DEFLATE and LERC_ZSTD with rasterio and tifffile.
# Way out: lerc_decode(masks=True), and NaN where the mask is False for float pixels (for integers: the file's nodata).
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q tifffile==2026.3.3 imagecodecs==2026.3.6 rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys

import imagecodecs
import numpy as np
import rasterio
import tifffile
from rasterio.transform import from_origin

print("tifffile", tifffile.__version__, "imagecodecs", imagecodecs.__version__, "rasterio", rasterio.__version__)
pixels = np.arange(1, 65, dtype="float32").reshape(8, 8)
pixels[2, 3] = np.nan
others = ~np.isnan(pixels)
changed = []
for compress in ("LERC", "LERC_DEFLATE", "LERC_ZSTD"):
    with rasterio.open(
        "a.tif", "w", driver="GTiff", width=8, height=8, count=1, dtype="float32", compress=compress,
        crs="EPSG:4326", transform=from_origin(10, 50, 1, 1),
    ) as dataset:
        dataset.write(pixels, 1)
    with rasterio.open("a.tif") as dataset:
        by_gdal = dataset.read(1)
    by_tifffile = tifffile.imread("a.tif")
    print(f"{compress}: rasterio {by_gdal[2, 3]}, tifffile {by_tifffile[2, 3]}")
    if not np.array_equal(by_gdal, pixels, equal_nan=True) or by_tifffile[2, 3] != 0:
        changed.append(compress)
    if not np.array_equal(by_tifffile[others], pixels[others]):
        changed.append(f"{compress}, other pixels")
    if compress == "LERC":
        with tifffile.TiffFile("a.tif") as tif:
            (offset,), (count,) = tif.pages[0].dataoffsets, tif.pages[0].databytecounts
        with open("a.tif", "rb") as file:
            file.seek(offset)
            blob = file.read(count)
        decoded = imagecodecs.lerc_decode(blob)
        masked, mask = imagecodecs.lerc_decode(blob, masks=True)
        print(f"lerc_decode {decoded[2, 3]}, with masks=True {masked[2, 3]} and {mask[2, 3]}")
        if decoded[2, 3] != 0 or mask[2, 3] or not mask[others].all():
            changed.append("lerc_decode")
if changed:
    sys.exit(f"NaN is read otherwise now: {changed}")
PY
cd "$work"
venv/bin/python script.py
