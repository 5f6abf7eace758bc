#!/usr/bin/env bash
# GDAL: a GDAL_NODATA tag whose text is no number ("None", "n/a", "-nan") is nodata 0, and all pixels of value 0 are masked.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, tifffile 2026.3.3, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: the tag is text, and other programs write into it what they have: str(None) in Python, or "-nan", which is what C's
#   printf makes of a NaN with its sign set. GDAL knows "nan"; of any other text it takes the number at its beginning, and 0
#   where there is none, without a warning. So a float raster with "-nan" has its zeros masked and its NaN counted, and a
#   mask (0 and 1) with "None" loses all of its zeros. "nan" on 64-bit integers is 0 too, on uint8 it is no nodata at all.
#   An empty text is no nodata, as one would expect.
# Output seen: nodata 0.0 for "None" and "n/a" (uint8, float32, int64), "-nan" (all three) and "nan" (int64); nan for "nan" on
#   float32; none for an empty text.
# Way out: read the tag 42113 yourself and refuse, or ignore with a warning, a text that is not wholly a number.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q tifffile==2026.3.3 rasterio==1.4.4 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys
import warnings

import numpy as np
import rasterio
import tifffile

warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__, "tifffile", tifffile.__version__)
zero, seven = [0, 255, 255], [255, 0, 255]
nothing = [255, 255, 255]
expected = {
    ("uint8", "7"): seven, ("uint8", ""): nothing, ("uint8", "None"): zero, ("uint8", "n/a"): zero,
    ("uint8", "-nan"): zero, ("uint8", "nan"): nothing,
    ("float32", "7"): seven, ("float32", ""): nothing, ("float32", "None"): zero, ("float32", "n/a"): zero,
    ("float32", "-nan"): zero, ("float32", "nan"): nothing,
    ("int64", "7"): seven, ("int64", ""): nothing, ("int64", "None"): zero, ("int64", "n/a"): zero,
    ("int64", "-nan"): zero, ("int64", "nan"): zero,
}
changed = []
for (dtype, text), mask in expected.items():
    tag = (42113, "s", len(text) + 1, text, True)
    tifffile.imwrite("a.tif", np.array([[0, 7, 9]], dtype), extratags=[tag], photometric="minisblack")
    with rasterio.open("a.tif") as dataset:
        seen = dataset.read_masks(1)[0].tolist()
        print(f"{dtype} {text!r}: nodata {dataset.nodata}, mask of 0, 7, 9: {seen}")
    if seen != mask:
        changed.append((dtype, text))
if changed:
    sys.exit(f"other masks now for {changed}")
PY
cd "$work"
venv/bin/python script.py
