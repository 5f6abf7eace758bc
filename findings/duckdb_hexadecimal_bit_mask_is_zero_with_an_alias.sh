#!/usr/bin/env bash
# DuckDB: `SELECT qa & 0x04` is no error and 0 for every pixel: it reads (qa & 0) and a column name, x04.
#
# Versions: duckdb 2.0.1 and 1.5.5 (Python 3.11, Linux).
# Behaviour: bits of quality bands are told in hexadecimal or binary (0x04, 0b100). DuckDB's documentation says that it
#   has no such literals; one expects an error. But a number ends where a letter begins, and a word behind an expression
#   is its alias, with no AS between. So at the end of an item of a SELECT list, 0x04 is the number 0 and the column name
#   x04, and the bit is never set. In the middle of an expression, and in WHERE, the same text is a syntax error, so
#   that a query that was tried there looks as if the SELECT list were right. The same holds for 0b100 and 0o17. The
#   page on literals itself writes 0b101::INT without quotes as an example, which is a syntax error.
# Output seen, for the values 3, 4 and 5: SELECT qa & 0x04 and SELECT qa & 0b100: a column x04 or b100 of 0, 0, 0. With
#   '0x04'::INT: 0, 4, 4. WHERE (qa & 0x04) = 0x04: a syntax error.
# Way out: qa & 4, qa & (1 << 2), or qa & '0x04'::INT. Look at the names of the columns that come back.
# Exit code: 0 while this is so, non-zero once it has changed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1

cat >"$work/script.py" <<'PY'
import sys

import duckdb

print("duckdb", duckdb.__version__)
con = duckdb.connect()
con.execute("CREATE TABLE pixels AS SELECT * FROM (VALUES (3), (4), (5)) AS t(qa)")


def asked(sql):
    """Names of columns and values; the error's first word where there is one."""
    try:
        answer = con.execute(sql)
        return [column[0] for column in answer.description], [row[0] for row in answer.fetchall()]
    except duckdb.Error as error:
        return type(error).__name__


seen = {
    sql: asked(sql)
    for sql in (
        "SELECT qa & 0x04 FROM pixels",
        "SELECT qa & 0b100 FROM pixels",
        "SELECT qa & '0x04'::INT AS bit FROM pixels",
        "SELECT qa & 4 AS bit FROM pixels",
        "SELECT qa FROM pixels WHERE (qa & 0x04) = 0x04",
        "SELECT 0b101::INT",
    )
}
for sql, found in seen.items():
    print(f"{sql}: {found}")
right = (["bit"], [0, 4, 4])
sys.exit(
    list(seen.values())
    != [(["x04"], [0, 0, 0]), (["b100"], [0, 0, 0]), right, right, "ParserException", "ParserException"]
)
PY
for version in 2.0.1 1.5.5; do
  python3 -m venv "$work/$version"
  "$work/$version/bin/pip" install -q "duckdb==$version"
  "$work/$version/bin/python" "$work/script.py"
done
