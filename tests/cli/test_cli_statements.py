from __future__ import annotations

import time

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasteret_sql.cli.statements import Statement, StatementReader, is_complete, split_statements

HIDDEN = [
    "SELECT 'a;b'",
    "SELECT 'it''s; fine'",
    "SELECT e'a\\';b'",
    'SELECT 1 AS "semi;colon"',
    'SELECT 1 AS "quo""te;"',
    "SELECT $$ ; $$",
    "SELECT $tag$ ; $$ ; $tag$",
    "SELECT 1 -- not; here",
    "SELECT /* ; /* ; */ ; */ 1",
    "SELECT 1 AS a$b",
]


@pytest.mark.parametrize("sql", HIDDEN)
def test_a_hidden_semicolon_ends_nothing(sql):
    assert [s.text for s in split_statements(f"{sql}\n; SELECT 2")] == [sql, "SELECT 2"]
    # DuckDB cuts at the same places.
    assert len(duckdb.extract_statements(f"{sql}\n; SELECT 2")) == 2


@given(st.lists(st.sampled_from([*HIDDEN, "", "-- c", "/* ; */", "SELECT 3"]), max_size=6))
def test_as_many_statements_as_duckdb_finds(parts):
    text = "\n;".join(parts)
    assert len(split_statements(text)) == len(duckdb.extract_statements(text))


@given(st.text(alphabet="a;'\"$-/*\n.e\\ 1", max_size=40))
def test_nothing_is_lost_and_lines_are_right(text):
    statements = split_statements(text)
    lines = text.split("\n")
    for statement in statements:
        assert statement.text.split("\n")[0].split(";")[0].rstrip() in lines[statement.line - 1]
    assert is_complete(text) or statements


@pytest.mark.parametrize("sql", ["selec 1", 'SELECT ""', "SELECT U&'\\zz'", "SELECT e'\\u12'", ")", "FROM ("])
def test_a_statement_that_is_refused_ends_at_its_semicolon(sql):
    """DuckDB 1.5 gives no tokens from the first thing on that it cannot read; the prompt is not to wait for more."""
    assert [s.text for s in split_statements(f"SELECT 1;\n{sql};")] == ["SELECT 1", sql]
    assert is_complete(f"SELECT 1;\n{sql};")


def test_a_pivot_is_one_statement_as_written():
    sql = "PIVOT (SELECT 1 AS a, 2 AS b) ON a USING sum(b)"
    assert [s.text for s in split_statements(f"{sql}; SELECT 2")] == [sql, "SELECT 2"]


def test_lines_are_counted_from_the_first_word():
    text = "-- head\n\nSELECT 1;\n  -- more\nSELECT\n 2; SELECT 3;\n.mode csv\nSELECT 4"
    expected = [("SELECT 1", 3), ("SELECT\n 2", 5), ("SELECT 3", 6), (".mode csv", 7), ("SELECT 4", 8)]
    assert [(s.text, s.line) for s in split_statements(text)] == expected


def test_a_dot_begins_a_command_only_where_a_statement_may():
    assert split_statements(".tables\n") == [Statement(".tables", 1)]
    assert split_statements("SELECT\n.5") == [Statement("SELECT\n.5", 1)]
    assert split_statements("SELECT 1; .mode csv\nSELECT 2") == [
        Statement("SELECT 1", 1),
        Statement(".mode csv", 1),
        Statement("SELECT 2", 2),
    ]
    assert split_statements(".mode csv;") == [Statement(".mode csv", 1)]


def test_statements_come_as_soon_as_they_are_complete():
    reader = StatementReader()
    assert reader.feed("SELECT 'a\n") == []
    assert reader.pending
    assert reader.feed("b';\n") == [Statement("SELECT 'a\nb'", 1)]
    assert not reader.pending
    assert reader.feed("  \n-- nothing\n") == []
    assert not reader.pending
    assert reader.feed("SELECT 2") == []
    assert reader.finish() == [Statement("SELECT 2", 5)]
    assert reader.finish() == []


@pytest.mark.parametrize("text", ["", "  ", ".help", "SELECT 1;", "SELECT 1; -- done", ";", "/* c */"])
def test_complete(text):
    assert is_complete(text)


@pytest.mark.parametrize("text", ["SELECT 1", "SELECT ';", "SELECT 1; SELECT", "SELECT /* ;", "/* c", "SELECT $$;"])
def test_not_complete(text):
    assert not is_complete(text)


@pytest.mark.exhaustive
def test_a_long_statement_takes_linear_time():
    reader = StatementReader()
    start = time.thread_time()
    reader.feed("INSERT INTO t VALUES\n")
    for _ in range(100_000):
        reader.feed("(1, 'abc'),\n")
    assert len(reader.feed("(2, 'd');\n")) == 1
    assert time.thread_time() - start < 10
