"""Makes typed columns of STAC properties, whose JSON values may differ from item to item."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from rasteret_sql.expr.instant import parse_instant
from rasteret_sql.schema import RESERVED_COLUMNS
from rasteret_sql.stac.unreadable_values import INSTANTS, NUMBERS
from rasteret_sql.tables.columns import free_name

_SAME_FACT = frozenset({"datetime", "proj:epsg", "proj:code"})
"""Properties that stand in columns of ours already."""
_INT64 = range(-(2**63), 2**63)


def property_columns(properties: Sequence[Mapping[str, Any]], taken: Iterable[str] = ()) -> dict[str, pa.Array]:
    """Make a column for each property that any item has, in order of appearance.

    Args:
        properties: The properties of each item.
        taken: More names that are not free, beyond `RESERVED_COLUMNS`.

    Returns:
        Column name → values, null where an item has no such property.
    """
    names: dict[str, None] = {}
    for item in properties:
        names.update(dict.fromkeys(item))
    used = {name.lower() for name in (*RESERVED_COLUMNS, *taken)}
    columns: dict[str, pa.Array] = {}
    for name in names:
        if name in _SAME_FACT:
            continue
        free = free_name(name, used)
        used.add(free.lower())
        columns[free] = _column(name, [item.get(name) for item in properties])
    return columns


def _column(name: str, values: Sequence[Any]) -> pa.Array:
    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if kinds == {str} and name in INSTANTS:
        instants = [None if value is None else _instant(value) for value in values]
        if all((value is None) == (instant is None) for value, instant in zip(values, instants, strict=True)):
            return pa.array(instants, pa.timestamp("us"))
    scalar = _scalar_type(name, present)
    if scalar is not None:
        return pa.array([_as(scalar, value) for value in values], scalar)
    if kinds == {list}:
        flat = [element for value in present for element in value if element is not None]
        element_type = _scalar_type(name, flat)
        if element_type is not None:
            lists = [None if value is None else [_as(element_type, element) for element in value] for value in values]
            return pa.array(lists, pa.list_(element_type))
    return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _scalar_type(name: str, present: Sequence[Any]) -> pa.DataType | None:
    kinds = {type(value) for value in present}
    if kinds <= {str}:
        return pa.string()
    if kinds == {bool}:
        return pa.bool_()
    if kinds <= {int, float}:
        fraction = float in kinds or name.startswith(NUMBERS) or not all(value in _INT64 for value in present)
        return pa.float64() if fraction else pa.int64()
    return None


def _as(type_: pa.DataType, value: Any) -> Any:
    return float(value) if value is not None and type_ == pa.float64() else value


def _instant(text: str) -> datetime | None:
    try:
        return parse_instant(text)
    except ValueError:
        return None


def _text(value: Any) -> str:
    """Objects and mixed kinds as JSON text, plain strings among them as they are."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
