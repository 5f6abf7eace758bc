#!/usr/bin/env bash
# GDAL and libtiff: a big-endian GeoTIFF with "lossless" LERC loses pixels, and with MAX_Z_ERROR is off by far more.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, imagecodecs 2026.3.6, tifffile 2026.3.3, numpy 2.4.6 (Python 3.11,
#   Linux).
# Behaviour: on writing, libtiff brings the samples into the byte order of the file before it hands them to the codec.
#   For codecs of bytes that is right. LERC is a codec of numbers: it gets numbers whose bytes are turned round, keeps
#   these within MAX_Z_ERROR, and a change of 1 in the turned value is one of 256 (int16) in the real one. A float whose
#   turned bytes are those of a NaN is put into LERC's mask and is lost also without MAX_Z_ERROR, at which LERC is
#   lossless; a reader gives 0 or another number for it. Writing raises no error and no warning. Since the blob in the
#   file is that of turned numbers, every reader is affected, and no reader can bring the values back.
# Output seen, largest error of 4,096 pixels: int16 with MAX_Z_ERROR=1: little-endian 1, big-endian 256; float32 without
#   MAX_Z_ERROR: little-endian 0, big-endian 5852, in 11 pixels (of values about 5000), all of them with a NaN for their
#   turned bytes; ZSTD, big-endian: 0.
# Way out: ENDIANNESS=LITTLE (or none given, on usual machines) for LERC; compare after writing.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 imagecodecs==2026.3.6 tifffile==2026.3.3 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys

import numpy as np
import rasterio
import tifffile
from rasterio.transform import from_origin

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__, "tifffile", tifffile.__version__)
values = np.random.default_rng(0).normal(5000, 1000, (64, 64))
changed = []
for dtype, compress, bound in (("int16", "LERC", 1), ("float32", "LERC", 0), ("int16", "LERC", 0), ("float32", "ZSTD", 0)):
    for order in ("LITTLE", "BIG"):
        pixels = values.astype(dtype)
        options = {"MAX_Z_ERROR": bound} if bound else {}
        with rasterio.open(
            "a.tif", "w", driver="GTiff", width=64, height=64, count=1, dtype=dtype, compress=compress, ENDIANNESS=order,
            crs="EPSG:32632", transform=from_origin(500_000, 5_000_000, 10, 10), **options,
        ) as dataset:
            dataset.write(pixels, 1)
        with rasterio.open("a.tif") as dataset:
            by_gdal = dataset.read(1)
        errors = [np.abs(seen - pixels.astype(float)) for seen in (by_gdal, tifffile.imread("a.tif"))]
        largest, over = [float(error.max()) for error in errors], errors[0] > bound
        turned = pixels.byteswap()
        at_nan = over.any() and bool(np.isnan(turned[over]).all()) if dtype == "float32" else False
        print(
            f"{compress}, {dtype}, MAX_Z_ERROR {bound}, {order}: largest error by GDAL and tifffile {largest}, "
            f"{over.sum()} pixels off by more, all with a NaN for their turned bytes: {at_nan}"
        )
        if order == "BIG" and (dtype, compress, bound) == ("int16", "LERC", 1):
            as_seen = min(largest) >= 256
        elif order == "BIG" and (dtype, compress, bound) == ("float32", "LERC", 0):
            as_seen = min(largest) > 1000 and over.sum() == np.isnan(turned).sum() > 0 and at_nan
        else:
            as_seen = not over.any()
        if not as_seen:
            changed.append((dtype, compress, bound, order))
if changed:
    sys.exit(f"other errors now for {changed}")
PY
cd "$work"
venv/bin/python script.py
