"""Shows and changes settings of the process and of a session: names, values, bounds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rasteret_sql.engine.cache import TileCache, default_cache_bytes
from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.io.settings import IoSettings, change_io_settings, io_settings

_BYTES = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB|KIB|MIB|GIB|TIB)?\s*", re.IGNORECASE)
_UNITS = {"": 1, "B": 1, **{f"{sign}B": 1000**n for n, sign in enumerate("KMGT", 1)}}
_UNITS |= {f"{sign}IB": 1024**n for n, sign in enumerate("KMGT", 1)}
_DEFAULT = "default"


class Changeable(Protocol):
    """Settings of a session."""

    max_call_bytes: int
    default_call_bytes: int
    on_error: str
    on_change: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One of them."""

    name: str
    scope: str
    """process: all sessions and Python; session: all connections of one database."""
    kind: str
    """bytes, integer, seconds, or the words that it may be, with a bar between."""
    doc: str
    least: float = 0


SETTINGS = (
    Setting("max_requests", "process", "integer", "requests in flight at a time", 1),
    Setting("max_requests_per_host", "process", "integer", "of these, to one host, bucket or container", 1),
    Setting("connect_timeout", "process", "seconds", "time to connect", 0.001),
    Setting("request_timeout", "process", "seconds", "time for a whole request, with its body", 0.001),
    Setting("retries", "process", "integer", "how often a failed request is repeated"),
    Setting("retry_window", "process", "seconds", "no repetition starts later than this after the first try", 0.001),
    Setting(
        "whole_file_bytes",
        "process",
        "bytes",
        "largest file that is read as a whole from a server that does not serve parts of files; 0: none",
    ),
    Setting(
        "cache_bytes",
        "process",
        "bytes",
        "decoded tiles kept for the next call, a sixteenth of memory by default; 0: none",
    ),
    Setting("max_call_bytes", "session", "bytes", "pixels that one call may hold", 1),
    Setting("on_error", "session", "raise|null", "for calls that do not say"),
    Setting("on_change", "session", "raise|refresh", "for calls that do not say"),
)


def change_settings(values: Mapping[str, Any], session: Changeable, cache: TileCache) -> None:
    """Change some settings: all of them, or none where one cannot be.

    Args:
        values: By name; 'default' for the default.
        session: Whose settings change.
        cache: Decoded tiles of the process.

    Raises:
        InvalidArgumentError: There is no such setting, or it cannot have that value.
    """
    known = {setting.name: setting for setting in SETTINGS}
    for name in values:
        if name not in known:
            raise InvalidArgumentError(f'no setting "{name}"; {did_you_mean(name, known)}')
    defaults = default_values(session)
    new = {
        name: defaults[name] if value == _DEFAULT else _checked(known[name], value) for name, value in values.items()
    }
    change_io_settings(**{name: value for name, value in new.items() if name in IoSettings.__dataclass_fields__})
    if "cache_bytes" in new:
        cache.resize(new["cache_bytes"])
    for name in ("max_call_bytes", "on_error", "on_change"):
        if name in new:
            setattr(session, name, new[name])


def current_values(session: Changeable, cache: TileCache) -> dict[str, Any]:
    """All settings as they are."""
    now = io_settings()
    return {
        **{name: getattr(now, name) for name in IoSettings.__dataclass_fields__},
        "cache_bytes": cache.max_bytes,
        **_of_session(session, session.max_call_bytes),
    }


def default_values(session: Changeable) -> dict[str, Any]:
    """All settings as they were at first."""
    first = IoSettings()
    return {
        **{name: getattr(first, name) for name in IoSettings.__dataclass_fields__},
        "cache_bytes": default_cache_bytes(),
        "max_call_bytes": session.default_call_bytes,
        "on_error": "raise",
        "on_change": "raise",
    }


def _of_session(session: Changeable, call_bytes: int) -> dict[str, Any]:
    return {"max_call_bytes": call_bytes, "on_error": session.on_error, "on_change": session.on_change}


def _checked(setting: Setting, value: Any) -> Any:
    """A value of the setting's kind; numbers may come as text."""
    parse: Callable[[Setting, Any], Any] = {"bytes": _bytes, "integer": _integer, "seconds": _seconds}.get(
        setting.kind, _word
    )
    return parse(setting, value)


def _word(setting: Setting, value: Any) -> str:
    words = setting.kind.split("|")
    if value not in words:
        raise _wrong(setting, value, " or ".join(f"'{word}'" for word in words))
    return str(value)


def _bytes(setting: Setting, value: Any) -> int:
    count = byte_count(value)
    if count is None or count < setting.least:
        raise _wrong(setting, value, f"a number of bytes, {setting.least} or more, or text such as '512 MiB'")
    return count


def byte_count(value: Any) -> int | None:
    """Bytes as a number, or as text such as '512 MiB'; None for what is neither."""
    found = _BYTES.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        value = int(float(found[1]) * _UNITS[(found[2] or "").upper()])
    return value if type(value) is int else None


def _integer(setting: Setting, value: Any) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if type(value) is not int or value < setting.least:
        raise _wrong(setting, value, f"an integer, {setting.least} or more")
    return value


def _seconds(setting: Setting, value: Any) -> float:
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else -1.0
    except ValueError:
        number = -1.0
    if not setting.least <= number < float("inf"):
        raise _wrong(setting, value, f"seconds, {setting.least} or more")
    return number


def _wrong(setting: Setting, value: Any, expected: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{setting.name} := {json.dumps(value)} cannot be used; expected {expected}")
