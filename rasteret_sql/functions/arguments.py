"""Reads the values of named arguments from the JSON object of a call, checked as they are declared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.spec import Argument
from rasteret_sql.quoting import quote_value


def read_arguments(arguments: Sequence[Argument], text: str) -> dict[str, Any]:
    """The values of named arguments; those that are NULL are left out.

    Args:
        arguments: As declared.
        text: JSON object with a value for each of them.

    Raises:
        InvalidArgumentError: one is missing, or no value of its kind.
    """
    given = json.loads(text)
    values = {}
    for argument in arguments:
        value = given.get(argument.name)
        if argument.required and value in (None, ""):
            raise InvalidArgumentError(
                f"{argument.name} is missing: it is {quote_value(value)}, expected {argument.kind.sql}"
            )
        if value is None:
            continue
        try:
            values[argument.name] = argument.kind.read(value)
        except ValueError as error:
            # To DuckDB `name = value` is a comparison, and its result the next argument that is not named.
            hint = "; named arguments are written with :=, and = compares" if isinstance(value, bool) else ""
            raise InvalidArgumentError(
                f"{argument.name} := {quote_value(value)} {error}; expected {argument.kind.expected}{hint}"
            ) from None
    return values
