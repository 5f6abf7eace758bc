"""The shell's boxes are DuckDB's: the oracle is what `show()` prints of the same statement."""

from __future__ import annotations

import contextlib
import io

import duckdb
import pyarrow as pa
import pytest

from rasteret_sql.cli.box import draw
from rasteret_sql.cli.messages import visible
from rasteret_sql.cli.result import Formatter, run, unique_names
from tests.sampling import some

CHIP = (
    "{'data': '\\x00\\x01'::BLOB, 'mask': NULL::BLOB, 'dtype': 'uint8', 'bands': ['a'], 'height': 1, 'width': 2, "
    "'transform': [1, 0, 0, 0, -1, 0]::DOUBLE[6], 'crs': 'EPSG:32633', 'nodata': NULL::DOUBLE}"
)


@pytest.fixture
def connection():
    with duckdb.connect() as opened:
        opened.execute("SET python_enable_replacements = false")
        yield opened


@pytest.fixture
def box(connection):
    formatter = Formatter()

    def drawn(sql, width=100, max_rows=40, encoding="utf-8"):
        return draw(run(connection, sql), formatter, max_rows=max_rows, width=width, encoding=encoding)[0]

    yield drawn
    formatter.close()


def shown(connection, sql, width=100, max_rows=40):
    """What DuckDB prints, without blanks at the ends of lines."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        connection.sql(sql).show(max_width=width, max_rows=max_rows)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().split("\n"))


def cells(text):
    return [line.strip("│ ") for line in text.split("\n") if line.startswith("│")][2:]


@pytest.mark.parametrize(
    "sql",
    some(
        [
            "SELECT 1 AS a, 'x' AS name, NULL::DOUBLE AS \"a value\" UNION ALL SELECT 20, 'é', 0.5",
            "SELECT 1 AS a WHERE false",
            "SELECT 1 AS a, 'x' AS A, NULL::INTEGER AS a",
            "SELECT 255::UTINYINT, (-9223372036854775808)::BIGINT, 18446744073709551615::UBIGINT, 'it''s \"é\"', ''",
            "SELECT 1 AS a, 2 AS A, '1'::BIT AS a",
            "SELECT range AS i, range * 2 AS j, 'row ' || range AS name FROM range(60)",
            "SELECT '数据数据数据数据数据数据' AS name, 1 AS n",
            "SELECT 1::HUGEINT AS h, 2::UHUGEINT AS u, '12:00:00+01'::TIMETZ AS t, 12::BIGNUM AS b, '{}'::JSON AS j",
            "SELECT 'a' || chr(27) || '[31m' || chr(10) || 'b' || chr(9) AS t",
            "SELECT [{'a': 1, 'b': NULL}] AS s, MAP {'k': 1.5} AS m, 'ab'::BLOB AS b, DATE '2024-01-02' AS d",
            "SELECT repeat('long text ', 40) AS t",
        ],
        8,
    ),
)
@pytest.mark.parametrize("width", [80, 200])
def test_the_box_is_duckdbs(connection, box, sql, width):
    assert box(sql, width) == shown(connection, sql, width)


@pytest.mark.parametrize(
    "sql",
    ["SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00' AS t", "SELECT [{'t': TIMESTAMPTZ '2024-07-01 00:00:00+00'}] AS t"],
)
def test_times_are_in_the_zone_of_the_connection(connection, box, sql):
    for zone, time in (("America/New_York", "-0"), ("Asia/Kathmandu", "+05:45")):
        connection.execute(f"SET TimeZone = '{zone}'")
        assert box(sql) == shown(connection, sql)
        assert time in box(sql)


@pytest.mark.parametrize("width", some([80, 110, 200], 3))
def test_every_type_is_drawn_as_duckdb_draws_it(connection, box, width):
    # Arrow has no tuples, and no bits inside a list
    sql = "SELECT COLUMNS(lambda name: name NOT IN ('tuple', 'medium_enum', 'large_enum', 'bit')) FROM test_all_types()"
    assert box(sql, width) == shown(connection, sql, width)


@pytest.mark.parametrize("rows", some([0, 1, 3, 4, 7, 8, 9, 2047, 2048, 2049, 4097, 9999], 3))
def test_first_and_last_rows_and_the_count_of_all(connection, box, rows):
    """DuckDB itself shows so of results up to its 10,000 rows."""
    sql = f"SELECT range AS i, 'row' AS name, 'wide enough for the line below it' AS more FROM range({rows})"
    assert box(sql, max_rows=4) == shown(connection, sql, max_rows=4)


def test_long_results_end_with_their_last_row(box):
    text = box("SELECT range AS i, 'x' AS name FROM range(123456)", max_rows=4)
    assert cells(text)[-1].split("│")[0].strip() == "123455"
    assert "123456 rows" in text
    assert "(4 shown)" in text
    lines = box("SELECT range AS i FROM range(123456)", max_rows=6).split("\n")
    assert cells("\n".join(lines)) == ["0", "1", "2", "·", "·", "·", "123453", "123454", "123455"]
    assert max(map(len, lines)) == len(lines[0])


def test_a_result_is_computed_once(connection, box):
    calls = []

    def counted(value: int) -> int:
        calls.append(value)
        return value

    connection.create_function("counted", counted, side_effects=True)
    box("SELECT counted(range::INT) AS i FROM range(5000)", max_rows=4)
    assert sorted(calls) == list(range(5000))


def test_chips_and_blobs_are_told_not_spilled(box):
    text = box(f"SELECT {CHIP} AS chip, 'ab'::BLOB AS key, repeat('x', 2000)::BLOB AS picture, NULL::BLOB AS no")
    assert cells(text) == ["chip 1×1×2 uint8 EPSG:32633 │ ab   │ BLOB of 2,000 bytes │ NULL"]
    names, types = ([cell.strip() for cell in line.split("│")[1:-1]] for line in text.split("\n")[1:3])
    assert names == ["chip", "key", "picture", "no"]
    assert types == ["chip", "blob", "blob", "blob"]


@pytest.mark.parametrize("columns", [f"{CHIP} AS c, *", f"*, {CHIP} AS c"])
def test_a_chip_is_called_one_where_columns_are_left_out(box, columns):
    text = box(f"SELECT {columns} FROM test_all_types()", 80)
    names, types = ([cell.strip() for cell in line.split("│")[1:-1]] for line in text.split("\n")[1:3])
    assert "…" in names
    assert types.count("chip") == 1
    assert names[types.index("chip")] == "c"
    assert len({len(line) for line in text.split("\n")[:4]}) == 1


def test_text_cannot_move_the_cursor_or_turn_the_line(box):
    text = box("SELECT 'a' || chr(27) || '[31m' || chr(155) || '2J' || chr(10) || chr(8238) || 'b' || chr(127) AS t")
    assert "a\\e[31m2J\\nb" in text
    assert text.replace("\n", "").isprintable()
    assert len({len(line) for line in text.split("\n")}) == 1


def test_messages_without_controls():
    assert visible("a\x1b[31m\nb\t\u202e") == "a\\x1b[31m\\nb\\t\\x202e"
    assert visible("plain é 数") == "plain é 数"


def test_ascii_where_the_terminal_has_no_lines(box):
    assert box("SELECT range AS a FROM range(100)", encoding="ascii", max_rows=4).isascii()
    assert box("SELECT 1 AS a", encoding="ascii").split("\n")[0] == "+-------+"


def test_the_same_name_twice_in_a_file():
    assert unique_names(["a", "A", "a_1", "a"]) == ["a", "A_2", "a_1", "a_3"]


def test_statements_without_rows_give_no_table(connection):
    for sql in (
        "CREATE TABLE t (a INT)",
        "INSERT INTO t VALUES (1)",
        "SET threads = 1",
        "BEGIN",
        "COMMIT",
        "CHECKPOINT",
    ):
        assert run(connection, sql) is None
    assert connection.sql("FROM t").fetchall() == [(1,)]
    assert run(connection, "INSERT INTO t VALUES (2) RETURNING a").reader.read_all() == pa.table(
        {"a": pa.array([2], pa.int32())}
    )
    assert run(connection, 'SELECT 1::BIGINT AS "Count"').reader.read_all().num_rows == 1
