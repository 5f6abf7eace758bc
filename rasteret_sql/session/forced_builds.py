"""Remembers forced builds that were planned but not yet carried out."""

from __future__ import annotations

import threading
import time


class ForcedBuilds:
    """Builds with `force` that were planned but not yet carried out.

    DuckDB plans some statements twice (`con.sql(...)`, then its execution), and a forced build runs when planned. What
    was made for a statement that has only been planned serves the next planning of the same call; once a statement
    was carried out, the next one builds again.
    """

    KEEP_SECONDS = 600.0
    """A plan older than this is no longer taken for the same statement."""

    def __init__(self) -> None:
        self._pending: dict[str, float] = {}
        self._lock = threading.Lock()

    def is_pending(self, call: str) -> bool:
        """True where this very call was made for a statement that was only planned so far."""
        made = self._pending.get(call)
        return made is not None and time.monotonic() - made < self.KEEP_SECONDS

    def made(self, call: str) -> None:
        with self._lock:
            self._pending[call] = time.monotonic()

    def executed(self) -> None:
        """A statement with a forced build is being carried out."""
        with self._lock:
            self._pending.clear()
