#!/usr/bin/env bash
# xarray: the weighted mean of an image of 3000 is 75000 with a mask of uint8 as weights, and 9.92 for int16 pixels.
#
# Versions: xarray 2026.9.0, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: `da.mean()` and `da.sum()` of small integers are computed in float64 and int64. `da.weighted(w)` adds up
#   products in the type of pixels and weights together, and the weights in their own type, and both wrap around
#   silently: 1,600 weights of 1 in uint8 are 64. So a mask read from a file (uint8, 0 and 1) spoils the mean of float
#   pixels from 256 valid ones on, and float pixels alone do not help; int16 and uint8 pixels are spoiled by a mask of
#   bool, which xarray turns into integers for the sum of the weights, but not for the products. Means, sums, standard
#   deviations and sums of weights are wrong alike. A test on a few pixels is right, and the wrong mean depends on the
#   size of the image (and, with dask, on that of the chunks), so that it may look like a value of the image.
# Output seen, 40 x 40 pixels of one value, weights of 1, weighted mean: float32 3000, weights uint8: 75000; int64 3000,
#   uint8: 75000; int16 3000, bool: 9.92; int16 3000, uint8: 248; uint8 100, bool: 0; float32 3000, bool: 3000; any
#   pixels with weights of int64 or float32: right. All are right for 2 pixels, and with mean() and numpy.average.
# Way out: da.weighted(w.astype("float64")), whatever the types are.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q xarray==2026.9.0 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys

import numpy as np
import xarray as xr

print("xarray", xr.__version__, "numpy", np.__version__)
changed = []
for dtype, value, weight, expected in (
    ("float32", 3000, "uint8", 75000),
    ("int64", 3000, "uint8", 75000),
    ("int16", 3000, "bool", 9.92),
    ("int16", 3000, "uint8", 248),
    ("uint8", 100, "bool", 0),
    ("float32", 3000, "bool", 3000),
    ("int16", 3000, "int64", 3000),
    ("int16", 3000, "float32", 3000),
    ("uint8", 100, "float64", 100),
):
    image = xr.DataArray(np.full((40, 40), value, dtype), dims=("y", "x"))
    mask = xr.DataArray(np.ones((40, 40), weight), dims=("y", "x"))
    weighted, plain = float(image.weighted(mask).mean()), float(image.mean())
    of_numpy = float(np.average(image.values, weights=mask.values))
    few = float(image[0, :2].weighted(mask[0, :2]).mean())
    weights = float(image.weighted(mask).sum_of_weights())
    print(f"{dtype} {value}, weights {weight}: weighted {weighted:g}, sum of weights {weights:g}, "
          f"mean {plain:g}, numpy.average {of_numpy:g}, of 2 pixels {few:g}")
    if not np.allclose((weighted, plain, of_numpy, few), (expected, value, value, value)):
        changed.append((dtype, weight))
sys.exit(f"no longer so for {changed}" if changed else 0)
PY
cd "$work"
venv/bin/python script.py
