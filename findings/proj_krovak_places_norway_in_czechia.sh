#!/usr/bin/env bash
# PROJ: EPSG:5514 (Krovak) gives a place in Norway the finite coordinates of a place in Czechia, without an error.
#
# Versions: pyproj 3.7.2 with its PROJ 9.5.1 (Python 3.11, Linux).
# Behaviour: far outside its area of use a projection may be inexact, but one expects either an error or infinity, or
#   coordinates that are at least their own. (8.637 E, 69.288 N), in the sea off northern Norway, becomes
#   (-631831.5, -1164937.1), 21 degrees further south inside Czechia. `errcheck=True` does not help. There and
#   back gives (16.155, 49.124). So a footprint, a bounding box or a point tested in EPSG:5514 "lies in" a Czech raster.
# Output seen: as above; Brno (16.61 E, 49.2 N) comes back to within a metre.
# Way out: finite is not placed: transform back and compare, or test the place against `crs.area_of_use` first.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PROJ_NETWORK=OFF
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pyproj==3.7.2

cat >"$work/script.py" <<'PY'
import math
import sys

import pyproj
from pyproj import CRS, Geod, Transformer

there = Transformer.from_crs(4326, 5514, always_xy=True)
back = Transformer.from_crs(5514, 4326, always_xy=True)
print("pyproj", pyproj.__version__, "PROJ", pyproj.proj_version_str)
west, south, east, north = CRS.from_epsg(5514).area_of_use.bounds
away = {}
for name, place in (("Norway", (8.637, 69.288)), ("Brno", (16.61, 49.2))):
    projected = there.transform(*place, errcheck=True)
    if not all(map(math.isfinite, projected)):
        sys.exit(f"{name}: not finite any more: {projected}")
    returned = back.transform(*projected, errcheck=True)
    away[name] = Geod(ellps="WGS84").inv(*place, *returned)[2]
    inside = west <= returned[0] <= east and south <= returned[1] <= north
    print(f"{name} {place} -> {projected} -> {returned}, {away[name]:.3f} m away, in the area of use: {inside}")
    if not inside:
        sys.exit(f"{name}: not placed within the area of use any more")
if away["Norway"] < 1_000_000 or away["Brno"] > 2:
    sys.exit("there and back gives other places now")
PY
cd "$work"
venv/bin/python script.py
