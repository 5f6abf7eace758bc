#!/usr/bin/env bash
# rasterio: a nodata value of int64 or uint64 from 1e17 on is read back as its first digit.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: rasterio hands nodata to GDAL as a double. For a 64-bit integer band GDAL prints that double into the
#   GDAL_NODATA tag, from 1e17 on with an exponent ("-9.2233720368547758e+18"), and parses the tag as an integer when it
#   opens the file: parsing stops at the point or at the "e". While the file is being written, `nodata` is still right.
#   No error and no warning at any time. The lowest value of int64, a common choice, is read as -9: the real nodata
#   pixels count as data, and pixels of value -9 are masked.
# Output seen: written -9223372036854775808, tag -9.2233720368547758e+18, read -9.0; written 10**17, read 1.0;
#   written -10**16 (no exponent yet), read -1e+16.
# Way out: a nodata below 1e17 in size (and below 2**53, to be exact), or a mask band. A reader that meets such a tag on a
#   band of 64-bit integers should parse it as a float and decide itself.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import re
import sys

import numpy as np
import rasterio
from rasterio.transform import from_origin

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
changed = []
for nodata, wrong in ((-(2**63), -9), (10**17, 1), (-(10**17), -1), (-(10**16), None)):
    pixels = np.array([[[nodata, wrong or 5, 0]]], "int64")
    with rasterio.open(
        "a.tif", "w", driver="GTiff", width=3, height=1, count=1, dtype="int64", nodata=nodata,
        crs="EPSG:4326", transform=from_origin(10, 50, 1, 1),
    ) as dataset:
        dataset.write(pixels)
        while_writing = dataset.nodata
    with rasterio.open("a.tif") as dataset:
        read, mask = dataset.nodata, dataset.read_masks(1)[0].tolist()
    tag = re.search(rb"-?\d[\d.]*e\+\d+|-?10000000000000000", open("a.tif", "rb").read())
    print(f"given {nodata}, tag {tag and tag[0].decode()}, while writing {while_writing}, read {read}, mask {mask}")
    expected = (nodata, [0, 255, 255]) if wrong is None else (wrong, [255, 0, 255])
    if (read, mask) != expected or while_writing != nodata:
        changed.append(nodata)
sys.exit(f"no longer so for {changed}" if changed else 0)
PY
cd "$work"
venv/bin/python script.py
