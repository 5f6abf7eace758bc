#!/usr/bin/env bash
# GDAL: an external mask (.msk) of another size than its raster is accepted, and laid on the upper left corner.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: next to a.tif (4 x 4) lies a.tif.msk of 8 x 8, a mask in double resolution or one of an earlier, larger
#   version of the file. GDAL uses its upper left 4 x 4 pixels as they stand, without scaling and without a warning: the mask
#   of another place, although the georeferencing of the .msk says where it belongs. A mask of 2 x 2 is accepted on opening too
#   (the flags say per_dataset), and only reading it fails.
# Output seen: mask of 8 x 8, left half 255: the raster's mask is 255 everywhere, where the left half was right; 2 x 2: flags
#   per_dataset, then RasterioIOError on read_masks.
# Way out: compare the size of the .msk with the raster's before its mask is believed.
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


def write(path, pixels, size, **tags):
    height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8",
        crs="EPSG:4326", transform=from_origin(10, 50, size, size),
    ) as dataset:
        dataset.write(pixels, 1)
        dataset.update_tags(**tags)


print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
write("a.tif", np.ones((4, 4), "uint8"), 2)
seen = {}
for size in (8, 4, 2):
    mask = np.zeros((size, size), "uint8")
    mask[:, : size // 2] = 255
    write("a.tif.msk", mask, 8 / size, INTERNAL_MASK_FLAGS_1="2")
    with rasterio.open("a.tif") as dataset:
        flags = [flag.name for flag in dataset.mask_flag_enums[0]]
        try:
            seen[size] = dataset.read_masks(1)[0].tolist()
        except rasterio.errors.RasterioIOError as error:
            seen[size] = type(error).__name__
    print(f"mask of {size} x {size}, left half valid: {flags}, first row {seen[size]}")
    if flags != ["per_dataset"]:
        sys.exit(f"the mask of {size} x {size} is not used any more")
if seen != {8: [255] * 4, 4: [255, 255, 0, 0], 2: "RasterioIOError"}:
    sys.exit("a mask of another size is treated otherwise now")
PY
cd "$work"
venv/bin/python script.py
