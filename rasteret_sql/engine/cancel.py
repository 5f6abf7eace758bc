"""Stops work: counts interrupts, raised by Ctrl-C or `rasteret_sql.interrupt`, polled by every wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InterruptedQueryError

INTERRUPTED = "the query was interrupted; nothing was changed and the connection can be used again"


class Interrupts:
    """Counts interrupts; a call that began before the newest one is to stop, one that begins after it is not."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def stop_running(self) -> None:
        """Stop every call that has begun."""
        self._count += 1

    def flag(self) -> Cancelled:
        """A flag for one call: True from the first interrupt after now."""
        begun = self._count
        return lambda: self._count != begun


_process = Interrupts()
_own: ContextVar[Cancelled | None] = ContextVar("rasteret_sql.cancelled", default=None)
"""Stops the calls of one task; None: nothing but the process does."""


class _Handler:
    """A handler of SIGINT before another one. Each keeps its own predecessor, so that handlers may chain us in turn."""

    __slots__ = ("_previous",)

    def __init__(self, previous: Callable[[int, FrameType | None], object]) -> None:
        self._previous = previous

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        interrupt_all()
        self._previous(signum, frame)


def interrupt_all() -> None:
    """Stop every call that is running now, in all sessions of the process."""
    _process.stop_running()


def watch_sigint() -> None:
    """Make Ctrl-C stop running calls; what handled it before still does. Called again it changes nothing.

    Hosts replace the handler (a notebook kernel for every cell), so this is called whenever a statement begins. Only
    the main thread may; where the process ignores SIGINT, or is to die of it, things are left as they are.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    current = signal.getsignal(signal.SIGINT)
    if callable(current) and not isinstance(current, _Handler):
        signal.signal(signal.SIGINT, _Handler(current))


def cancellation() -> Cancelled:
    """A flag for one call: True from the first interrupt of the process after now, and where its task is stopped."""
    flag, own = _process.flag(), _own.get()
    return flag if own is None else lambda: flag() or own()


@contextmanager
def stopped_by(flag: Cancelled) -> Iterator[None]:
    """Let a flag stop the calls that are made within, on this thread."""
    token = _own.set(flag)
    try:
        yield
    finally:
        _own.reset(token)


def check(cancelled: Cancelled) -> None:
    """Raise if the call is to stop."""
    if cancelled():
        raise InterruptedQueryError(INTERRUPTED)
