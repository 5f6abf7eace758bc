from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from tests.sql_runner import Host, MismatchError, ParseError, Skipped, parse, run_file


def run(tmp_path: Path, text: str, **host) -> int:
    path = tmp_path / "a.test"
    path.write_text(text)
    return run_file(path, Host(duckdb.connect, **host))


PASSING = """\
# every kind of record
set two 2
statement ok
CREATE TABLE t AS SELECT range AS i, range / 3 AS r, NULL AS n, '' AS e FROM range(3)

query IRTT
FROM t ORDER BY i
----
0\t0\tNULL\t(empty)
1\t0.3333333\tNULL\t(empty)
2\t0.6666667\tNULL\t(empty)

query RI rowsort
SELECT r, i FROM t ORDER BY i DESC
----
0.66666667\t2
0.0\t0
0.33333333\t1

query I valuesort
SELECT unnest([3, 1, ${two}])
----
1
2
3

query T
SELECT 1 WHERE false
----

query TTTT
SELECT [1, NULL], {'a': 'x', 'b': true}, 'tab\there'::BLOB, 'tab' || chr(9) || 'and' || chr(10)
----
[1, NULL]\t{'a': x, 'b': true}\ttab\\x09here\ttab\\tand\\n

query R
SELECT unnest(['nan'::DOUBLE, 'inf'::DOUBLE, 1.5::DECIMAL(3, 1)])
----
nan
inf
1.5

statement error
SELECT nope()
----
nope does not exist

statement error
SELECT nope()
----
<REGEX>: with name .* does not

onlyif duckdb<1
statement ok
SELECT broken(

skipif duckdb>=1
statement ok
SELECT broken(

reset

statement error
FROM t
----
t does not exist
"""


def test_everything_that_a_file_can_say(tmp_path):
    assert run(tmp_path, PASSING) == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("statement maybe\nSELECT 1\n", "1: statement is ok or error"),
        ("\n\nhalt\n", "3: unknown directive 'halt'"),
        ("loop i 0 3\n", "1: unknown directive"),
        ("statement ok\n\n", "1: statement has no SQL"),
        ("statement ok\nSELECT 1\n----\n1\n", "1: statement ok expects nothing"),
        ("statement error\nSELECT nope()\n", "1: statement error needs ----"),
        ("statement error\nSELECT nope()\n----\n\n", "1: statement error needs ----"),
        ("query\nSELECT 1\n----\n1\n", "1: query takes column types"),
        ("query X\nSELECT 1\n----\n1\n", "1: query takes column types"),
        ("query I sorted\nSELECT 1\n----\n1\n", "1: query takes column types"),
        ("query I\nSELECT 1\n", "1: query needs ----"),
        ("query II\nSELECT 1, 2\n----\n1 2\n", "4: 2 columns are declared, the row has 1"),
        ("require spatial\n", "1: require takes a condition"),
        ("skipif windows\nstatement ok\nSELECT 1\n", "1: skipif takes a condition"),
        ("skipif duckdb>=2\n", "stands before nothing"),
        ("skipif spark\nstatement ok\nSELECT 1\n", "1: skipif spark says why"),
        ("onlyif spark for a reason\nstatement ok\nSELECT 1\n", "1: onlyif takes a condition"),
        ("requests many\n", "1: requests is written"),
        ("udf_rows f\n", "1: udf_rows is written"),
        ("set x\n", "1: set takes a name"),
        ("reset now\n", "1: unknown directive"),
        ("# nothing\n", "1: the file has no records"),
        ("statement ok\nSELECT '${WHERE}'\n", "1: ${WHERE} is not set"),
        ("statement error\nSELECT nope()\n----\n<REGEX>: (\n", "1: not a regular expression"),
        ("requests 1\n", "1: requests needs a range server"),
        ("statement ok\nSELECT 1\n\nudf_rows f 1\n", "1: udf_rows needs a host"),
    ],
)
def test_what_it_does_not_know_is_a_parse_error(tmp_path, text, message):
    with pytest.raises(ParseError, match=re.escape(message)):
        run(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("statement ok\nSELECT nope()\n", "1: failed: .*nope"),
        ("statement error\nSELECT 1\n----\nx\n", "1: no error"),
        ("statement error\nSELECT nope()\n----\nsomething else\n", "and lacks\nsomething else"),
        ("query I\nSELECT 1\n----\n2\n", 'row 1, column "1": expected 2, got 1'),
        ("query I\nSELECT 1.5\n----\n1.5\n", "declared I but is"),
        ("query I\nSELECT true\n----\n1\n", "declared I but is True"),
        ("query R\nSELECT 1\n----\n1\n", "declared R but is 1"),
        ("query R\nSELECT 1.00001::DOUBLE\n----\n1\n", "expected 1, got 1.00001"),
        ("query R\nSELECT 1e-5::DOUBLE\n----\n0\n", "expected 0, got 1e-05"),
        ("query R\nSELECT NULL::DOUBLE\n----\n0\n", "expected 0, got NULL"),
        ("query I\nSELECT 1\n----\n1\n1\n", "2 rows expected, got 1"),
        ("query I\nSELECT 1\n----\n", "0 rows expected, got 1"),
        ("query II\nSELECT 1\n----\n", "2 columns are declared, the result has 1"),
        ("query I\nSELECT unnest([2, 1])\n----\n1\n2\n", "row 1"),
        ("query T\nSELECT NULL\n----\n(empty)\n", "got NULL"),
        ("query TI valuesort\nSELECT 'a', 1\n----\na\t1\n", "valuesort needs columns of one type"),
    ],
)
def test_what_is_not_so_is_a_mismatch(tmp_path, text, message):
    with pytest.raises(MismatchError, match=message):
        run(tmp_path, text)


