"""Counts calls of functions and the rows that reached them."""

from __future__ import annotations

import threading


class Receipts:
    """Counts of the calls of each function and the rows that reached it: tests of laziness assert them."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._lock = threading.Lock()

    def count(self, function: str, rows: int) -> None:
        with self._lock:
            self._rows[function] = self._rows.get(function, 0) + rows

    def rows(self, function: str) -> int:
        """Rows that reached a private function since the last `clear`."""
        return self._rows.get(function, 0)

    def clear(self) -> None:
        with self._lock:
            self._rows.clear()
