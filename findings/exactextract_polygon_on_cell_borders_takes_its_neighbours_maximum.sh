#!/usr/bin/env bash
# exactextract: the min, max, unique and values of a polygon on cell borders can be those of the cells next to it.
#
# Versions: exactextract 0.3.0, shapely 2.2.0, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: a polygon is made of whole cells, its corners being column * resolution. Nothing outside of it should count,
#   and for most of such polygons nothing does. Where the two multiplications are rounded differently, the polygon
#   reaches over the border by 1e-16, the cell beyond is covered by that share, and it takes part: with no visible weight
#   in mean, sum and count, but with all of its value in min, max, unique and values. One in twelve of the polygons is
#   affected on a grid of 0.1 degrees, none on one of 10 metres or of 1/8 degree, so that a test with round numbers does
#   not show it. Zones that were made from pixels (tiles, administrative rasters turned to polygons, chips of a grid of
#   longitudes) are such polygons. With nodata beyond the border the answer is right, with a cloud it is the cloud.
# Output seen, cells of 1 within 740 polygons and of 9 outside: resolution 0.1: max is 9 for 60 of them, with a mean of 1
#   to 14 digits; columns 1 to 6: max 9.0, count 5.000000000000001; resolutions 10 and 0.125: none.
# Way out: min_coverage_frac, as in max(min_coverage_frac=1e-6); or shrink the polygon by a small part of a cell.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q exactextract==0.3.0 shapely==2.2.0 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from shapely.geometry import box, mapping

print("exactextract", version("exactextract"), "shapely", version("shapely"))
columns = 40
statistics = ["max", "mean", "count", "guarded=max(min_coverage_frac=1e-6)"]
changed = []
for resolution, expected in ((0.1, 60), (10.0, 0), (0.125, 0)):
    wrong, guarded, furthest, shown = 0, 0, 0.0, None
    for first in range(37):
        for end in range(first + 1, 39):
            pixels = np.full((3, columns), 9.0)
            pixels[:, first:end] = 1
            raster = NumPyRasterSource(pixels, xmin=0, ymin=0, xmax=columns * resolution, ymax=3 * resolution)
            zone = box(first * resolution, 0, end * resolution, resolution)
            feature = {"type": "Feature", "properties": {}, "geometry": mapping(zone)}
            answer = exact_extract(raster, feature, statistics)[0]["properties"]
            furthest = max(furthest, abs(answer["mean"] - 1))
            guarded += answer["guarded"] != 1
            if answer["max"] != 1:
                wrong, shown = wrong + 1, shown or (first, end, answer)
    print(f"resolution {resolution}: max is the neighbours' for {wrong} of 740, guarded for {guarded}")
    print(f"    mean off by at most {furthest:.0e}; first of them (first column, end, answer): {shown}")
    if wrong != expected or furthest > 1e-13 or guarded:
        changed.append(resolution)
sys.exit(f"no longer so for {changed}" if changed else 0)
PY
cd "$work"
venv/bin/python script.py
