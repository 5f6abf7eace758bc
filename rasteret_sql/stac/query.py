"""Reads the `query` of a search, in any of its forms: checks it, makes one tree of it, applies it to items."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.expr.condition import literal_pattern, parse_condition
from rasteret_sql.expr.evaluate import evaluate
from rasteret_sql.expr.render import to_sql
from rasteret_sql.expr.tree import (
    Column,
    Compare,
    Contains,
    In,
    IsNull,
    Like,
    Literal,
    Node,
    Operator,
    Value,
    conjunction,
    negation,
)

Query = dict[str, dict[str, Any]]
"""Property → operator → value, as STAC's query extension has it."""

COMPARISONS: dict[str, Operator] = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_OPERATORS = (*COMPARISONS, "startsWith", "endsWith", "contains", "in")
# The query extension says neq, CQL users write ne; both mean the same.
_ALIASES = {"ne": "neq", "le": "lte", "ge": "gte", "startswith": "startsWith", "endswith": "endsWith"}
_FORMS = (
    'an object such as {"eo:cloud_cover": {"lt": 20}}, or an SQL condition such as '
    "'\"eo:cloud_cover\" < 20 AND platform = ''landsat-8'''"
)


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A query, checked."""

    text: Query | str | None = None
    """As asked, in the one spelling of its form: an object with STAC's operators, or SQL; None for no condition."""
    condition: Node | None = None
    """What an item has to meet, the same for all forms; columns are names of properties, `id` and `collection`."""
    max_items: int | None = None
    """The `max_items` of the object form."""


def parse_query(value: Mapping[str, Any] | str | None) -> ParsedQuery:
    """Check a query: an object, its JSON text, or an SQL condition as text.

    In an object, a bare value means `eq` and a list `in`: `{"platform": "landsat-8"}`. Text that holds a JSON object is
    an object, other text is SQL.

    Raises:
        InvalidArgumentError: Neither form, an unknown operator, a value of the wrong kind, or SQL that is no condition.
    """
    if value is None:
        return ParsedQuery()
    if isinstance(value, str):
        parsed = _json_object(value)
        if parsed is None:
            condition = parse_condition(value, qualifiers=("properties",))
            return ParsedQuery(to_sql(condition), condition)
        value = parsed
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(f"query {value!r} has to be {_FORMS}")
    query: Query = {}
    max_items: int | None = None
    for name, condition in value.items():
        if name == "max_items" and not isinstance(condition, Mapping):
            max_items = _count(condition)
        elif isinstance(condition, Mapping):
            query[str(name)] = {_operator(op, name): _operand(op, want, name) for op, want in condition.items()}
        elif isinstance(condition, list | tuple):
            query[str(name)] = {"in": list(condition)}
        else:
            query[str(name)] = {"eq": _operand("eq", condition, name)}
    terms = [_term(name, op, want) for name, conditions in query.items() for op, want in conditions.items()]
    return ParsedQuery(query, conjunction(terms), max_items) if terms else ParsedQuery(max_items=max_items)


def _json_object(text: str) -> Mapping[str, Any] | None:
    """The object that JSON text holds; None where the text is something else."""
    try:
        value = json.loads(text)
    except ValueError as error:
        # No SQL condition begins with a brace.
        if not text.lstrip().startswith("{"):
            return None
        what = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise InvalidArgumentError(f"query is not JSON: {what}: {text!r}; expected {_FORMS}") from None
    except RecursionError:
        raise InvalidArgumentError("query is nested too deep to be read") from None
    return value if isinstance(value, Mapping) else None


def _count(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise InvalidArgumentError(f"max_items in query has to be a whole number of 1 or more, not {value!r}")


def _operator(op: Any, name: object) -> str:
    known = _ALIASES.get(str(op), str(op))
    if known not in _OPERATORS:
        raise InvalidArgumentError(f'query on "{name}" has no operator "{op}": {did_you_mean(str(op), _OPERATORS, 20)}')
    return known


def _operand(op: Any, want: Any, name: object) -> Any:
    op = _ALIASES.get(str(op), str(op))
    if op == "in" and not isinstance(want, list | tuple):
        raise InvalidArgumentError(f'query on "{name}": "in" takes a list of values, not {want!r}')
    if op in ("startsWith", "endsWith") and not isinstance(want, str):
        raise InvalidArgumentError(f'query on "{name}": "{op}" takes a text, not {want!r}')
    if isinstance(want, date):
        return f"{_naive(want).isoformat()}Z"
    return list(want) if op == "in" else want


def _naive(at: date) -> datetime:
    if not isinstance(at, datetime):
        return datetime.combine(at, time())
    return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)


def _term(name: str, op: str, want: Any) -> Node:
    """One operator of the object form in the tree."""
    column = Column(name.removeprefix("properties."))
    if want is None and op in ("eq", "neq"):  # `eq: null` asks for what is not there
        return IsNull(column) if op == "eq" else negation(IsNull(column))
    if op in COMPARISONS:
        return Compare(COMPARISONS[op], column, Literal(_value(want, name)))
    if op == "in":
        return In(column, tuple(Literal(_value(one, name)) for one in want))
    if op == "contains":
        return Contains(column, Literal(_value(want, name)))
    text = literal_pattern(want)
    return Like(column, f"{text}%" if op == "startsWith" else f"%{text}")


def _value(want: Any, name: str) -> Value:
    if want is None or isinstance(want, str | int | float):
        return want
    if isinstance(want, list | tuple):
        return tuple(_value(one, name) for one in want)
    raise InvalidArgumentError(
        f'query on "{name}" has the value {want!r}; expected a text, a number, true, false, null or a list'
    )


def matches(item: Mapping[str, Any], condition: Node | None) -> bool:
    """True where the item meets the condition, or there is none. What an item lacks is NULL, and meets nothing."""
    if condition is None:
        return True
    properties = item.get("properties") or {}

    def value_of(name: str) -> Any:
        return properties.get(name, item.get(name) if name in ("id", "collection") else None)

    return evaluate(condition, value_of) is True
