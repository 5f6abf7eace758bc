#!/usr/bin/env bash
# rasterio: a write that fails while the dataset is closed (codec refused, disk full) is no error: zeros or a torn file.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: GDAL keeps blocks in its cache that are not written in one piece, compresses and stores them on closing.
#   What goes wrong then rasterio logs at the level INFO, which nobody sees, and `with` ends without an exception. The
#   same failure does raise where whole blocks are written in one call, so that a small test raises and the program that
#   writes window by window does not. 12-bit JPEG, which the GDAL of the wheels lists as an option (NBITS=12) and its
#   libjpeg refuses, takes the cached way for whole writes as well: the file opens, has the size, type and place that
#   were asked for, no tile in it, and reads as 0. On a full disk (here: a limit on the size of files) the file is torn:
#   it opens, and reading the later tiles fails, or gives zeros where tiles are missing. Whoever deletes the input
#   after the `with` block has lost both.
# Output seen, 1000 x 1000 pixels of uint16, none of them 0, in tiles of 256: JPEG with NBITS=12, at once: no exception,
#   1,000,000 zeros; JPEG without NBITS, at once: RasterioIOError; in windows of 100 x 100: no exception, 1,000,000
#   zeros; no more than 200,000 bytes, at once: RasterioIOError; in windows: no exception, reading fails.
# Way out: write windows that are whole blocks; read back after closing, or look for zeros in the tag TileByteCounts;
#   logging of "rasterio._env" at the level INFO shows the errors.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import resource
import sys

import numpy as np
import rasterio
from rasterio.errors import RasterioIOError
from rasterio.transform import from_origin
from rasterio.windows import Window

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
size = 1000
pixels = np.random.default_rng(0).integers(1, 4000, (size, size)).astype("uint16")
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)


def write(path, step, options):
    with rasterio.open(
        path, "w", driver="GTiff", width=size, height=size, count=1, dtype="uint16", crs="EPSG:32632",
        transform=from_origin(500000, 5000000, 10, 10), tiled=True, blockxsize=256, blockysize=256, **options,
    ) as dataset:
        for row in range(0, size, step):
            for column in range(0, size, step):
                part = pixels[row : row + step, column : column + step]
                dataset.write(part, 1, window=Window(column, row, step, step))


jpeg, jpeg12 = {"compress": "JPEG"}, {"compress": "JPEG", "nbits": 12}
changed = []
for number, (what, options, step, limit, expected) in enumerate((
    ("12-bit JPEG at once", jpeg12, size, None, ("no exception", size * size)),
    ("16-bit JPEG at once", jpeg, size, None, ("RasterioIOError", None)),
    ("16-bit JPEG in windows", jpeg, 100, None, ("no exception", size * size)),
    ("200,000 bytes at once", {}, size, 200_000, ("RasterioIOError", None)),
    ("200,000 bytes in windows", {}, 100, 200_000, ("no exception", "fails")),
    ("no limit in windows", {}, 100, None, ("no exception", 0)),
)):
    path = f"{number}.tif"
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
    try:
        write(path, step, options)
        written = "no exception"
    except RasterioIOError as error:
        written = type(error).__name__
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    zeros = None
    if written == "no exception":
        try:
            with rasterio.open(path) as dataset:
                zeros = int((dataset.read(1) == 0).sum())
        except RasterioIOError:
            zeros = "fails"
    print(f"{what}: {written}; zeros read: {zeros}")
    if (written, zeros) != expected:
        changed.append(what)
sys.exit(f"no longer so for {changed}" if changed else 0)
PY
cd "$work"
venv/bin/python script.py
