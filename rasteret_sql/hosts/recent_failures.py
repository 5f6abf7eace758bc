"""Answers a call that has just failed from memory, while DuckDB repeats it.

DuckDB folds a call of constants while it plans. Where that fails it goes on planning and folds again, up to eleven
times for one statement (1.5.5 and 2.0.1), and a read that fails after its own retries would take minutes. What failed
is answered from here as long as it is the same statement that asks.

DuckDB does not say which statement asks. These do: the same arguments; no longer than `WINDOW_SECONDS` after the last
answer; and the same place in the Python program, since DuckDB plans on the thread that asks, between two instructions
of it. A thread of DuckDB's own has no such place: it carries a statement out, which ends with the answer, while the
thread that asked waits at its place.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

import pyarrow as pa

from rasteret_sql.errors import RasteretError, StorageError

WINDOW_SECONDS = 0.25
"""Longest pause between two attempts of DuckDB; whoever asks again later is a person or a program, and is served."""
LONGEST_SECONDS = 2.0
"""No answer is older, however fast a program asks for the same in a loop."""

Key = tuple[object, ...]
Place = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Failed:
    error: RasteretError
    place: Place
    thread: int
    """Identifier of the thread that asked."""
    at: float
    """When it failed."""
    last: float
    """When it was last asked for."""


class RecentFailures:
    """Failed reads of one database, by function and constant arguments."""

    def __init__(self) -> None:
        self._failed: dict[Key, _Failed] = {}
        self._lock = threading.Lock()

    def answer(self, function: str, columns: Sequence[pa.Array]) -> RasteretError | None:
        """The error that the same call just failed with; None where it has to be tried."""
        if not self._failed:
            return None
        key = _key(function, columns)
        if key is None:
            return None
        now, place = time.monotonic(), _place(_caller())
        with self._lock:
            failed = self._failed.get(key)
            if failed is None:
                return None
            is_same = (place or _place(_frame_of(failed.thread))) == failed.place
            is_recent = now - failed.last <= WINDOW_SECONDS and now - failed.at <= LONGEST_SECONDS
            if not (place and is_same and is_recent):
                del self._failed[key]
            if not (is_same and is_recent):
                return None
            failed.last = now
            return failed.error.retold(str(failed.error))

    def add(self, function: str, columns: Sequence[pa.Array], error: RasteretError) -> None:
        """Remember that a call failed by what a server or a disk did; all else is found out again at once."""
        place = _place(_caller())
        key = _key(function, columns) if place and isinstance(error, StorageError) else None
        if key is None:
            return
        now = time.monotonic()
        with self._lock:
            for old in [one for one, failed in self._failed.items() if now - failed.last > WINDOW_SECONDS]:
                del self._failed[old]
            self._failed[key] = _Failed(error.retold(str(error)), place, threading.get_ident(), now, now)


def _key(function: str, columns: Sequence[pa.Array]) -> Key | None:
    """Function and arguments, where they are the same in all rows, as constants are."""
    if any(not column.slice(1).equals(column.slice(0, len(column) - 1)) for column in columns if len(column) > 1):
        return None
    return (function, *((str(column.type), repr(column[:1].to_pylist())) for column in columns))


def _caller() -> FrameType | None:
    """The frame above the function that DuckDB called; None on a thread of DuckDB's own."""
    return sys._getframe(2).f_back  # noqa: SLF001 - below it are `answer` or `add`, and this


_collecting = threading.Lock()


def _frame_of(thread: int) -> FrameType | None:
    """The frame in which a thread is; None if it has ended.

    CPython (3.11.7, for one) holds the lock of its list of threads meanwhile. If garbage is collected just then and has
    a `threading.local`, which needs this lock to be freed, the process stops for ever.
    """
    with _collecting:
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            return sys._current_frames().get(thread)  # noqa: SLF001
        finally:
            if was_enabled:
                gc.enable()


def _place(frame: FrameType | None) -> Place:
    """The place in its program of a thread that has come to a frame; empty without one."""
    place = []
    while frame is not None:
        place.append((id(frame.f_code), frame.f_lasti))
        frame = frame.f_back
    return tuple(place)
