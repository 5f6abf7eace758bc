"""Writes the tree as SQL text: one text for all ways to write the same."""

from __future__ import annotations

from datetime import datetime

from sqlglot import exp

from rasteret_sql.expr.tree import And, Column, Compare, Contains, In, IsNull, Like, Literal, Node, Not, Operator, Or

_CLASSES: dict[Operator, type[exp.Expression]] = {
    "=": exp.EQ,
    "<>": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}


def to_sql(node: Node, *, ordered: bool = False) -> str:
    """The tree in DuckDB's SQL; `parse_condition` reads it as the same tree.

    Args:
        node: A condition.
        ordered: True: terms of AND and OR in the order of their texts, so that conditions which differ in that only
            agree. False: as written.
    """
    return str(_sql(node, ordered).sql("duckdb"))


def _sql(node: Node, ordered: bool) -> exp.Expression:
    match node:
        case Column(name):
            return exp.column(exp.to_identifier(name, quoted=True))
        case Literal(value):
            return _literal(value)
        case Compare(op, left, right):
            return _CLASSES[op](this=_sql(left, ordered), expression=_sql(right, ordered))
        case In(value, choices):
            return exp.In(this=_sql(value, ordered), expressions=[_literal(choice.value) for choice in choices])
        case Like(value, pattern, ignore_case):
            kind = exp.ILike if ignore_case else exp.Like
            like = kind(this=_sql(value, ordered), expression=exp.Literal.string(pattern))
            return exp.Escape(this=like, expression=exp.Literal.string("\\")) if "\\" in pattern else like
        case Contains(value, part):
            return exp.func("contains", _sql(value, ordered), _literal(part.value))
        case IsNull(value):
            return exp.Is(this=_sql(value, ordered), expression=exp.Null())
        case Not(term):
            return exp.Not(this=exp.Paren(this=_sql(term, ordered)))
        case And(terms) | Or(terms):
            parts = [exp.Paren(this=one) if isinstance(one, exp.Connector) else one for one in _all(terms, ordered)]
            joined = parts[0]
            for part in parts[1:]:
                joined = (exp.And if isinstance(node, And) else exp.Or)(this=joined, expression=part)
            return joined


def _all(terms: tuple[Node, ...], ordered: bool) -> list[exp.Expression]:
    parts = [_sql(term, ordered) for term in terms]
    return sorted(parts, key=lambda part: part.sql("duckdb")) if ordered else parts


def _literal(value: object) -> exp.Expression:
    match value:
        case None:
            return exp.Null()
        case bool():
            return exp.Boolean(this=value)
        case datetime():
            return exp.cast(exp.Literal.string(value.isoformat(" ")), "TIMESTAMP")
        case int() | float():
            return exp.Literal.number(value)
        case tuple():
            return exp.Array(expressions=[_literal(one) for one in value])
    return exp.Literal.string(str(value))