def test_rows_are_fetched_to_the_end(tmp_path):
    text = "statement error\nSELECT CASE WHEN range > 4000 THEN error('late') END FROM range(5000)\n----\nlate\n"
    assert run(tmp_path, text) == 1


def test_require_leaves_the_rest_out(tmp_path):
    with pytest.raises(Skipped, match="needs duckdb>=99"):
        run(tmp_path, "require duckdb>=99\nstatement ok\nSELECT broken(\n")
    assert run(tmp_path, "require duckdb>=1\nstatement ok\nSELECT 1\n") == 1


@pytest.mark.parametrize(("version", "runs"), [("1.5.6", 1), ("2.0.0", 2), ("2.1.0-dev3", 2)])
def test_conditions_compare_versions(tmp_path, version, runs):
    text = "statement ok\nSELECT 1\n\nskipif duckdb<2\nstatement ok\nSELECT 2\n"
    assert run(tmp_path, text, version=version) == runs


def test_traffic_and_rows_are_those_of_the_last_statement(tmp_path):
    seen = {"requests": 5, "bytes": 100, "rows": 7}

    def connect():
        connection = duckdb.connect()

        def read(n: int) -> int:
            seen["requests"] += 1
            seen["bytes"] += 10
            seen["rows"] += 1
            return n

        connection.create_function("read", read, side_effects=True)
        return connection

    path = tmp_path / "a.test"
    path.write_text(
        "query I\nSELECT read(range) FROM range(3)\n----\n0\n1\n2\n\nrequests 3 bytes 30\nrequests <=4\n"
        "udf_rows read 3\n\n"
        "statement ok\nSELECT 1\n\nrequests 0\nudf_rows read 0\n"
    )
    traffic = lambda: (seen["requests"], seen["bytes"])  # noqa: E731
    host = Host(connect, traffic=traffic, udf_rows=lambda _connection, _name: seen["rows"])
    assert run_file(path, host) == 2
    path.write_text("statement ok\nSELECT read(1)\n\nrequests 2\n")
    with pytest.raises(MismatchError, match=r"4: the last statement made 1 requests, expected 2"):
        run_file(path, host)
    path.write_text("statement ok\nSELECT read(1)\n\nudf_rows read <=0\n")
    with pytest.raises(MismatchError, match=r"1 rows reached read"):
        run_file(path, host)


def test_a_variable_may_be_made_when_it_is_first_used(tmp_path):
    made = []

    def start() -> str:
        made.append(1)
        return "http://localhost"

    assert run(tmp_path, "statement ok\nSELECT 1\n", variables={"SERVER": start}) == 1
    assert not made
    text = "query T\nSELECT '${SERVER}/x'\n----\n${SERVER}/x\n"
    assert run(tmp_path, text, variables={"SERVER": start}) == 1
    assert made


def test_conditions_belong_to_the_next_record_only():
    records = parse(Path("x.test"), "skipif duckdb>=2\nstatement ok\nSELECT 1\n\nstatement ok\nSELECT 2\n")
    assert [r.conditions for r in records] == [(("skipif", "duckdb>=2"),), ()]
    assert [r.line for r in records] == [2, 5]


@pytest.mark.parametrize(("spark", "statements"), [(False, 2), (True, 1)])
def test_spark_leaves_out_what_says_why_and_counts_nothing(tmp_path, spark, statements):
    text = "skipif spark typeof has other names\nstatement ok\nSELECT 1\n\nstatement ok\nSELECT 2\n"
    text += "\nrequests 0\n\nudf_rows f 0\n"
    counted = {"traffic": lambda: (0, 0), "udf_rows": lambda _connection, _name: 0}
    assert run(tmp_path, text, spark=spark, **({} if spark else counted)) == statements
