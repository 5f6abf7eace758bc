"""Conditions in SQL: what is read, its normal form, and what is refused with which words."""

from __future__ import annotations

from datetime import datetime

import pytest

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.condition import parse_condition
from rasteret_sql.expr.render import to_sql
from rasteret_sql.expr.tree import Column, Compare, In, IsNull, Like, Literal, Not, columns, negation

PROPERTIES = ("properties",)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("\"eo:cloud_cover\" < 20 AND platform IN ('a')", '"eo:cloud_cover" < 20 AND "platform" IN (\'a\')'),
        ("20 > a", '"a" < 20'),
        ("1 <= a", '"a" >= 1'),
        ("a == 1", '"a" = 1'),
        ("a != -1.50", '"a" <> -1.5'),
        ("a = 1_000 or a = 1e3", '"a" = 1000 OR "a" = 1000.0'),
        ("a BETWEEN 1 AND 2 AND b = 3", '"a" >= 1 AND "a" <= 2 AND "b" = 3'),
        ("a NOT BETWEEN 1 AND 2", '"a" < 1 OR "a" > 2'),
        ("NOT (a = 1 OR NOT b < 2)", '"a" <> 1 AND "b" < 2'),
        ("NOT NOT a LIKE 'x%'", "\"a\" LIKE 'x%'"),
        ("a NOT LIKE 'x%'", "NOT (\"a\" LIKE 'x%')"),
        ("a NOT ILIKE 'x_'", "NOT (\"a\" ILIKE 'x_')"),
        ("a LIKE 'x!_%' ESCAPE '!'", "\"a\" LIKE 'x\\_%' ESCAPE '\\'"),
        (r"a LIKE 'x\_'", "\"a\" LIKE 'x\\\\_' ESCAPE '\\'"),  # DuckDB has no escape character by default
        ("a NOT IN (1, 2)", 'NOT ("a" IN (1, 2))'),
        ("a IS NULL OR b IS NOT NULL", '"a" IS NULL OR NOT ("b" IS NULL)'),
        ("a ISNULL AND b NOTNULL", '"a" IS NULL AND NOT ("b" IS NULL)'),
        ("flag AND NOT other", '"flag" = TRUE AND "other" <> TRUE'),
        ("flag = false", '"flag" = FALSE'),
        ("properties.platform = 'x'", "\"platform\" = 'x'"),
        ("a = 'it''s' -- said", "\"a\" = 'it''s'"),
        ("a = $$x$$", "\"a\" = 'x'"),
        ("((a = 1)) AND (b = (2) AND c = 3)", '"a" = 1 AND "b" = 2 AND "c" = 3'),
        ("a = 1 AND (b = 2 OR (c = 3 AND d = 4))", '"a" = 1 AND ("b" = 2 OR ("c" = 3 AND "d" = 4))'),
        ("t > TIMESTAMP '2024-01-31 12:00:00+02:00'", "\"t\" > CAST('2024-01-31 10:00:00' AS TIMESTAMP)"),
        ("t > '2024-01-31T12:00:00Z'::TIMESTAMPTZ", "\"t\" > CAST('2024-01-31 12:00:00' AS TIMESTAMP)"),
        ("t > DATE '2024-01-31'", "\"t\" > CAST('2024-01-31 00:00:00' AS TIMESTAMP)"),
        ("1 = 1 AND true", "1 = 1 AND TRUE"),
        ('"a""b" = NULL', '"a""b" = NULL'),
        ("a < b", '"a" < "b"'),
    ],
)
def test_normal_form_says_the_same_and_is_read_as_itself(text, normal):
    tree = parse_condition(text, PROPERTIES)
    assert to_sql(tree) == normal
    assert parse_condition(normal) == tree


