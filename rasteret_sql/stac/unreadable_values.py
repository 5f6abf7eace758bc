"""Takes out values of an item that no column can hold, with the reason, so that none of them stops a build."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rasteret_sql.expr.instant import parse_instant

INSTANTS = frozenset({"created", "updated", "published", "expires", "unpublished", "start_datetime", "end_datetime"})
"""Properties that are times by their definition."""
NUMBERS = ("eo:cloud_cover", "eo:snow_cover", "view:", "gsd", "landsat:cloud_cover_land", "sci:accuracy")
"""Beginnings of the names of properties that are numbers by their definition; whole values in one build must not make
another type than the next build's."""
_SHOWN = 60
"""Most characters of a value in a reason."""


def readable(properties: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The properties with NULL in place of what cannot be kept, and the reason by name.

    That is a number beyond float64, a text with half a surrogate pair, which is no Unicode, and in properties that are
    times or numbers by their definition, whatever is none: one value would make a text of the whole column. A number
    written as text is one. All else has a type, or is kept as JSON text. Names that are no Unicode get U+FFFD.
    """
    kept: dict[str, Any] = {}
    unread: dict[str, str] = {}
    for name, value in properties.items():
        plain = clean_text(name)
        if isinstance(value, str) and name.startswith(NUMBERS):
            value = _number(value)  # noqa: PLW2901
        why = _unusable(name, value)
        kept[plain] = None if why else value
        if why:
            unread[plain] = why
    return kept, unread


def clean_text(text: str) -> str:
    """The text with U+FFFD in place of what is no Unicode, and of NUL, at which texts of SQL may end."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")


def shown(value: Any) -> str:
    """A value in a reason: short, on one line, and without the semicolons that part reasons."""
    try:
        text = repr(value)
    except ValueError:  # a number of more digits than Python prints
        text = f"a number of {value.bit_length()} bits"
    text = clean_text(text).replace(";", ",").replace("\n", " ")
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _unusable(name: str, value: Any) -> str | None:
    if value is not None and name in INSTANTS and (why := _no_instant(value)):
        return f"{shown(value)} {why}"
    if (
        value is not None
        and name.startswith(NUMBERS)
        and (isinstance(value, bool) or not isinstance(value, int | float))
    ):
        return f"{shown(value)} is no number"
    if any(isinstance(one, int) and _is_huge(one) for one in (value if isinstance(value, list) else [value])):
        return f"{shown(value)} is beyond the numbers of 64 bits"
    if not _is_clean(value):
        return f"{shown(value)} is no Unicode text"
    return None


def _number(text: str) -> float | str:
    """The number that a text says; the text itself where it says none."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _no_instant(value: Any) -> str | None:
    """The reason why a value is no time; None where it is one."""
    try:
        parse_instant(value)
    except AttributeError:  # it is no text
        return "is no time"
    except ValueError as error:
        return "is beyond the calendar in UTC" if isinstance(error.__cause__, OverflowError) else "is no time"
    return None


def _is_huge(value: int) -> bool:
    try:
        float(value)
    except OverflowError:
        return True
    return False


def _is_clean(value: Any) -> bool:
    """True where all texts in a JSON value are Unicode."""
    if isinstance(value, str):
        if value.isascii():
            return True
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, Mapping):
        return all(_is_clean(name) and _is_clean(one) for name, one in value.items())
    return all(_is_clean(one) for one in value) if isinstance(value, list | tuple) else True
