"""Makes the rows of a table function, one a call, from the named arguments of each call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from rasteret_sql.functions.arguments import read_arguments
from rasteret_sql.functions.registry import DECLARED


def named_arguments(function: str, text: str) -> dict[str, Any]:
    """The values of a call's named arguments, by the declaration of the function."""
    return read_arguments(DECLARED[function].named, text)


def one_row(function: str, texts: pa.Array, one: Callable[[dict[str, Any]], dict[str, Any]]) -> pa.Array:
    """A list of one row for each call, of the type that the function is declared to give.

    Args:
        function: Its name.
        texts: The named arguments of each call, as JSON objects.
        one: From the arguments of a call to its row.
    """
    rows = [[one(named_arguments(function, text))] for text in texts.to_pylist()]
    return pa.array(rows, pa.list_(DECLARED[function].returns))
