#!/usr/bin/env bash
# rasterio: read(boundless=True) changes large int64 and uint64 pixels that a plain read of the same window gives exactly.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: with boundless=True rasterio reads through a virtual dataset of its own, whose values pass through a double. A
#   window that lies wholly within the raster is read so as well, although nothing of it is outside. The answer still has the
#   dtype int64 or uint64, and there is no warning: identifiers above 2**53 come back rounded, and the largest uint64, a
#   usual "no value", comes back as 0.
# Output seen, difference from a plain read: int64 2**53 + 1: -1; int64 -2**63 + 1: -1; uint64 2**64 - 1: read as 0; uint32
#   2**32 - 1: 0.
# Way out: intersect the window with the raster yourself, read plainly, and pad with numpy.
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
from rasterio.windows import Window

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
changed = []
for dtype, value, wrong in (
    ("uint32", 2**32 - 1, 2**32 - 1),
    ("int64", 2**53 + 1, 2**53),
    ("int64", -(2**63) + 1, -(2**63)),
    ("uint64", 2**64 - 1, 0),
):
    with rasterio.open(
        "a.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype=dtype,
        crs="EPSG:4326", transform=from_origin(10, 50, 1, 1),
    ) as dataset:
        dataset.write(np.full((1, 4, 4), value, dtype))
    with rasterio.open("a.tif") as dataset:
        plain = int(dataset.read(1, window=Window(0, 0, 2, 2))[1, 1])
        inside = int(dataset.read(1, window=Window(0, 0, 2, 2), boundless=True)[1, 1])
        across = int(dataset.read(1, window=Window(-1, -1, 3, 3), boundless=True)[2, 2])
    print(f"{dtype} {value}: plain {plain}, boundless within {inside}, boundless across the border {across}")
    if (plain, inside, across) != (value, wrong, wrong):
        changed.append((dtype, value))
if changed:
    sys.exit(f"boundless reads give other values now for {changed}")
PY
cd "$work"
venv/bin/python script.py
