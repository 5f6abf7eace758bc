#!/usr/bin/env bash
# DuckDB: a GEOMETRY without a CRS is OGC:CRS84 after COPY to Parquet, also where its coordinates are metres.
#
# Versions: duckdb 2.0.1 and 1.5.5, geopandas 1.2.0, pyarrow 26.0.1 (Python 3.11, Linux).
# Behaviour: GEOMETRY and GEOMETRY('OGC:CRS84') are two types, and the first says that nothing is known. WKT and WKB
#   give the first. COPY writes the same metadata for both, without "crs", which GeoParquet reads as OGC:CRS84; for
#   "unknown" it has "crs": null, which DuckDB reads but does not write. So footprints in UTM metres come back as
#   longitudes of 500,000 degrees, with a CRS that nobody gave. geopandas, which is told the same, writes null and gets
#   None back. With GEOPARQUET_VERSION 'V2' or 'BOTH' two readers disagree about one file: DuckDB looks at the type of
#   the column and finds no CRS, geopandas looks at the metadata and finds OGC:CRS84.
# Output seen for POINT(500000 5000000) without a CRS, type read by DuckDB, CRS read by geopandas: plain COPY and 'V1':
#   GEOMETRY('OGC:CRS84'), OGC:CRS84; 'V2' and 'BOTH': GEOMETRY, OGC:CRS84; file of geopandas: GEOMETRY, None. The same
#   in both versions.
# Way out: give the CRS before COPY (ST_SetCRS), or correct it after reading; no Parquet for geometry of unknown CRS.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1

cat >"$work/script.py" <<'PY'
import sys

import duckdb
import geopandas
from shapely.geometry import Point

print("duckdb", duckdb.__version__, "geopandas", geopandas.__version__)
con = duckdb.connect()
con.execute("CREATE TABLE footprints AS SELECT 'POINT(500000 5000000)'::GEOMETRY AS g")
declared = con.execute("DESCRIBE footprints").fetchall()[0][1]
crs84 = "GEOMETRY('OGC:CRS84')"
changed = [] if declared == "GEOMETRY" else ["the table"]
for what, option, expected in (
    ("as it is", "", (crs84, "OGC:CRS84")),
    ("V1", ", GEOPARQUET_VERSION 'V1'", (crs84, "OGC:CRS84")),
    ("V2", ", GEOPARQUET_VERSION 'V2'", ("GEOMETRY", "OGC:CRS84")),
    ("BOTH", ", GEOPARQUET_VERSION 'BOTH'", ("GEOMETRY", "OGC:CRS84")),
    ("geopandas", None, ("GEOMETRY", None)),
):
    path = f"{what}.parquet"
    if option is None:
        geopandas.GeoDataFrame(geometry=[Point(500000, 5000000)], crs=None).to_parquet(path)
    else:
        con.execute(f"COPY footprints TO '{path}' (FORMAT parquet{option})")
    table = con.execute(f"DESCRIBE FROM '{path}'").fetchall()[0][1]
    frame = geopandas.read_parquet(path)
    crs = None if frame.crs is None else frame.crs.to_string()
    print(f"{what}: {declared} written, DuckDB reads {table}, geopandas reads {crs}, x {frame.geometry.iloc[0].x:.0f}")
    if (table, crs) != expected:
        changed.append(what)
if changed:
    sys.exit(f"no longer so for {changed}")
PY

for version in 2.0.1 1.5.5; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q "duckdb==$version" geopandas==1.2.0 pyarrow==26.0.1
  (cd "$work" && "$version/bin/python" script.py)
done
