#!/usr/bin/env bash
# pyarrow: a filter "in [0.0]" on a Parquet file finds no row of a row group whose values are all 0.0.
#
# Versions: pyarrow 26.0.1, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: the Parquet format has a writer put a smallest value of 0 down as -0.0 and a largest one as +0.0, so that
#   both zeros are within. A row group of zeros so has min -0.0 and max 0.0, and for pyarrow these are equal: it takes
#   the column for the constant -0.0 and asks whether -0.0 is in the list. "in" compares by hash, for which -0.0 and 0.0
#   are two values, and the row group is left out. An index of scenes sorted by cloud cover loses its cloudless scenes
#   in this way: whole row groups of 0.0. "=" finds them, "in" on a table in memory does, and so does "in" where the row
#   group holds any other value, so that a small test shows nothing. read_table(filters=...) of pyarrow and the
#   read_parquet(filters=...) of pandas and geopandas, which hand their filters on, do the same.
# Output seen, rows found of cloud_cover in (0.0, 1.0) among 4 scenes of 0.0 and 4 of other values: 8 scenes in one row
#   group: 4; row groups of 4, sorted: 0; the same rows in memory: 4; "=": 4; int32 instead of float or double: 4.
# Way out: put -0.0 into the list as well ([-0.0, 0.0, 1.0]), or write the list as "=" joined by "or".
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pyarrow==26.0.1 numpy==2.4.6

cat >"$work/script.py" <<'PY'
import sys

import pyarrow as pa
import pyarrow.parquet as pq

print("pyarrow", pa.__version__)
wanted = [0.0, 1.0]
changed = []
for dtype in (pa.float64(), pa.float32(), pa.int32()):
    scenes = pa.table({"cloud_cover": pa.array([0, 0, 0, 0, 2, 7, 30, 99], dtype)})
    asked = pa.array(wanted, dtype).to_pylist()
    counts = {}
    for rows in (8, 4):
        pq.write_table(scenes, "a.parquet", row_group_size=rows)
        counts[f"in, row groups of {rows}"] = pq.read_table("a.parquet", filters=[("cloud_cover", "in", asked)]).num_rows
    statistics = pq.read_metadata("a.parquet").row_group(0).column(0).statistics
    equal = [[("cloud_cover", "=", value)] for value in asked]
    counts["="] = pq.read_table("a.parquet", filters=equal).num_rows
    counts["in, with -0.0"] = pq.read_table("a.parquet", filters=[("cloud_cover", "in", [-asked[0], *asked])]).num_rows
    counts["in memory"] = scenes.filter(pa.compute.field("cloud_cover").isin(pa.array(asked, dtype))).num_rows
    print(f"{dtype}: first row group from {statistics.min} to {statistics.max}: {counts}")
    expected = dict.fromkeys(counts, 4)
    if pa.types.is_floating(dtype):
        expected["in, row groups of 4"] = 0
    if counts != expected:
        changed.append(str(dtype))
if changed:
    sys.exit(f"other rows are found now: {changed}")
PY
cd "$work"
venv/bin/python script.py
