"""Checks the HTTP headers with which a caller signs in to a STAC server; they are never shown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rasteret_sql.errors import InvalidArgumentError

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]+")
_FORM = "headers are names with values, such as {'Authorization': 'Bearer ...'} or {'x-api-key': '...'}"


def checked_headers(value: Mapping[str, str] | str | None) -> dict[str, str] | None:
    """Headers as a dict of texts that HTTP can send; None where there are none.

    Args:
        value: Name → value, or the JSON text of such an object.

    Raises:
        InvalidArgumentError: It is something else. No value is in the message.
    """
    if value is None:
        return None
    given: Any = value
    if isinstance(value, str):
        try:
            given = json.loads(value)
        except ValueError:
            raise InvalidArgumentError(f"headers is text that is not JSON; {_FORM}") from None
    if not isinstance(given, Mapping):
        raise InvalidArgumentError(f"headers is of type {type(given).__name__}; {_FORM}")
    checked = {}
    for name, text in given.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidArgumentError(f"headers has a name that HTTP does not take; {_FORM}")
        if text is None:
            raise InvalidArgumentError(f'headers has no value for "{name}": it is NULL; is the variable set?')
        if not isinstance(text, str) or not _VALUE.fullmatch(text.strip()):
            raise InvalidArgumentError(f'headers has a value for "{name}" that is empty, no text, or of several lines')
        checked[name] = text.strip()
    return checked or None
