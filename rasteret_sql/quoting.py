"""Writes names and values as SQL has them: a quote between the quotes is doubled, and that is all."""

from __future__ import annotations

from typing import Any


def quote_name(name: str) -> str:
    """A name as an identifier of SQL: `bay` as `"bay"`."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A text as a literal of SQL: `it's` as `'it''s'`."""
    return "'" + text.replace("'", "''") + "'"


def quote_value(value: Any) -> str:
    """A value of JSON as a literal of SQL: `None` as `NULL`, `{"a": [True]}` as `{'a': [true]}`."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quote_text(value)
    if isinstance(value, list):
        return f"[{', '.join(map(quote_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{quote_text(key)}: {quote_value(each)}' for key, each in value.items())}}}"
    return str(value)
