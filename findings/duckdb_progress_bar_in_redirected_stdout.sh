#!/usr/bin/env bash
# DuckDB's Python package writes its progress bar into stdout, also where stdout is a file or a pipe.
#
# Versions: duckdb 2.0.1 and 1.5.5 (Python 3.11, Linux).
# Behaviour: in a script, with no terminal anywhere, `enable_progress_bar` and `enable_progress_bar_print` are true. A
#   query that takes longer than `progress_bar_time` (2000 ms; 0 here, to be quick) draws its bar on stdout, between
#   what the program itself prints. A program that writes CSV or JSON to stdout ends up with carriage returns, block
#   characters and "elapsed" inside it, and only for slow queries, so tests on small data do not show it.
#   DuckDB's own command-line shell asks whether it writes to a terminal; the package does not.
# Output seen, of `python script.py > out.csv`: the header line "n", then a line that begins with \r and holds the bar
#   ("100% ▕████...▏ (00:00:00.xx elapsed)"), then the value.
# Way out: SET enable_progress_bar_print = false (query_progress() of the connection still tells how far a query is).
# Exit code: 0 while this is so, 1 once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1

cat >"$work/script.py" <<'PY'
import sys

import duckdb

con = duckdb.connect()
if sys.argv[1:] == ["off"]:
    con.execute("SET enable_progress_bar_print = false")
con.execute("SET progress_bar_time = 0")
print("n", flush=True)
rows = con.execute("SELECT sum(a.range % 7 * b.range) FROM range(60_000) a, range(6_000) b").fetchall()
print(rows[0][0], flush=True)
PY

changed=0
for version in 2.0.1 1.5.5; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q "duckdb==$version"
  "$work/$version/bin/python" "$work/script.py" >"$work/bar.csv" </dev/null
  "$work/$version/bin/python" "$work/script.py" off >"$work/plain.csv" </dev/null
  printf 'duckdb %s: %s bytes with the bar, %s without\n' "$version" "$(wc -c <"$work/bar.csv")" "$(wc -c <"$work/plain.csv")"
  if ! grep -q 'elapsed' "$work/bar.csv"; then
    echo "duckdb $version: no bar in a redirected stdout any more"
    changed=1
  fi
  if [[ $(wc -l <"$work/plain.csv") -ne 2 ]]; then
    echo "duckdb $version: with enable_progress_bar_print = false there are not just two lines"
    changed=1
  fi
done
exit "$changed"
