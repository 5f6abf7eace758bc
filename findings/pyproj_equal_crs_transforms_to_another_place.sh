#!/usr/bin/env bash
# pyproj: a CRS that "is" EPSG:2000 by `==`, `equals` and `to_epsg` is moved to a place 568 m away from EPSG:2000's.
#
# Versions: pyproj 3.7.2 with its PROJ 9.5.1 (Python 3.11, Linux).
# Behaviour: take EPSG:2000 (Anguilla 1957 / British West Indies Grid) with all its parameters, but with the names
#   "unknown" and without ids, as many writers and WKT converters leave it. `crs == CRS(2000)`, `crs.equals(CRS(2000))`,
#   and `crs.to_epsg() == 2000` are all true (`to_epsg(min_confidence=100)` gives None). A Transformer to EPSG:4326 finds no datum shift for the
#   nameless datum and uses a "ballpark" one (none at all), while EPSG:2000 gets its own: the same coordinates land 568 m
#   apart. Between the two CRSs themselves the transformation is a no-op. So a CRS must not be replaced by one
#   that compares equal, in a cache for example, nor a code be shown for it, if places matter.
# Output seen: equal in all three ways; is_exact_same False; 568.3 m; "Ballpark geographic offset from unknown to WGS 84".
# Way out: `is_exact_same`, or a look at the datum's name; `Transformer.from_crs(..., allow_ballpark=False)` raises.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PROJ_NETWORK=OFF
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pyproj==3.7.2

cat >"$work/script.py" <<'PY'
import re
import sys

import pyproj
from pyproj import CRS, Geod, Transformer

registered = CRS.from_epsg(2000)
wkt = registered.to_wkt()
wkt = re.sub(r',ID\["EPSG",\d+\]', "", wkt)
wkt = re.sub(r",USAGE\[.*\]\]", "]", wkt)
for name in ("Anguilla 1957 / British West Indies Grid", "Anguilla 1957", "Clarke 1880 (RGS)", "British West Indies Grid"):
    wkt = wkt.replace(f'"{name}"', '"unknown"')
print("pyproj", pyproj.__version__, "PROJ", pyproj.proj_version_str)
print(wkt)
nameless = CRS.from_wkt(wkt)
equal = nameless == registered, nameless.equals(registered), nameless.to_epsg()
print("==, equals, to_epsg:", equal, "is_exact_same:", nameless.is_exact_same(registered))
place = 400_000, 2_010_000
moved = [Transformer.from_crs(crs, 4326, always_xy=True) for crs in (registered, nameless)]
(a, b) = (transformer.transform(*place) for transformer in moved)
distance = Geod(ellps="WGS84").inv(*a, *b)[2]
print(a, b, f"{distance:.1f} m")
print("|".join(transformer.description for transformer in moved))
between = Transformer.from_crs(registered, nameless, always_xy=True).transform(*place)
print("between the two:", between)
try:
    Transformer.from_crs(nameless, 4326, always_xy=True, allow_ballpark=False).transform(*place, errcheck=True)
    strict = "no error"
except pyproj.exceptions.ProjError as error:
    strict = type(error).__name__
print("allow_ballpark=False:", strict)
if equal != (True, True, 2000) or between != place:
    sys.exit("the two CRSs do not compare equal any more")
if not 500 < distance < 600:
    sys.exit("the two CRSs are transformed alike now")
if strict == "no error":
    sys.exit("allow_ballpark=False does not refuse the nameless CRS any more")
PY
cd "$work"
venv/bin/python script.py
