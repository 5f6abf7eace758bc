"""Parses conditions in SQL text into the checked tree: DuckDB's dialect, read by sqlglot."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime

from sqlglot import exp

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.instant import parse_instant
from rasteret_sql.expr.sql_text import hint_of_alias, kind_of, parse_expression, shown, sql_of, too_deep
from rasteret_sql.expr.tree import (
    Column,
    Compare,
    In,
    IsNull,
    Like,
    Literal,
    Node,
    Operator,
    compare,
    conjunction,
    disjunction,
    negation,
)

SUPPORTED = (
    "a condition has comparisons (=, <>, <, <=, >, >=), AND, OR, NOT, IN (...), BETWEEN, LIKE, ILIKE and IS [NOT] NULL "
    'of columns and of texts, numbers, true, false and TIMESTAMP or DATE, as in "eo:cloud_cover" < 20 '
    "AND platform IN ('landsat-8', 'landsat-9')"
)
_OPERATORS: dict[type[exp.Expression], Operator] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_TIMES = {"TIMESTAMP", "TIMESTAMPNTZ", "TIMESTAMPTZ", "DATETIME", "DATE"}


def parse_condition(text: str, qualifiers: Collection[str] = ()) -> Node:
    """Read an SQL condition, what may stand after WHERE.

    Args:
        text: One expression in DuckDB's SQL.
        qualifiers: Names that may stand before a column, as in `properties.platform`, and mean nothing.

    Returns:
        The condition in the tree's normal form. Names of columns are as written, also unquoted ones.

    Raises:
        InvalidArgumentError: It is no SQL, or has a part that a condition cannot have; the message names it.
    """
    found = parse_expression(text, "condition", SUPPORTED)
    try:
        return ConditionReader(text, qualifiers).condition(found)
    except RecursionError:
        raise too_deep(text, "condition") from None


class ConditionReader:
    """Turns sqlglot's expressions of one text into the tree."""

    what = "condition"
    """What the text is, for messages."""
    supported = SUPPORTED
    """What it may have."""

    def __init__(self, text: str, qualifiers: Collection[str] = ()) -> None:
        self.text = text
        self.qualifiers = qualifiers

    def condition(self, part: exp.Expression) -> Node:
        """Something that is true, false or NULL."""
        match part:
            case exp.Paren():
                return self.condition(part.this)
            case exp.And():
                return conjunction([self.condition(term) for term in part.flatten()])
            case exp.Or():
                return disjunction([self.condition(term) for term in part.flatten()])
            case exp.Not():
                return negation(self.condition(part.this))
            case exp.Between():
                return self._between(part)
            case exp.In():
                return self._in(part)
            case exp.Escape(this=exp.Like() | exp.ILike() as like, expression=exp.Literal() as escape):
                return self._like(like, str(escape.this), part)
            case exp.Like() | exp.ILike():
                return self._like(part, "", part)
            case exp.Is(expression=exp.Null()):
                return IsNull(self.column(part.this, "before IS NULL"))
            case exp.Column():
                return Compare("=", self.column(part, ""), Literal(value=True))
            case exp.Boolean() | exp.Null():
                return self.value(part)
        operator = _OPERATORS.get(type(part))
        if operator is None:
            raise self.refused(part)
        return compare(operator, self.value(part.this), self.value(part.expression))

    def value(self, part: exp.Expression) -> Node:
        """A column or a constant."""
        if isinstance(part, exp.Paren):
            return self.value(part.this)
        return self.column(part, "") if isinstance(part, exp.Column) else self.literal(part)

    def column(self, part: exp.Expression, where: str) -> Column:
        """A column, without a qualifier that means nothing."""
        if isinstance(part, exp.Paren):
            return self.column(part.this, where)
        if not isinstance(part, exp.Column) or isinstance(part.this, exp.Star):
            raise self.refused(part, f"; a column is expected {where}" if where else "")
        names = [one.name for one in part.parts]
        if len(names) == 2 and names[0] in self.qualifiers:
            names = names[1:]
        if len(names) > 1:
            raise self.refused(part, f'; write a name with a dot in quotes: "{".".join(names)}"')
        return Column(names[0])

    def literal(self, part: exp.Expression) -> Literal:
        """A constant."""
        match part:
            case exp.Paren():
                return self.literal(part.this)
            case exp.Literal(is_string=True) | exp.RawString():
                return Literal(str(part.this))
            case exp.Literal():
                return Literal(self._number(part))
            case exp.Neg(this=exp.Literal(is_string=False) as number):
                return Literal(-self._number(number))
            case exp.Boolean():
                return Literal(bool(part.this))
            case exp.Null():
                return Literal(None)
            case exp.Cast(this=exp.Literal(is_string=True) as text) if type(part) is exp.Cast:
                if part.to.this.name in _TIMES:
                    return Literal(self._instant(str(text.this), part))
        raise self.refused(part)

    def _number(self, part: exp.Expression) -> int | float:
        text = str(part.this)
        number = float(text)
        if not math.isfinite(number):
            raise InvalidArgumentError(f"{text} in the {self.what} {shown(self.text)} is beyond the range of numbers")
        return int(text) if text.isdigit() else number

    def _instant(self, text: str, part: exp.Expression) -> datetime:
        try:
            at = parse_instant(text)
        except ValueError:
            at = None
        if at is None:
            raise InvalidArgumentError(
                f"{sql_of(part)} in the {self.what} {shown(self.text)} is no date: expected one such as "
                "TIMESTAMP '2024-01-31 12:00:00' or DATE '2024-01-31'"
            )
        is_day = part.args["to"].this.name == "DATE"
        return at.replace(hour=0, minute=0, second=0, microsecond=0) if is_day else at

    def _between(self, part: exp.Between) -> Node:
        if part.args.get("symmetric"):
            raise self.refused(part)
        value, low, high = (self.value(one) for one in (part.this, part.args["low"], part.args["high"]))
        return conjunction([compare(">=", value, low), compare("<=", value, high)])

    def _in(self, part: exp.In) -> Node:
        if not part.expressions or any(part.args.get(name) for name in ("query", "unnest", "field")):
            raise self.refused(part, "; IN takes a list of constants in parentheses")
        return In(self.value(part.this), tuple(self.literal(one) for one in part.expressions))

    def _like(self, part: exp.Expression, escape: str, whole: exp.Expression) -> Node:
        pattern = part.expression
        if not isinstance(pattern, exp.Literal) or not pattern.is_string:
            raise self.refused(whole, "; LIKE takes a pattern in single quotes")
        like = Like(
            self.column(part.this, "before LIKE"),
            _pattern(str(pattern.this), escape, sql_of(whole)),
            ignore_case=isinstance(part, exp.ILike),
        )
        # Newer versions of sqlglot keep NOT LIKE in the node, older ones around it.
        return negation(like) if part.args.get("negate") else like

    def refused(self, part: exp.Expression, more: str = "") -> InvalidArgumentError:
        if isinstance(part, exp.Alias):
            more = hint_of_alias(part.alias, self.text)
        what = sql_of(part) or type(part).__name__
        return InvalidArgumentError(
            f"{what} ({kind_of(part)}) cannot be part of the {self.what} {shown(self.text)}{more}; {self.supported}"
        )


def _pattern(pattern: str, escape: str, whole: str) -> str:
    r"""The pattern with `\` as its escape character, whichever it was written with."""
    if len(escape) > 1:
        raise InvalidArgumentError(f"{whole}: the escape character is one character, not {escape!r}")
    out: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            following = next(characters, None)
            if following is None:
                raise InvalidArgumentError(f"{whole}: the pattern ends with its escape character")
            out.append(literal_pattern(following))
        else:
            out.append("\\\\" if character == "\\" else character)
    return "".join(out)


def literal_pattern(text: str) -> str:
    """A pattern of LIKE that only the text itself matches."""
    return "".join(f"\\{one}" if one in "%_\\" else one for one in text)
