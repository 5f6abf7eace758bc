#!/usr/bin/env bash
# pyogrio: with use_arrow=True a time just before a full minute is saved as second 60, and its column is read as text.
#
# Versions: pyogrio 0.13.0 with its GDAL 3.12.4, geopandas 1.2.0, pandas 2.3.3, pyarrow 26.0.1, shapely 2.2.0, numpy
#   2.4.6 (Python 3.11, Linux).
# Behaviour: GeoPackage, FlatGeobuf and GeoJSON as GDAL writes them keep milliseconds; scenes of Landsat, for example,
#   have times with microseconds. write_dataframe cuts the rest off. With use_arrow=True, which is to be the faster way
#   to the same file, the seconds alone are rounded: 2023-12-31T23:59:59.999700Z is written as 23:59:60.000, which is no
#   time (nor a leap second, there was none). Nothing is said on writing. On reading, one such value among thousands
#   makes the whole column text, with a warning: comparisons with times fail, or compare texts. It takes one time in
#   120,000, so that only large catalogs meet it. All other times differ between the two ways of writing as well, by a
#   millisecond in half of the cases: a join by time of two files of the same frame loses these rows.
# Output seen, for all three formats: plain: datetime64[ms, UTC], 2023-12-31 23:59:59.999; use_arrow, the time in the
#   first or in the second row: object, "2023-12-31T23:59:60Z". Of 1,000 random times 512 differ between the two.
#   GeoParquet: as given.
# Way out: floor the times to milliseconds before writing (`.dt.floor("ms")`), or write GeoParquet.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pyogrio==0.13.0 geopandas==1.2.0 pandas==2.3.3 pyarrow==26.0.1 shapely==2.2.0 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys
import warnings

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio

print("pyogrio", pyogrio.__version__, "GDAL", pyogrio.__gdal_version_string__, "pandas", pd.__version__)
warnings.filterwarnings("ignore", "Error parsing datetimes")
DRIVERS = {"GPKG": "gpkg", "FlatGeobuf": "fgb", "GeoJSON": "geojson"}


def frame(times):
    times = pd.Series(np.array(times, "datetime64[us]")).dt.tz_localize("UTC")
    points = gpd.points_from_xy(np.zeros(len(times)), np.zeros(len(times)))
    return gpd.GeoDataFrame({"n": range(len(times)), "time": times}, geometry=points, crs="EPSG:4326")


def saved(scenes, driver, **options):
    path = f"scenes.{DRIVERS[driver]}"
    pyogrio.write_dataframe(scenes, path, driver=driver, **options)
    return pyogrio.read_dataframe(path).sort_values("n")["time"].reset_index(drop=True)


late, usual = "2023-12-31T23:59:59.999700", "2023-06-01T10:20:30.123400"
offsets = np.random.default_rng(0).integers(0, 50 * 10**6, 1000)
many = frame(np.datetime64("2023-06-01T10:20", "us") + offsets)
changed = []
for driver in DRIVERS:
    plain = saved(frame([late, usual]), driver)
    first = saved(frame([late, usual]), driver, use_arrow=True)
    other = saved(frame([usual, late]), driver, use_arrow=True)
    differ = int((saved(many, driver) != saved(many, driver, use_arrow=True)).sum())
    print(f"{driver}: plain {plain.dtype} {plain[0]}; use_arrow, first row {first.dtype} {first[0]}, second row {other.dtype} {other[1]}; "
          f"{differ} of 1,000 times differ")
    if str(plain.dtype) != "datetime64[ms, UTC]" or plain[0] != pd.Timestamp("2023-12-31T23:59:59.999Z"):
        changed.append(f"{driver}, plain")
    if first.dtype != object or other.dtype != object or ":60" not in first[0] or ":60" not in other[1]:
        changed.append(f"{driver}, use_arrow")
    if not 400 < differ < 600:
        changed.append(f"{driver}, many times")
    floored = many.assign(time=many["time"].dt.floor("ms"))
    if not (saved(floored, driver, use_arrow=True) == floored["time"]).all():
        changed.append(f"{driver}, way out")
many.to_parquet("scenes.parquet")
if not (gpd.read_parquet("scenes.parquet")["time"] == many["time"]).all():
    changed.append("GeoParquet")
if changed:
    sys.exit(f"times are saved otherwise now: {changed}")
PY
cd "$work"
venv/bin/python script.py
