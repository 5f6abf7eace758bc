#!/usr/bin/env bash
# DuckDB 1.5: after Ctrl-C the next relation over a file fails, too, and every further one says "transaction is aborted".
#
# Versions: duckdb 1.5.5 does it, 2.0.1 does not (Python 3.11, Linux).
# Behaviour: a relation runs a Python function; Ctrl-C raises `RuntimeError: Query interrupted`, where DuckDB's own loop sees
#   the signal, and the function ends with an error a little later. The stopped query stays open, marked as interrupted.
#   con.sql(...) binds before it clears that mark, and opening a Parquet or CSV file looks at it: the statement, which is a
#   new one, ends with `InterruptException: Interrupted!`. Its implicit transaction is then aborted, and no con.sql of any
#   text gets out of that. Statements that open no file (SELECT 42) do not look at the mark and work.
# Output seen: 1.5.5: 4 of 4 statements after RuntimeError fail, then TransactionException; 2.0.1: none.
# Way out: con.execute(...) of anything, for which DuckDB clears up first.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1

cat >"$work/script.py" <<'PY'
import os
import signal
import sys
import threading
import time
from collections import Counter

import duckdb

signal.signal(signal.SIGINT, signal.default_int_handler)
con = duckdb.connect()
con.execute("SET threads = 2")
path = os.path.join(sys.argv[1], "one.parquet")
con.execute(f"COPY (SELECT 42 AS answer) TO '{path}'").fetchall()


def slow(number: int) -> int:
    time.sleep(0.6)
    raise ValueError("stopped")


def outcome(work) -> str:
    try:
        work()
    except Exception as error:
        return type(error).__name__
    return "answer"


con.create_function("slow", slow, ["BIGINT"], "BIGINT")
seen, tries = Counter(), 0
# Which of DuckDB's threads calls the function, and so who sees the signal, is not decided.
while sum(seen.values()) < 4 and tries < 40:
    tries += 1
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    ended = outcome(lambda: con.sql("SELECT slow(range) FROM range(3)").fetchall())
    time.sleep(1)
    if ended == "RuntimeError":
        first = outcome(lambda: con.sql(f"FROM read_parquet('{path}')").fetchall())
        second = outcome(lambda: con.sql(f"FROM read_parquet('{path}')").fetchall())
        seen[first, second] += 1
    con.execute("SELECT 1").fetchall()
    assert con.sql(f"FROM read_parquet('{path}')").fetchall() == [(42,)]
print(f"duckdb {duckdb.__version__}: after RuntimeError {dict(seen)}")
expected = ("InterruptException", "TransactionException") if duckdb.__version__ == "1.5.5" else ("answer", "answer")
if set(seen) != {expected}:
    sys.exit(f"expected {expected} only")
PY

for version in 1.5.5 2.0.1; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q "duckdb==$version" numpy==2.4.6
  timeout 120 "$work/$version/bin/python" "$work/script.py" "$work"
done
