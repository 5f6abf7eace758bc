"""Conditions applied to rows: as DuckDB applies them, NULLs included."""

from __future__ import annotations

from datetime import datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.condition import parse_condition
from rasteret_sql.expr.evaluate import evaluate
from rasteret_sql.expr.render import to_sql
from rasteret_sql.expr.tree import Column, Literal, negation
from tests.sampling import examples

TYPES = {"num": "DOUBLE", "more num": "DOUBLE", "text": "VARCHAR", "flag": "BOOLEAN", "moment": "TIMESTAMP"}
TEXT = st.text("ab%_\\'Aä\n", max_size=5)
NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, -1.25, 2.0])
TIMES = st.integers(0, 5).map(lambda hours: datetime(2024, 1, 31, 22) + timedelta(hours=hours))
ROWS = st.fixed_dictionaries(
    {
        "num": st.none() | NUMBERS,
        "more num": st.none() | NUMBERS,
        "text": st.none() | TEXT,
        "flag": st.none() | st.booleans(),
        "moment": st.none() | TIMES,
    }
)
OPERATORS = st.sampled_from(["=", "<>", "!=", "<", "<=", ">", ">="])


def quoted(value):
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def time_text(at):
    return f"TIMESTAMP '{at}'"


def compared(column, literals):
    maybe = literals | st.just("NULL")
    return st.one_of(
        st.builds(lambda op, value: f"{column} {op} {value}", OPERATORS, maybe),
        st.builds(lambda op, value: f"{value} {op} {column}", OPERATORS, maybe),
        st.builds(lambda no, low, high: f"{column} {no} BETWEEN {low} AND {high}", NO, maybe, maybe),
        st.builds(
            lambda no, values: f"{column} {no} IN ({', '.join(values)})", NO, st.lists(maybe, min_size=1, max_size=3)
        ),
        st.builds(lambda no: f"{column} IS {no} NULL", NO),
    )


NO = st.sampled_from(["", "NOT"])
PATTERNS = st.builds(
    lambda no, word, pattern: f"text {no} {word} {quoted(pattern)}", NO, st.sampled_from(["LIKE", "ILIKE"]), TEXT
)
ESCAPED = st.builds(
    lambda no, pattern: f"text {no} LIKE {quoted(pattern.replace('!', '!!') + '!_%')} ESCAPE '!'", NO, TEXT
)
LEAVES = st.one_of(
    compared("num", NUMBERS.map(str)),
    compared("text", TEXT.map(quoted)),
    compared("flag", st.sampled_from(["true", "false"])),
    compared("moment", TIMES.map(time_text) | st.just("DATE '2024-02-01'")),
    st.builds(lambda op: f'num {op} "more num"', OPERATORS),
    PATTERNS,
    ESCAPED,
    st.sampled_from(["flag", "true", "false", "NULL"]),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda a, b: f"({a}) AND ({b})", inner, inner),
        st.builds(lambda a, b, c: f"{a} OR ({b}) OR ({c})", inner, inner, inner),
        st.builds(lambda a: f"NOT ({a})", inner),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def table():
    con = duckdb.connect()
    con.sql("CREATE TABLE rows (" + ", ".join(f'"{name}" {kind}' for name, kind in TYPES.items()) + ")")
    yield con
    con.close()


@settings(max_examples=examples(150))
@given(rows=st.lists(ROWS, min_size=1, max_size=4), condition=CONDITIONS)
def test_the_tree_is_applied_as_duckdb_applies_the_text(table, rows, condition):
    tree = parse_condition(condition)
    table.execute("DELETE FROM rows")
    table.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", [[row[name] for name in TYPES] for row in rows])
    asked = ", ".join(f"CAST(({one}) AS BOOLEAN)" for one in (condition, to_sql(tree), to_sql(negation(tree))))
    for row, (wanted, rendered, opposite) in zip(
        rows, table.execute(f"SELECT {asked} FROM rows ORDER BY rowid").fetchall(), strict=True
    ):
        # As a STAC item has it: times are texts.
        item = {**row, "moment": row["moment"] and f"{row['moment'].isoformat()}Z"}
        assert evaluate(tree, item.get) is wanted
        assert rendered is wanted
        assert evaluate(negation(tree), item.get) is opposite
    assert parse_condition(to_sql(tree)) == tree


@pytest.mark.parametrize(
    ("condition", "value", "truth"),
    [
        ("a = 5", "5", True),  # SQL casts the text
        ("a < 20", "9", True),
        ("a < '20'", 9, True),
        ("a = 'x'", 9, None),
        ("a = 5", "x", None),
        ("a = true", "true", True),
        ("a = true", "maybe", None),
        ("a", True, True),
        ("a", "x", None),
        ("a = 'x'", ["x"], None),
        ("a = 5", {"x": 5}, None),
        ("a < 5", float("nan"), None),
        ("a > TIMESTAMP '2024-01-01'", "2024-01-01T00:00:00.5Z", True),
        ("a = TIMESTAMP '2024-01-01 10:00:00'", "2024-01-01T12:00:00+02:00", True),
        ("a > TIMESTAMP '2024-01-01'", "soon", None),
        ("a = '2024-01-01T00:00:00Z'", "2024-01-01T00:00:00.000Z", True),
        ("a LIKE '1%'", 12, None),
        ("a LIKE 'a%b%c'", "aXbXbc", True),
        ("a LIKE '%a%_b'", "xab", False),
        ("a LIKE '%a%_b'", "xaxb", True),
        ("a IS NULL", None, True),
        ("b IS NULL", 1, True),
    ],
)
def test_kinds_of_values(condition, value, truth):
    assert evaluate(parse_condition(condition), {"a": value}.get) is truth


def test_a_pattern_of_many_wildcards_takes_no_time():
    tree = parse_condition(f"a LIKE '{'%a' * 40}%b'")
    assert evaluate(tree, {"a": "a" * 5000}.get) is False


def test_a_value_is_no_condition():
    with pytest.raises(InvalidArgumentError, match="expected a condition"):
        evaluate(Literal("x"), {}.get)
    with pytest.raises(InvalidArgumentError, match="expected a condition"):
        evaluate(Column("x"), {}.get)
