from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from rasteret_sql.cli.render import ASCII, UNICODE, box_for, collect, draw, fit, type_name, visible
from rasteret_sql.cli.result import Column, Formatter, run, unique_names

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
def table(connection):
    formatter = Formatter()

    def show(sql, width=100, max_rows=40, box=UNICODE):
        return draw(collect(run(connection, sql), formatter, max_rows), width, box)

    yield show
    formatter.close()


def test_a_table(table):
    assert table("SELECT 1 AS a, 'x' AS name, NULL::DOUBLE AS \"a value\" UNION ALL SELECT 20, 'é', 0.5").split(
        "\n"
    ) == [
        "┌─────────┬─────────┬─────────┐",
        "│    a    │  name   │ a value │",
        "│ integer │ varchar │ double  │",
        "├─────────┼─────────┼─────────┤",
        "│       1 │ x       │    NULL │",
        "│      20 │ é       │     0.5 │",
        "└─────────┴─────────┴─────────┘",
    ]


def test_only_the_ends_of_long_results_are_shown(table):
    lines = table("SELECT range AS i FROM range(5000)", max_rows=4).split("\n")
    assert [line.strip("│ ") for line in lines[4:-2]] == ["0", "1", "·", "·", "·", "4998", "4999"]
    assert lines[-1] == "5,000 rows (4 shown)"


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 6, 2047, 2048, 2049, 4097])
def test_every_row_is_counted_and_the_last_is_last(table, rows):
    lines = table(f"SELECT range AS i FROM range({rows})", max_rows=4).split("\n")
    cells = [line.strip("│ ") for line in lines if line.startswith("│")][2:]
    wanted = list(map(str, range(rows)))
    assert cells == (wanted if rows <= 4 else [*wanted[:2], "·", "·", "·", *wanted[-2:]])


def test_chips_and_blobs_are_told_not_spilled(table):
    text = table(f"SELECT {CHIP} AS chip, 'ab'::BLOB AS key, repeat('x', 2000)::BLOB AS picture, NULL::BLOB AS no")
    assert "chip 1×1×2 uint8 EPSG:32633" in text
    assert "BLOB of 2,000 bytes" in text
    assert "│ ab " in text
    assert "NULL" in text


def test_text_cannot_move_the_cursor(table):
    text = table("SELECT 'a' || chr(27) || '[31m' || chr(10) || 'b' || chr(9) || chr(8238) AS t")
    assert "\x1b" not in text
    assert "a\\x1b[31m\\nb\\t\\x202e" in text
    assert visible("plain é 数") == "plain é 数"


@pytest.mark.parametrize("width", [30, 80, 110, 200])
def test_every_type_fits_the_screen(table, width):
    lines = table("FROM test_all_types()", width).split("\n")
    widths = {get_cwidth(line) for line in lines[:-1]}
    assert len(widths) == 1
    assert widths.pop() <= width


def test_wide_letters_keep_the_lines_straight(table):
    lines = table("SELECT '数据数据数据数据数据数据' AS name, 1 AS n", 24).split("\n")
    assert len({get_cwidth(line) for line in lines}) == 1


def test_values_are_those_that_duckdb_writes(connection):
    formatter = Formatter()
    result = run(connection, "SELECT * EXCLUDE (large_enum, medium_enum) FROM test_all_types()")
    shown = [row for batch in result.batches() for row in formatter.rows(result.columns, batch, shorten=False)]
    formatter.close()
    wanted = connection.sql(
        "SELECT COLUMNS(*)::VARCHAR FROM (SELECT * EXCLUDE (large_enum, medium_enum) FROM test_all_types())"
    ).fetchall()
    names = [c.name for c in result.columns]
    different = {
        n for row, other in zip(shown, wanted, strict=True) for n, a, b in zip(names, row, other, strict=True) if a != b
    }
    assert different <= {"tuple"}  # Arrow knows structs only


def test_the_same_name_twice(table):
    assert table("SELECT 1 AS a, 2 AS A, '1'::BIT AS a").split("\n")[-2] == "│       1 │       2 │ 1   │"
    assert unique_names(["a", "A", "a_1", "a"]) == ["a", "A_2", "a_1", "a_3"]


def test_ascii_where_the_terminal_has_no_lines(table):
    assert box_for("ascii") is ASCII
    assert box_for("utf-8") is UNICODE
    assert table("SELECT 1 AS a", box=ASCII).isascii()


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(20, 120))
def test_columns_fit_or_are_left_out(wanted, width):
    least = [min(8, w) for w in wanted]
    kept, widths = fit(wanted, least, width)
    assert len(kept) == len(widths)
    assert kept[0] == 0
    assert kept[-1] == len(wanted) - 1 or len(wanted) == 1
    assert sorted(k for k in kept if k is not None) == [k for k in kept if k is not None]
    assert sum(widths) + 3 * len(widths) + 1 <= width or len(kept) <= 3
    assert all(w <= wanted[k] for k, w in zip(kept, widths, strict=True) if k is not None)


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        ("STRUCT(a INTEGER)[]", "struct[]"),
        ("ENUM('a', 'b')", "enum"),
        ("TIMESTAMP WITH TIME ZONE", "timestamptz"),
        ("DECIMAL(18,3)", "decimal(18,3)"),
        ("MAP(VARCHAR, DOUBLE)", "map"),
    ],
)
def test_types_in_few_letters(type_, name):
    assert type_name(Column("x", type_)) == name


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
