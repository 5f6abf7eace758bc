"""Bounds the memory that a call may take."""

from __future__ import annotations

import os

from rasteret_sql.errors import InvalidArgumentError


def machine_memory() -> int:
    """Bytes of main memory; 8 GiB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 1024**3


def require_call_bytes(value: int | None) -> None:
    """Check what a caller gives as `max_call_bytes`; None stands for the default.

    Raises:
        InvalidArgumentError: it is no number of bytes.
    """
    if value is not None and (type(value) is not int or value < 1):
        raise InvalidArgumentError(f"max_call_bytes is a number of bytes, 1 or more, not {value!r}")