def test_the_tree():
    tree = parse_condition("a < 1 AND b IN ('x', NULL) AND t = DATE '2024-01-02' AND NOT c LIKE '_' AND d IS NULL")
    assert tree.terms == (
        Compare("<", Column("a"), Literal(1)),
        In(Column("b"), (Literal("x"), Literal(None))),
        Compare("=", Column("t"), Literal(datetime(2024, 1, 2))),
        Not(Like(Column("c"), "_")),
        IsNull(Column("d")),
    )
    assert columns(tree) == ("a", "b", "t", "c", "d")
    assert negation(negation(tree)) == tree


def test_order_of_terms_is_left_out_on_request():
    one, two = parse_condition("b = 1 AND (a = 2 OR c = 3)"), parse_condition("(c = 3 OR a = 2) AND b = 1")
    assert to_sql(one) != to_sql(two)
    assert to_sql(one, ordered=True) == to_sql(two, ordered=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the condition is empty; a condition has comparisons"),
        ("-- nothing", "is empty"),
        ("a = 1;", "holds a ; but is one expression"),
        ("a = 1; DROP TABLE x", "holds a ;"),
        ("DROP TABLE x", r"DROP TABLE x \(a statement\) cannot be part"),
        ("SELECT 1", r"SELECT 1 \(a subquery\)"),
        ("EXISTS (SELECT 1)", r"\(a subquery\)"),
        ("a IN (SELECT 1)", "IN takes a list of constants"),
        ("a IN ()", "IN takes a list of constants"),
        ("a IN (b)", r'b|"b"'),
        ("lower(a) = 'x'", r"LOWER\(a\) \(a function\)"),
        ("a = now()", r"\(a function\)"),
        ("a + 1 = 2", r"a \+ 1"),
        ("CASE WHEN a THEN b END", "CASE WHEN"),
        ("a = ?", r"\? \(a parameter\)"),
        ("a = $1", "a parameter"),
        ("a IS TRUE", "a IS TRUE"),
        ("a IS DISTINCT FROM 3", "IS DISTINCT FROM"),
        ("a::DOUBLE = 1", "CAST"),
        ("TRY_CAST('x' AS TIMESTAMP) < a", "TRY_CAST"),
        ("a = [1]", r"\[1\]"),
        ("a = INTERVAL '1 day'", "INTERVAL"),
        ("a SIMILAR TO 'x'", "SIMILAR TO"),
        ("a LIKE b", "LIKE takes a pattern in single quotes"),
        ("a LIKE 'x!' ESCAPE '!'", "the pattern ends with its escape character"),
        ("a LIKE 'x' ESCAPE '!!'", "the escape character is one character"),
        ("a COLLATE NOCASE = 'x'", "COLLATE"),
        ("*", r"\*"),
        ("'x'", "'x'"),
        ("5", "5"),
        ("eo:cloud_cover < 20", 'a name with a colon stands in double quotes: "eo:...'),
        ("x.y = 1", 'write a name with a dot in quotes: "x.y"'),
        ("a AND", r"cannot be read as SQL \(line 1, column 5"),
        ("a = 1 ORDER BY 2", "cannot be read as SQL.*near 'order by'|cannot be read as SQL.*near 'ORDER BY'"),
        ("WHERE a = 1", "cannot be read as SQL"),
        ("a = 'x", "cannot be read as SQL"),
        ("t > TIMESTAMP 'soon'", "is no date: expected one such as TIMESTAMP '2024-01-31 12:00:00'"),
        ("a < 1e999", "beyond the range of numbers"),
        ("(" * 5000 + "a = 1" + ")" * 5000, "nested too deep"),
        ("NOT " * 20000 + "a", "nested too deep"),
        ("a = 1 OR " * 20000 + "a = 1", "characters long; at most"),
    ],
)
def test_what_is_no_condition_is_named(text, says):
    with pytest.raises(InvalidArgumentError, match=says) as caught:
        parse_condition(text, PROPERTIES)
    assert len(str(caught.value)) < 900


def test_many_terms_are_no_deep_nesting():
    tree = parse_condition(" OR ".join(f"a = {n}" for n in range(2000)))
    assert len(tree.terms) == 2000
