#!/usr/bin/env bash
# DuckDB: "x BETWEEN 0 AND 5" finds NaN, and isnan(x) finds none, in a Parquet file that another program wrote.
#
# Versions: duckdb 2.0.1 and 1.5.5, pyarrow 26.0.1, numpy 2.4.6 (Python 3.11, Linux).
# Behaviour: to DuckDB NaN is a value, larger than all others, and so it filters tables. The smallest and largest value
#   in the statistics of Parquet leave NaN out, by the rules of the format, and pyarrow writes them so. DuckDB takes
#   them for the bounds of all values: a filter that is true between them is dropped from the query as always true, one
#   that is false there lets the row group be skipped. Which filters are wrong depends on the other values of the
#   column: two files with the same NaN answer differently. A file that DuckDB wrote itself is filtered rightly, as it
#   writes no bounds for a column with NaN. NaN is the usual "no value" of zonal statistics, and of what numpy and
#   pandas make of them.
# Output seen, rows of [NaN, 1.0] in a table, in DuckDB's own Parquet, in pyarrow's: x BETWEEN 0 AND 5: 1, 1, 2;
#   isnan(x): 1, 1, 0; x > 5: 1, 1, 0; x <= 5: 1, 1, 2; x = 'nan': 1, 1, 0. With can_have_nan: 1 in each. DuckDB 1.5.5:
#   the same, but isnan(x) finds the row, as it is not yet used to skip row groups there.
# Way out: read_parquet(path, can_have_nan := true); or write NULL for NaN, as pyarrow does where it converts from
#   pandas.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1

cat >"$work/script.py" <<'PY'
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

print("duckdb", duckdb.__version__, "pyarrow", pa.__version__)
con = duckdb.connect()
con.execute("CREATE TABLE measured AS SELECT unnest(['nan'::DOUBLE, 1.0::DOUBLE]) AS x")
con.execute("COPY measured TO 'duckdb.parquet' (FORMAT parquet)")
pq.write_table(pa.table({"x": [float("nan"), 1.0]}), "pyarrow.parquet")
sources = ("measured", "'duckdb.parquet'", "'pyarrow.parquet'", "read_parquet('pyarrow.parquet', can_have_nan := true)")
isnan = 0 if duckdb.__version__ == "2.0.1" else 1
expected = {"x BETWEEN 0 AND 5": 2, "isnan(x)": isnan, "x > 5": 0, "x <= 5": 2, "x = 'nan'": 0}
changed = []
for condition, wrong in expected.items():
    counts = [con.execute(f"SELECT count(*) FROM {one} WHERE {condition}").fetchall()[0][0] for one in sources]
    print(f"{condition}: table {counts[0]}, DuckDB's file {counts[1]}, pyarrow's {counts[2]}, with can_have_nan {counts[3]}")
    if counts != [1, 1, wrong, 1]:
        changed.append(condition)
if changed:
    sys.exit(f"other rows are found now with {changed}")
PY

for version in 2.0.1 1.5.5; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q "duckdb==$version" pyarrow==26.0.1 numpy==2.4.6
  (cd "$work" && "$version/bin/python" script.py)
done
