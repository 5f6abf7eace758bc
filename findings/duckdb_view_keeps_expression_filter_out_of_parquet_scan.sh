#!/usr/bin/env bash
# DuckDB: a filter on an expression reaches the Parquet scan when the file is named directly, but not through a view of it.
#
# Versions: duckdb 2.0.1 and 1.5.5 (Python 3.11, Linux).
# Behaviour: WHERE i * 2 + 1 > 100 on 'a.parquet' is evaluated inside the scan, so that pages of other columns can be left
#   unread. Over CREATE VIEW v AS SELECT * FROM 'a.parquet', or SELECT * FROM (SELECT * FROM 'a.parquet'), which change
#   nothing in the answer, the same filter stays in an operator above the scan. A filter on a bare column (i > 100) goes
#   into the scan in all of these. So it is not the view that hinders, and looking at one plan with a plain filter
#   does not show it; a column that is computed in the view itself (SELECT *, i * 2 + 1 AS e FROM 'a.parquet') does get its
#   filter into the scan.
# Output seen, of EXPLAIN (FORMAT json): "scan" for the file, for e computed beside it, and for every filter on i; "filter above the
#   scan" for the expression over the view and over the nested SELECT *. The same in both versions.
# Way out: compute the column in the same SELECT that reads the file; add a condition on the bare column where one follows.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1

cat >"$work/script.py" <<'PY'
import json
import sys

import duckdb

con = duckdb.connect()
con.execute("COPY (SELECT range AS i FROM range(1000)) TO 'a.parquet' (FORMAT parquet)")
con.execute("CREATE VIEW plain AS SELECT * FROM 'a.parquet'")
con.execute("CREATE VIEW computed AS SELECT *, i * 2 + 1 AS e FROM 'a.parquet'")


def operators(node):
    nodes = node if isinstance(node, list) else [node]
    for one in nodes:
        yield (one.get("name") or one.get("operator_type") or "").strip().upper()
        yield from operators(one.get("children", []))


def place(source, condition):
    (row,) = con.execute(f"EXPLAIN (FORMAT json) SELECT * FROM {source} WHERE {condition}").fetchall()
    names = list(operators(json.loads(row[1])))
    assert any("SCAN" in name or "PARQUET" in name for name in names), names
    return "filter above the scan" if "FILTER" in names else "scan"


changed = []
for source, condition, wanted in (
    ("'a.parquet'", "i * 2 + 1 > 100", "scan"),
    ("computed", "e > 100", "scan"),
    ("plain", "i * 2 + 1 > 100", "filter above the scan"),
    ("(SELECT * FROM 'a.parquet')", "i * 2 + 1 > 100", "filter above the scan"),
    ("plain", "i > 100", "scan"),
    ("(SELECT * FROM 'a.parquet')", "i > 100", "scan"),
):
    (rows,) = con.execute(f"SELECT count(*) FROM {source} WHERE {condition}").fetchone()
    seen = place(source, condition)
    print(f"duckdb {duckdb.__version__}: FROM {source} WHERE {condition}: {seen}, {rows} rows")
    if seen != wanted:
        changed.append((source, condition))
if changed:
    sys.exit(f"the filter is evaluated elsewhere now: {changed}")
PY

for version in 2.0.1 1.5.5; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q "duckdb==$version"
  (cd "$work" && "$version/bin/python" script.py)
done
