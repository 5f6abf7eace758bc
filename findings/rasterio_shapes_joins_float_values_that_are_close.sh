#!/usr/bin/env bash
# rasterio: features.shapes() on floats puts different values into one polygon, as dates (20240101) that are days apart.
#
# Versions: rasterio 1.4.4 with its GDAL 3.10.3, shapely 2.2.0, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: float32 and float64 are among the dtypes that shapes() says it takes. Both are handed to GDAL as float32,
#   and GDAL takes two neighbours for equal that are up to ten steps of float32 apart. For numbers like 20240101 a step
#   is 2: a raster of acquisition dates, or of identifiers, which became float where pixels were masked, gives one
#   polygon for days up to 20 apart; as neighbours are compared in turn, a row of twenty rising values is one polygon,
#   too. Its value is that of one of its pixels, rounded to float32, so not even one of the dates in it. float64 numbers
#   beyond float32 come back as inf. The same values as int32 give a polygon each. No error, no warning.
# Output seen, (value, number of pixels) of each polygon for 20240101, 20240102, 20240109, 20240131, 20240301: int32:
#   five of one pixel; float32 and float64: (20240108, 3), (20240132, 1), (20240300, 1). 20 values from 20000000 to
#   20000038 in steps of 2: float64 (20000038, 20). 0.1 in float64 comes back as 0.10000000149011612.
# Way out: number the values (numpy.unique with return_inverse), shapes() of these numbers as int32, and the values by
#   number.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q rasterio==1.4.4 shapely==2.2.0 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys

import numpy as np
import rasterio
from rasterio.features import shapes
from shapely.geometry import shape

print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
dates = [20240101, 20240102, 20240109, 20240131, 20240301]
rising = list(range(20_000_000, 20_000_040, 2))


def polygons(values, dtype):
    found = [(value, int(shape(polygon).area)) for polygon, value in shapes(np.array([values], dtype))]
    print(f"{dtype}, {values[0]} .. {values[-1]} ({len(values)} values): {found}")
    return found


exact = polygons(dates, "int32")
joined = [polygons(dates, dtype) for dtype in ("float32", "float64")]
chain = polygons(rising, "float64"), polygons(rising, "int32")
rounded = polygons([0.1, 1e300], "float64")
numbers = np.unique(np.array(dates, "float64"), return_inverse=True)
numbered = [(numbers[0][int(number)], pixels) for number, pixels in polygons(numbers[1].tolist(), "int32")]
each = [(float(date), 1) for date in dates]
if exact != each or numbered != each or len(chain[1]) != 20:
    sys.exit("the integers used for comparison give other polygons now")
if joined != [[(20240108.0, 3), (20240132.0, 1), (20240300.0, 1)]] * 2 or chain[0] != [(20000038.0, 20)]:
    sys.exit("close floats give other polygons now")
if rounded != [(float(np.float32(0.1)), 1), (float("inf"), 1)]:
    sys.exit("float64 values are returned otherwise now")
PY
cd "$work"
venv/bin/python script.py
