#!/usr/bin/env bash
# GDAL: in a GeoTIFF of half floats (NBITS=16) the usual nodata values -9999 and -32767 mask nothing.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, tifffile 2026.3.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: NBITS=16 on float32 stores half floats, to halve the size of embeddings, indices or elevations. Half floats
#   have steps of 8 from 8192 on, of 16 from 16384 on: a pixel of -9999 is stored as -9992. The nodata value stands in
#   the file as text, unrounded, and GDAL compares the pixel that was rounded with the number that was not. For float32
#   of 32 bits it rounds nodata as well, so that -3.4e38 masks. All of nodata counts as data. Nodata beyond 65504 is
#   stored as infinity, and not masked either. No error, no warning. tifffile, which reads half floats as float16,
#   gives the same pixels and the same nodata, but for nodata beyond float16, for which it logs an error and says 0.
# Output seen, pixels [nodata, 1, 2]: -9999: read as -9992, mask [255, 255, 255], mean -3329.67 where 1.5 is right;
#   -32767: -32752, all 255, mean -10916.3; -3.4e38: -inf, all 255, mean -inf; -1000, -9984, -32768 and nan, which half
#   floats hold: [0, 255, 255], 1.5. With 32 bits all of these mask.
# Way out: NaN, or a nodata value that is its own half float (float(numpy.float16(x)) == x), as -1000 or -32768.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 tifffile==2026.3.3 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys

import numpy as np
import rasterio
import tifffile
from rasterio.transform import from_origin

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__, "tifffile", tifffile.__version__)
changed = []
for nodata, held in (
    (-9999, False), (-32767, False), (-3.4e38, False),
    (-1000, True), (-9984, True), (-32768, True), (float("nan"), True),
):
    masks = {}
    for bits in (16, 32):
        with rasterio.open(
            "a.tif", "w", driver="GTiff", width=3, height=1, count=1, dtype="float32", nodata=nodata, nbits=bits,
            crs="EPSG:32632", transform=from_origin(500000, 5000000, 10, 10),
        ) as dataset:
            dataset.write(np.array([[nodata, 1, 2]], "float32"), 1)
        with rasterio.open("a.tif") as dataset:
            pixels, masks[bits] = dataset.read(1)[0], dataset.read_masks(1)[0].tolist()
            mean = dataset.read(1, masked=True).mean(dtype="float64")
        if bits == 16:
            with tifffile.TiffFile("a.tif") as tiff:
                other, other_nodata = tiff.asarray(), tiff.pages[0].nodata
            half = other.dtype == "float16" and np.array_equal(other[0].astype("float32"), pixels, equal_nan=True)
            print(f"nodata {nodata:g}: read {pixels.tolist()}, mask {masks[16]}, mean {mean:.6g}")
            print(f"    tifffile: the same pixels: {half}, nodata {other_nodata}")
            if not half:
                changed.append((nodata, "tifffile"))
    if masks != {16: [0, 255, 255] if held else [255, 255, 255], 32: [0, 255, 255]}:
        changed.append(nodata)
sys.exit(f"no longer so for {changed}" if changed else 0)
PY
cd "$work"
venv/bin/python script.py
