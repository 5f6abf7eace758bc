"""Compares a result with the rows of a `.test` file: text and integers exactly, reals at 1e-6."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

REAL_TOLERANCE = 1e-6


def compare(
    columns: Sequence[str], rows: Sequence[tuple[Any, ...]], types: str, sort: str, expected: Sequence[str]
) -> str | None:
    """What is different, None where nothing is."""
    if len(columns) != len(types):
        return f"{len(types)} columns are declared, the result has {len(columns)}: {', '.join(columns)}"
    for number, row in enumerate(rows, 1):
        for kind, name, value in zip(types, columns, row, strict=True):
            if not _is_of(kind, value):
                return f'row {number}, column "{name}" is declared {kind} but is {value!r} ({type(value).__name__})'
    actual = [[_shown(value) for value in row] for row in rows]
    wanted_rows = [line.split("\t") for line in expected]
    if sort == "valuesort":
        if len(set(types)) > 1:
            return f"valuesort needs columns of one type, not {types}"
        actual, wanted_rows = ([[value] for row in table for value in row] for table in (actual, wanted_rows))
        types, columns = types[0], ["value"]
    if sort in {"rowsort", "valuesort"}:
        actual.sort(key=lambda row: _row_order(types, row))
        wanted_rows.sort(key=lambda row: _row_order(types, row))
    shown = "\n".join("\t".join(row) for row in actual) or "(no rows)"
    if len(actual) != len(wanted_rows):
        return f"{len(wanted_rows)} rows expected, got {len(actual)}:\n{shown}"
    for number, (row, wanted_row) in enumerate(zip(actual, wanted_rows, strict=True), 1):
        for kind, name, value, wish in zip(types, columns, row, wanted_row, strict=True):
            if not _same(kind, value, wish):
                return f'row {number}, column "{name}": expected {wish}, got {value}. All rows:\n{shown}'
    return None


def _is_of(kind: str, value: Any) -> bool:
    if value is None or kind == "T":
        return True
    if kind == "I":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, (float, Decimal))


def _same(kind: str, got: Any, wanted: Any) -> bool:
    if kind != "R" or "NULL" in (got, wanted):
        return bool(got == wanted)
    one, other = _number(got), _number(wanted)
    if one is None or other is None:
        return False
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=REAL_TOLERANCE, abs_tol=REAL_TOLERANCE / 1000)


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _order(value: float | None) -> tuple[bool, bool, float]:
    return value is None, value is not None and math.isnan(value), 0.0 if value is None or math.isnan(value) else value


def _row_order(types: str, row: Sequence[str]) -> tuple[Any, ...]:
    """Text first, so that rows meet their expectation although their reals differ in the last digits."""
    return (
        tuple(value for kind, value in zip(types, row, strict=True) if kind != "R"),
        tuple(_order(_number(value)) for kind, value in zip(types, row, strict=True) if kind == "R"),
    )


def _shown(value: Any) -> str:
    """A value as it stands in a test file."""
    if value is None:
        return "NULL"
    if value == "":
        return "(empty)"
    text = _text(value)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n") if isinstance(value, str) else text


def _text(value: Any) -> str:
    """A value as DuckDB writes it, nested ones too."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"'{key}': {_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (bytes, bytearray)):
        return "".join(chr(b) if 32 <= b < 127 and b not in b"'\"\\" else f"\\x{b:02X}" for b in value)
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    return str(value)
