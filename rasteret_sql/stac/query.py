"""The `query` of a search: STAC's operators per property, checked once and applied where no server does it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.stac.dates import parse_instant

Query = dict[str, dict[str, Any]]
"""Property → operator → value, as STAC's query extension has it."""


def _text(test: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    return lambda have, want: isinstance(have, str) and isinstance(want, str) and test(have, want)


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(have: Any, want: Any) -> bool:
        pair = _comparable(have, want)
        return pair is not None and test(*pair)

    return compare


def _equal(have: Any, want: Any) -> bool:
    pair = _comparable(have, want)
    return have == want if pair is None else bool(pair[0] == pair[1])


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": _equal,
    "neq": lambda have, want: not _equal(have, want),
    "lt": _ordered(lambda have, want: have < want),
    "lte": _ordered(lambda have, want: have <= want),
    "gt": _ordered(lambda have, want: have > want),
    "gte": _ordered(lambda have, want: have >= want),
    "startsWith": _text(str.startswith),
    "endsWith": _text(str.endswith),
    "contains": lambda have, want: (
        want in have if isinstance(have, list) or (isinstance(have, str) and isinstance(want, str)) else False
    ),
    "in": lambda have, want: any(_equal(have, one) for one in want),
}
# The query extension says neq, CQL users write ne; both mean the same.
_ALIASES = {"ne": "neq", "le": "lte", "ge": "gte", "startswith": "startsWith", "endswith": "endsWith"}


def parse_query(value: Mapping[str, Any] | str | None) -> tuple[Query | None, int | None]:
    """Check a query and give it with operators spelled as STAC does, and its `max_items` apart.

    A bare value means `eq`: `{"platform": "landsat-8"}`. A query may be JSON text.

    Raises:
        InvalidArgumentError: Not an object, an unknown operator, or a value of the wrong kind.
    """
    if value is None:
        return None, None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise InvalidArgumentError(f"query is not JSON: {error.msg} at character {error.pos}: {value!r}") from None
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(f'query {value!r} has to be an object such as {{"eo:cloud_cover": {{"lt": 20}}}}')
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
            query[str(name)] = {"eq": condition}
    return query or None, max_items


def _count(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgumentError(f"max_items in query has to be a whole number of 1 or more, not {value!r}")
    return value


def _operator(op: Any, name: object) -> str:
    known = _ALIASES.get(str(op), str(op))
    if known not in _OPERATORS:
        raise InvalidArgumentError(f'query on "{name}" has no operator "{op}": {did_you_mean(str(op), _OPERATORS, 20)}')
    return known


def _operand(op: Any, want: Any, name: object) -> Any:
    if op == "in" and not isinstance(want, list | tuple):
        raise InvalidArgumentError(f'query on "{name}": "in" takes a list of values, not {want!r}')
    return list(want) if op == "in" else want


def matches(item: Mapping[str, Any], query: Query) -> bool:
    """True where the item meets every condition. A property that the item lacks meets none, not even `neq`."""
    for name, conditions in query.items():
        have = _property(item, name)
        if have is None:
            # STAC's `eq: null` asks for what is not there; everything else needs a value.
            if all(op == "eq" and want is None for op, want in conditions.items()):
                continue
            return False
        if not all(_OPERATORS[op](have, want) for op, want in conditions.items()):
            return False
    return True


def _property(item: Mapping[str, Any], name: str) -> Any:
    properties = item.get("properties") or {}
    name = name.removeprefix("properties.")
    if name in properties:
        return properties[name]
    return item.get(name) if name in ("id", "collection") else None


def _comparable(have: Any, want: Any) -> tuple[Any, Any] | None:
    """Both as numbers, as instants or as texts; None where they are of different kinds."""
    if isinstance(have, bool) or isinstance(want, bool):
        return (have, want) if isinstance(have, bool) and isinstance(want, bool) else None
    if isinstance(have, int | float) and isinstance(want, int | float):
        return have, want
    if isinstance(have, str) and isinstance(want, str):
        instants = _instant(have), _instant(want)
        return (have, want) if None in instants else instants
    return None


def _instant(text: str) -> datetime | None:
    # "2018" and "20180405" parse as dates too, but are more often codes: only texts with dashes count as time.
    if len(text) < 10 or text[4:5] != "-" or text[7:8] != "-":
        return None
    try:
        return parse_instant(text)
    except ValueError:
        return None
