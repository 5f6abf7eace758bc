#!/usr/bin/env bash
# DuckDB: a Python function that fails on constants is called up to ten times in one statement before its error is seen.
#
# Versions: duckdb 2.0.1 and 1.5.5 (Python 3.11, Linux).
# Behaviour: a call whose arguments are all constants is evaluated once while the statement is planned, and its value put in
#   its place. If it raises, the optimizer drops the error and leaves the call, so that a branch that is never taken does
#   not fail the query; but it tries again in each of its passes, and the call runs once more for real. One call in a WHERE
#   clause is so made several times over, one after the other. With a function that opens a file on a slow or
#   missing server, and raises after its timeout, the user waits that many timeouts for one error message.
# Output seen: calls made for SELECT f('a'), and for a WHERE with f('a'): 2.0.1: 3 and 9; 1.5.5: 2 and 10. A call that succeeds: 1.
# Way out: remember the failure by its arguments for the length of a statement; or side_effects=True, which turns the
#   evaluation at planning off.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1

cat >"$work/script.py" <<'PY'
import sys

import duckdb

calls = []


def fails(text: str) -> str:
    calls.append(text)
    raise ValueError("not there")


def works(text: str) -> str:
    calls.append(text)
    return text


con = duckdb.connect()
con.create_function("fails", fails, ["VARCHAR"], "VARCHAR")
con.create_function("works", works, ["VARCHAR"], "VARCHAR")
con.create_function("fails_aside", fails, ["VARCHAR"], "VARCHAR", side_effects=True)


def count(statement):
    calls.clear()
    try:
        con.execute(statement).fetchall()
    except duckdb.Error as error:
        assert "not there" in str(error), error
    print(f"duckdb {duckdb.__version__}: {len(calls)} calls in {statement}")
    return len(calls)


selected = count("SELECT fails('a')")
filtered = count("SELECT * FROM range(10) WHERE fails('a') = 'b'")
aside = count("SELECT * FROM range(1) WHERE fails_aside('a') = 'b'")
good = count("SELECT * FROM range(10) WHERE works('a') = 'b'")
if selected < 2 or filtered < 5:
    sys.exit("a failing call of constants is no longer repeated")
if good != 1 or aside != 1:
    sys.exit("the calls for comparison are made more than once now")
PY

for version in 2.0.1 1.5.5; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q "duckdb==$version" numpy==2.4.6 pyarrow==26.0.1
  "$work/$version/bin/python" "$work/script.py"
done
