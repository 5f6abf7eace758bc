#!/usr/bin/env bash
# GDAL: one value in NODATA_VALUES that the band's type cannot hold switches all masking off, the file's nodata included.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: NODATA_VALUES="7 300" on uint8 bands (or "-1 7", as left behind when int16 was converted to uint8): the mask is 255
#   everywhere. One may expect that; but the bands' own nodata (0 here) no longer masks either, although the flags still
#   say "nodata", and there is no warning.
# Output seen: without NODATA_VALUES: [0, 255, 255]; with "7 7": [255, 0, 255]; with "7 300" or "-1 7": [255, 255, 255].
# Way out: drop NODATA_VALUES when a dtype is converted; a reader should check each listed value against its dtype.
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
expected = {None: [0, 255, 255], "7 7": [255, 0, 255], "7 300": [255] * 3, "-1 7": [255] * 3}
changed = []
for listed, wanted in expected.items():
    with rasterio.open(
        "a.tif", "w", driver="GTiff", width=3, height=1, count=2, dtype="uint8", nodata=0,
        crs="EPSG:4326", transform=from_origin(10, 50, 1, 1),
    ) as dataset:
        dataset.write(np.array([[[0, 7, 9]], [[0, 7, 9]]], "uint8"))
        if listed:
            dataset.update_tags(NODATA_VALUES=listed)
    with rasterio.open("a.tif") as dataset:
        mask = dataset.read_masks(1)[0].tolist()
        print(f"NODATA_VALUES {listed}: {mask}, {[flag.name for flag in dataset.mask_flag_enums[0]]}")
    if mask != wanted:
        changed.append(listed)
if changed:
    sys.exit(f"other masks now for {changed}")
PY
cd "$work"
venv/bin/python script.py
