"""Writes conditions in CQL2, the language of STAC's filter extension, as JSON and as text."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from rasteret_sql.expr.instant import rfc_3339
from rasteret_sql.expr.tree import And, Column, Compare, Contains, In, IsNull, Like, Literal, Node, Not, Or
from rasteret_sql.quoting import quote_name, quote_text

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:.]*")
_WORDS = {"and", "or", "not", "in", "like", "between", "is", "null", "true", "false", "casei", "date", "timestamp"}


def to_json(node: Node) -> dict[str, Any]:
    """A condition in CQL2-JSON.

    Raises:
        TypeError: It holds a node for which CQL2 has no words; `sendable.weakened` leaves those out.
    """
    match node:
        case And(terms) | Or(terms):
            return _op("and" if isinstance(node, And) else "or", *map(to_json, terms))
        case Not(term):
            return _op("not", to_json(term))
        case Compare(op, left, right):
            return _op(op, _value(left), _value(right))
        case In(value, choices):
            return _op("in", _value(value), [_value(choice) for choice in choices])
        case Like(value, pattern, False):
            return _op("like", _value(value), pattern)
        case Like(value, pattern, True):
            return _op("like", _op("casei", _value(value)), _op("casei", pattern))
        case IsNull(value):
            return _op("isNull", _value(value))
    raise TypeError(f"{node!r} has no form in CQL2")


def _op(name: str, *arguments: Any) -> dict[str, Any]:
    return {"op": name, "args": list(arguments)}


def _value(node: Node) -> Any:
    match node:
        case Column(name):
            return {"property": name}
        case Literal(datetime() as at):
            return {"timestamp": rfc_3339(at)}
        case Literal(value):
            return value
    return to_json(node)


def to_text(node: Node) -> str:
    """A condition in CQL2 text, for requests by GET.

    Raises:
        TypeError: As `to_json`.
    """
    match node:
        case And(terms) | Or(terms):
            word = " AND " if isinstance(node, And) else " OR "
            return word.join(f"({to_text(one)})" if isinstance(one, And | Or) else to_text(one) for one in terms)
        case Not(term):
            return f"NOT ({to_text(term)})"
        case Compare(op, left, right):
            return f"{_text(left)} {op} {_text(right)}"
        case In(value, choices):
            return f"{_text(value)} IN ({', '.join(map(_text, choices))})"
        case Like(value, pattern, False):
            return f"{_text(value)} LIKE {_text(Literal(pattern))}"
        case Like(value, pattern, True):
            return f"CASEI({_text(value)}) LIKE CASEI({_text(Literal(pattern))})"
        case IsNull(value):
            return f"{_text(value)} IS NULL"
    raise TypeError(f"{node!r} has no form in CQL2")


def _text(node: Node) -> str:
    match node:
        case Column(name):
            is_plain = _PLAIN_NAME.fullmatch(name) and name.lower() not in _WORDS
            return name if is_plain else quote_name(name)
        case Literal(bool() as truth):
            return "TRUE" if truth else "FALSE"
        case Literal(int() | float() as number):
            return repr(number)
        case Literal(datetime() as at):
            return f"TIMESTAMP('{rfc_3339(at)}')"
        case Literal(str() as text):
            return quote_text(text)
        case Literal() | Contains():
            raise TypeError(f"{node!r} has no form in CQL2")
    return to_text(node)
