from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from rasteret_sql.cli.messages import is_interrupt, readable
from rasteret_sql.errors import InterruptedQueryError, UnknownBandError

MESSAGE = 'unknown band "B99" of collection "bay"; did you mean "B09"? Known: B02, B03\nsecond line: with a colon'


@pytest.fixture
def connection():
    with duckdb.connect() as opened:

        def fails(_value):
            raise UnknownBandError(MESSAGE)

        def quiet(_value):
            raise ValueError

        def stopped(_value):
            raise InterruptedQueryError("the query was interrupted")

        for kind, type_ in (("native", "VARCHAR"), ("arrow", "VARCHAR")):
            opened.create_function(f"fails_{kind}", fails, ["VARCHAR"], type_, type=kind, side_effects=True)
        opened.create_function("quiet", quiet, ["VARCHAR"], "VARCHAR", side_effects=True)
        opened.create_function("stopped", stopped, ["VARCHAR"], "VARCHAR", side_effects=True)
        opened.execute("CREATE MACRO table_fails(x) AS TABLE FROM query(fails_native(x))")
        yield opened


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT fails_native('x')",
        "SELECT fails_arrow('x')",
        "FROM table_fails('x')",
        "SELECT fails_arrow(range::VARCHAR) FROM range(5000)",
    ],
)
def test_an_error_of_ours_is_said_as_we_say_it(connection, sql):
    with pytest.raises(duckdb.Error) as caught:
        connection.execute(sql).fetchall()
    assert readable(caught.value) == MESSAGE
    assert not is_interrupt(caught.value)


def test_an_error_of_duckdb_keeps_its_kind_and_place(connection):
    with pytest.raises(duckdb.Error) as caught:
        connection.execute("SELECT 1 +\nFROM nothing WHERE")
    text = readable(caught.value)
    assert text.startswith("Parser Error: ")
    assert "^" in text


def test_a_column_in_place_of_a_relation_is_told_what_to_do(connection):
    with pytest.raises(duckdb.Error) as caught:
        connection.execute("SELECT * FROM (SELECT 'x' AS geom) AS fields, table_fails(fields.geom)")
    text = readable(caught.value)
    assert 'cannot use column "fields.geom"' in text
    assert text.endswith("its columns come with the rows.")


def test_an_error_without_words_still_says_something(connection):
    with pytest.raises(duckdb.Error) as caught:
        connection.execute("SELECT quiet('x')")
    assert readable(caught.value)
    assert readable(KeyError()) == "KeyError"


def test_who_was_stopped_did_not_fail(connection):
    with pytest.raises(duckdb.Error) as caught:
        connection.execute("SELECT stopped('x')")
    assert is_interrupt(caught.value)
    assert is_interrupt(KeyboardInterrupt())
    assert is_interrupt(pa.ArrowException("INTERRUPT Error: Interrupted!"))
