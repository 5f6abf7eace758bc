"""Defines the callbacks of long work: one that stops it, and one that is told its progress."""

from __future__ import annotations

from collections.abc import Callable

Cancelled = Callable[[], bool]
"""Polled while waiting, from any thread; once True, the work ends with InterruptedQueryError."""

Progress = Callable[[int, int | None, str], None]
"""(done, total or None while unknown, what: `items`, `headers`, `tiles`): called from the thread that works."""

POLL_SECONDS = 0.05
"""How often a wait looks whether it is to end: unnoticed by people, and no work for the processor."""
