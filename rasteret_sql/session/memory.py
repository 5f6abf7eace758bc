"""Bounds the memory that a call may take."""

from __future__ import annotations

from rasteret_sql.errors import InvalidArgumentError


def require_call_bytes(value: int | None) -> None:
    """Check what a caller gives as `max_call_bytes`; None stands for the default.

    Raises:
        InvalidArgumentError: it is no number of bytes.
    """
    if value is not None and (type(value) is not int or value < 1):
        raise InvalidArgumentError(f"max_call_bytes is a number of bytes, 1 or more, not {value!r}")
