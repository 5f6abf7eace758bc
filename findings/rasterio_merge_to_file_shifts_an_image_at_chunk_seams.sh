#!/usr/bin/env bash
# rasterio: merge() into a file puts one image at several places, a pixel apart, in the chunks of mem_limit.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: merge() copies an image whose grid is not that of the mosaic to whole pixels, and rounds its place: down,
#   save for the last tenth of a pixel. With `dst_path` a mosaic of more than `mem_limit` (64 MB by default) is made in
#   chunks, and the place is rounded for each chunk, against the chunk's corner, where the image is cut and the rest of
#   a pixel is rounded in another way. In the chunk in which an image begins it lies at one pixel, in the next chunks it
#   is a pixel off: a row and a column of it are doubled or missing at the seams. It needs a mosaic above 64 MB and
#   images that are off each other by more than half of a pixel, so that small tests do not show it. The description of
#   mem_limit speaks of memory only.
# Output seen, an image of 300 x 300 that lies 100.6 rows and 200.6 columns within the mosaic (401 x 501): merge() in
#   memory: all of its pixels at (100, 200); into a file, mem_limit=64: the same; mem_limit=0.05: 7 percent of its
#   pixels at (100, 200), 12 at (100, 201), 31 at (101, 200) and 50 at (101, 201). An image that lies 100.4 rows and
#   200.4 columns within: all at (100, 200).
# Way out: mem_limit above the size of the mosaic; or bring the images onto one grid first (WarpedVRT,
#   target_aligned_pixels of one's own).
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
from rasterio.merge import merge
from rasterio.transform import from_origin

SIZE = 300


def write(path, pixels, row, col):
    with rasterio.open(
        path, "w", driver="GTiff", width=SIZE, height=SIZE, count=1, dtype="uint16", nodata=0,
        crs="EPSG:32632", transform=from_origin(500_000 + 10 * col, 5_000_000 - 10 * row, 10, 10),
    ) as dataset:
        dataset.write(pixels, 1)


def shares(mosaic, image):
    """{place: share} of the pixels of the image that are found at each of four places of its upper left corner."""
    places = [(row, col) for row in (100, 101) for col in (200, 201)]
    found = {}
    for row, col in places:
        part = mosaic[row : row + SIZE, col : col + SIZE]
        found[row, col] = float((part == image[: part.shape[0], : part.shape[1]]).sum()) / image.size
    return {place: round(share, 2) for place, share in found.items() if share > 0.01}


print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
image = np.random.default_rng(0).permutation(np.arange(1, SIZE * SIZE + 1) % 60_000 + 1).reshape(SIZE, SIZE).astype("uint16")
write("first.tif", np.full((SIZE, SIZE), 65_000, "uint16"), 0, 0)
changed = []
for part in (0.4, 0.6):
    write("second.tif", image, 100 + part, 200 + part)
    sources = ["second.tif", "first.tif"]
    seen = {"memory": shares(merge(sources)[0][0], image)}
    for limit in (64, 0.05):
        merge(sources, dst_path="mosaic.tif", mem_limit=limit)
        with rasterio.open("mosaic.tif") as dataset:
            seen[limit] = shares(dataset.read(1), image)
    print(f"image at row {100 + part}, column {200 + part}:")
    for name, found in seen.items():
        print(f"  {name}: {found}")
    whole = {(100, 200): 1.0}
    if seen["memory"] != whole or seen[64] != whole or (seen[0.05] != whole) != (part > 0.5):
        changed.append(part)
    if part > 0.5 and len(seen[0.05]) != 4:
        changed.append("places")
if changed:
    sys.exit(f"images are placed otherwise now: {changed}")
PY
cd "$work"
venv/bin/python script.py
