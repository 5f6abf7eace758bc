"""Stopping: one flag for the process, raised by Ctrl-C or `interrupt`, polled by every wait."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from rasteret_sql.errors import InterruptedQueryError

POLL_SECONDS = 0.05
"""How often a wait looks at the flag."""


class _Interrupts:
    """Counts interrupts; a call that began before the newest one is to stop."""

    def __init__(self) -> None:
        self.count = 0
        self._previous: Any = None

    def raise_flag(self) -> None:
        self.count += 1

    def chain_sigint(self) -> None:
        """Put our handler before the one that is there; only the main thread may, others leave things as they are."""
        if threading.current_thread() is not threading.main_thread():
            return
        current = signal.getsignal(signal.SIGINT)
        if current is self._handle or current is None or getattr(current, "__self__", None) is self:
            return
        self._previous = current
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.raise_flag()
        if callable(self._previous):
            self._previous(signum, frame)
        elif self._previous == signal.SIG_DFL:
            raise KeyboardInterrupt


_interrupts = _Interrupts()


def interrupt_all() -> None:
    """Stop every call that is running now, in all sessions of the process."""
    _interrupts.raise_flag()


def watch_sigint() -> None:
    """Make Ctrl-C stop running calls; what handled it before still does. Called again it changes nothing."""
    _interrupts.chain_sigint()


def cancellation() -> Callable[[], bool]:
    """A flag for one call: True from the first interrupt after now."""
    begun = _interrupts.count
    return lambda: _interrupts.count != begun


def check(cancelled: Callable[[], bool]) -> None:
    """Raise if the call is to stop."""
    if cancelled():
        msg = "the query was interrupted; nothing was changed and the connection can be used again"
        raise InterruptedQueryError(msg)
