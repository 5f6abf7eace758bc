"""Keeps limits and timeouts of all requests of this process."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, fields, replace
from typing import Any

from rasteret_sql.errors import InvalidArgumentError, did_you_mean

_MEBIBYTE = 1 << 20
DEFAULT_MAX_CONCURRENT = 50
"""Files whose headers are read at a time, unless a build says."""


@dataclass(frozen=True, slots=True)
class IoSettings:
    """Settings that may be changed; times in seconds."""

    max_requests: int = 128
    """Requests in flight at a time, of the process."""
    max_requests_per_host: int = 128
    """Of these, to one host, bucket or container."""
    connect_timeout: float = 5.0
    request_timeout: float = 30.0
    """For a whole request, its body included."""
    retries: int = 5
    """How often a failed request is repeated."""
    retry_window: float = 45.0
    """No repetition starts later than this after the first try."""
    whole_file_bytes: int = 64 * _MEBIBYTE
    """Largest file that is read as a whole from a server that does not serve parts of files; 0: none is."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_whole = field.type == "int"
            least = 0 if field.name in ("retries", "whole_file_bytes") else 1 if is_whole else 0.001
            right = isinstance(value, int if is_whole else (int, float)) and not isinstance(value, bool)
            if not right or not math.isfinite(value) or value < least:
                kind = "an integer" if is_whole else "a number of seconds"
                raise InvalidArgumentError(f"{field.name} is {kind}, {least} or more, not {value!r}")


class _Holder:
    """Holds what the process uses now."""

    current = IoSettings()
    lock = threading.Lock()


def io_settings() -> IoSettings:
    """The settings in use."""
    return _Holder.current


def change_io_settings(**values: Any) -> IoSettings:
    """Change some settings for the whole process; requests that run keep theirs.

    Args:
        values: Of `IoSettings`, by name.

    Returns:
        All settings, as they are now.

    Raises:
        InvalidArgumentError: There is no such setting, or it cannot have that value; nothing was changed.
    """
    known = [field.name for field in fields(IoSettings)]
    for name in values:
        if name not in known:
            raise InvalidArgumentError(f'no setting "{name}"; {did_you_mean(name, known)}')
    with _Holder.lock:
        _Holder.current = replace(_Holder.current, **values)
        return _Holder.current
