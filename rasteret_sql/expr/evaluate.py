"""Evaluates a condition on one row, by SQL's three-valued logic."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.instant import as_instant
from rasteret_sql.expr.tree import And, Column, Compare, Contains, In, IsNull, Like, Literal, Node, Not, Operator, Or

_TESTS: dict[Operator, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_TRUTH = {"true": True, "t": True, "false": False, "f": False}


def evaluate(node: Node, value_of: Callable[[str], Any]) -> bool | None:
    """True, False, or None where SQL says NULL; a condition is met where it is True.

    Values may be of any kind that JSON has. A text is compared with a number, a truth or a timestamp as what it says,
    and two texts that are both timestamps as timestamps; values that cannot be compared compare to NULL.

    Args:
        node: A condition.
        value_of: Value of a column by name; None is NULL.

    Raises:
        InvalidArgumentError: The node is a plain value, not a condition.
    """
    match node:
        case And(terms):
            return _any_false_is_false(terms, value_of)
        case Or(terms):
            found = _any_false_is_false((Not(term) for term in terms), value_of)
            return None if found is None else not found
        case Not(term):
            found = evaluate(term, value_of)
            return None if found is None else not found
        case Compare(op, left, right):
            return _compare(op, _value(left, value_of), _value(right, value_of))
        case In(value, choices):
            return _in(_value(value, value_of), [choice.value for choice in choices])
        case Like(value, pattern, ignore_case):
            have = _value(value, value_of)
            return _like(have, pattern, ignore_case) if isinstance(have, str) else None
        case Contains(value, part):
            return _contains(_value(value, value_of), part.value)
        case IsNull(value):
            return _value(value, value_of) is None
        case Literal(bool() | None as truth):
            return truth
    raise InvalidArgumentError(f"{node!r} is a value; expected a condition, such as a comparison")


def _any_false_is_false(terms: Any, value_of: Callable[[str], Any]) -> bool | None:
    unknown = False
    for term in terms:
        truth = evaluate(term, value_of)
        if truth is False:
            return False
        unknown = unknown or truth is None
    return None if unknown else True


def _value(node: Node, value_of: Callable[[str], Any]) -> Any:
    match node:
        case Column(name):
            return value_of(name)
        case Literal(value):
            return value
    return evaluate(node, value_of)


def _compare(op: Operator, left: Any, right: Any) -> bool | None:
    pair = _comparable(left, right)
    if pair is None:
        return None
    if isinstance(pair[0], list) and op not in ("=", "<>"):
        return None
    return _TESTS[op](*pair)


def _in(have: Any, choices: list[Any]) -> bool | None:
    found = [_compare("=", have, choice) for choice in choices]
    return True if True in found else None if None in found else False


def _contains(have: Any, part: Any) -> bool | None:
    if isinstance(have, list | tuple):
        return any(_compare("=", one, part) for one in have)
    return part in have if isinstance(have, str) and isinstance(part, str) else None


def _comparable(left: Any, right: Any) -> tuple[Any, Any] | None:
    """Both as values of one kind: numbers, truths, instants, texts or lists; None where they are not of one kind."""
    if left is None or right is None:
        return None
    if isinstance(left, str) and isinstance(right, str):
        instants = as_instant(left), as_instant(right)
        return (left, right) if None in instants else instants
    if isinstance(left, str):
        left = _read_as(right, left)
    elif isinstance(right, str):
        right = _read_as(left, right)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return list(left), list(right)
    if isinstance(left, datetime) and isinstance(right, datetime):
        return left, right
    if isinstance(left, int | float) and isinstance(right, int | float):
        # A NaN, which JSON files hold in place of null, compares with nothing.
        return None if math.isnan(left) or math.isnan(right) else (left, right)
    return None


def _read_as(like: Any, text: str) -> Any:
    """The text as a value of the other's kind, as SQL casts it; None where it is none."""
    if isinstance(like, bool):
        return _TRUTH.get(text.lower())
    if isinstance(like, datetime):
        return as_instant(text)
    if isinstance(like, int | float):
        try:
            return float(text)
        except ValueError:
            return None
    return None


def _like(text: str, pattern: str, ignore_case: bool) -> bool:
    if ignore_case:
        text, pattern = text.lower(), pattern.lower()
    return _expression(pattern).fullmatch(text) is not None


@lru_cache(maxsize=64)
def _expression(pattern: str) -> re.Pattern[str]:
    pieces = [""]
    for part in re.findall(r"\\.|.", pattern, re.DOTALL):
        if part == "%":
            pieces.append("")
        else:
            pieces[-1] += "." if part == "_" else re.escape(part[-1])
    if len(pieces) == 1:
        return re.compile(pieces[0], re.DOTALL)
    # Between two % the first place that fits is as good as any: atomic groups keep a match linear in the text.
    middle = "".join(f"(?>.*?{piece})" for piece in pieces[1:-1])
    return re.compile(f"{pieces[0]}{middle}.*{pieces[-1]}", re.DOTALL)
