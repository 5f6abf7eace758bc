#!/usr/bin/env bash
# shapely: a GeoJSON Feature without a geometry (null, as the standard allows) ends in an AttributeError.
#
# Versions: shapely 2.2.0, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: RFC 7946 has Features whose "geometry" is null ("unlocated"), and STAC items may be such. shapely takes Features:
#   shape() and from_geojson() give the geometry of one. For an unlocated one shape() fails with AttributeError: 'NoneType'
#   object has no attribute 'get', neither a ValueError nor a ShapelyError, and from_geojson() with a GEOSException about
#   JSON, although the JSON is right. For an empty FeatureCollection from_geojson() gives GEOMETRYCOLLECTION EMPTY and
#   shape() a GeometryTypeError: the two do not take the same input. Code that catches ValueError and ShapelyError
#   around shape() for "no usable geometry" still falls over the most ordinary case.
# Output seen: as above.
# Way out: test feature["geometry"] is None before shape() or from_geojson(); from_geojson(..., on_invalid="ignore") gives None.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q shapely==2.2.0 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import json
import sys

import shapely
from shapely.geometry import shape


def outcome(function, value):
    try:
        return str(function(value))
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:60]}"


print("shapely", shapely.__version__, "GEOS", shapely.geos_version_string)
point = {"type": "Point", "coordinates": [1, 2]}
inputs = {
    "located": {"type": "Feature", "properties": {}, "geometry": point},
    "unlocated": {"type": "Feature", "properties": {}, "geometry": None},
    "collection": {"type": "FeatureCollection", "features": []},
}
seen = {name: (outcome(shape, one), outcome(shapely.from_geojson, json.dumps(one))) for name, one in inputs.items()}
for name, outcomes in seen.items():
    print(f"{name}: shape() {outcomes[0]} | from_geojson() {outcomes[1]}")
ignored = shapely.from_geojson(json.dumps(inputs["unlocated"]), on_invalid="ignore")
print("unlocated, on_invalid='ignore':", ignored)
if seen["located"] != ("POINT (1 2)", "POINT (1 2)"):
    sys.exit("a located feature is read otherwise now")
if not seen["unlocated"][0].startswith("AttributeError") or not seen["unlocated"][1].startswith("GEOSException"):
    sys.exit("an unlocated feature is read otherwise now")
if not seen["collection"][0].startswith("GeometryTypeError") or seen["collection"][1] != "GEOMETRYCOLLECTION EMPTY":
    sys.exit("an empty collection is read otherwise now")
if ignored is not None:
    sys.exit("on_invalid='ignore' gives something else now")
PY
cd "$work"
venv/bin/python script.py
