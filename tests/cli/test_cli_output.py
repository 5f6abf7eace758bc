from __future__ import annotations

import csv
import io
import json
import os
import subprocess

import duckdb
import pyarrow.parquet as pq
import pytest

from rasteret_sql.cli.output import Output
from rasteret_sql.cli.result import run
from rasteret_sql.errors import InvalidArgumentError
from tests.cli.processes import SHELL, environment
from tests.sampling import some


@pytest.fixture
def connection():
    with duckdb.connect() as opened:
        opened.execute("SET python_enable_replacements = false")
        yield opened


def written(connection, form, path, *statements):
    output = Output(form, path)
    try:
        for sql in statements:
            output.write(run(connection, sql))
        output.commit()
    finally:
        output.close()
    return path.read_bytes()


MIXED = "SELECT range AS i, 'a,\"' || range AS t, CASE WHEN range = 1 THEN NULL ELSE range / 2 END AS r FROM range(3)"


def test_csv(connection, tmp_path):
    text = written(connection, "csv", tmp_path / "a.csv", MIXED).decode()
    assert list(csv.reader(io.StringIO(text))) == [
        ["i", "t", "r"],
        ["0", 'a,"0', "0.0"],
        ["1", 'a,"1', ""],
        ["2", 'a,"2', "1.0"],
    ]


def test_csv_of_nothing_has_its_header(connection, tmp_path):
    assert written(connection, "csv", tmp_path / "a.csv", "SELECT 1 AS a, 2 AS b WHERE false") == b"a,b\n"


def test_csv_has_times_in_the_zone_of_the_connection(connection, tmp_path):
    connection.execute("SET TimeZone = 'America/New_York'")
    sql = "SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00' AS t"
    ((expected,),) = connection.execute(f"SELECT t::VARCHAR FROM ({sql})").fetchall()
    assert expected == "2023-12-31 19:00:00-05"
    assert written(connection, "csv", tmp_path / "a.csv", sql).decode() == f"t\n{expected}\n"


def test_integers_of_39_digits(connection, tmp_path):
    largest = {"h": 2**127 - 1, "u": 2**128 - 1, "n": None}
    sql = f"SELECT {largest['h']}::HUGEINT AS h, {largest['u']}::UHUGEINT AS u, NULL::HUGEINT AS n"
    assert json.loads(written(connection, "json", tmp_path / "a.json", sql)) == [largest]
    assert written(connection, "csv", tmp_path / "a.csv", sql).decode() == f"h,u,n\n{2**127 - 1},{2**128 - 1},\n"


def test_json(connection, tmp_path):
    text = written(connection, "json", tmp_path / "a.json", MIXED)
    assert json.loads(text) == [
        {"i": 0, "t": 'a,"0', "r": 0.0},
        {"i": 1, "t": 'a,"1', "r": None},
        {"i": 2, "t": 'a,"2', "r": 1.0},
    ]
    assert json.loads(written(connection, "json", tmp_path / "b.json", "SELECT 1 AS a WHERE false")) == []
    nested = "SELECT {'a': [1, 2], 'b': 'x' || chr(10) || 'y'} AS s, '{\"k\": 1}'::JSON AS j"
    assert json.loads(written(connection, "json", tmp_path / "c.json", nested)) == [
        {"s": {"a": [1, 2], "b": "x\ny"}, "j": {"k": 1}}
    ]


@pytest.mark.parametrize("rows", some([0, 1, 2048, 2049, 5000], 4))
@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_every_row_is_there_once(connection, tmp_path, form, rows):
    data = written(connection, form, tmp_path / "a", f"SELECT range AS i FROM range({rows})")
    if form == "parquet":
        got = pq.read_table(io.BytesIO(data))["i"].to_pylist()
    elif form == "json":
        got = [row["i"] for row in json.loads(data)]
    else:
        got = [int(line) for line in data.decode().split()[1:]]
    assert got == list(range(rows))


def test_parquet_keeps_types_geometry_and_double_names(connection, tmp_path):
    sql = "SELECT 'POINT (1 2)'::GEOMETRY AS geom, sum(1) AS a, now() AS a, '\\x00\\xFF'::BLOB AS b, uuid() AS u"
    written(connection, "parquet", tmp_path / "a.parquet", sql)
    file = pq.read_table(tmp_path / "a.parquet")
    assert file.column_names == ["geom", "a", "a_1", "b", "u"]
    assert b"geo" in pq.read_metadata(tmp_path / "a.parquet").metadata
    assert file["a"].to_pylist() == [1]
    assert file["b"].to_pylist() == [b"\x00\xff"]
    rows = duckdb.sql(f"SELECT typeof(a_1), typeof(u), st_astext(geom) FROM '{tmp_path}/a.parquet'").fetchall()
    assert rows == [("TIMESTAMP WITH TIME ZONE", "UUID", "POINT (1 2)")]


def test_parquet_holds_one_result(connection, tmp_path):
    with pytest.raises(InvalidArgumentError, match="holds one result"):
        written(connection, "parquet", tmp_path / "a.parquet", "SELECT 1", "SELECT 2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "table"])
def test_a_file_appears_whole_or_not_at_all(connection, tmp_path, form):
    (tmp_path / "a").write_text("old")
    with pytest.raises((duckdb.Error, OSError), match=r"^Invalid Input Error: late"):
        written(
            connection, form, tmp_path / "a", "SELECT CASE WHEN range > 4000 THEN error('late') END FROM range(5000)"
        )
    assert (tmp_path / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]
    # The connection is free again.
    assert connection.sql("SELECT 1").fetchall() == [(1,)]


def test_plans_are_shown_as_they_are(connection, tmp_path):
    text = written(connection, "table", tmp_path / "a", "EXPLAIN SELECT 42").decode()
    assert "explain_key" not in text
    assert "42" in text


def test_unknown_format(tmp_path):
    with pytest.raises(InvalidArgumentError, match=r'no output format "xml": choose table, line, markdown, csv'):
        Output("xml", tmp_path / "a")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_a_device_is_written_itself(connection, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    output = Output("csv", pipe)
    output.write(run(connection, "SELECT 1 AS a"))
    output.commit()
    output.close()
    assert os.read(reading, 100) == b"a\n1\n"
    os.close(reading)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_place_that_cannot_be_written_is_named_as_given(connection, tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"the output .*/none/a\.csv cannot be written: No such file"):
        written(connection, "csv", tmp_path / "none" / "a.csv", "SELECT 1")


@pytest.mark.exhaustive
def test_no_progress_bar_of_duckdb_is_written_into_a_file(tmp_path):
    sql = "SET progress_bar_time = 0; SELECT sum(a.range % 7 * b.range) AS s FROM range(20_000) a, range(3_000) b"
    done = subprocess.run(
        [*SHELL, "-f", "csv", "-c", sql], capture_output=True, env=environment(tmp_path), timeout=120, check=False
    )
    assert done.stdout == f"s\n{sum(a % 7 for a in range(20_000)) * sum(range(3_000))}\n".encode()
