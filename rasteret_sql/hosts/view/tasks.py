"""`Tasks`: runs the reads of a page on threads, of each kind the newest alone, and hands results to its document."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rasteret_sql.receipt import Receipt

T = TypeVar("T")
Later = Callable[[Callable[[], None]], Any]
"""Runs a function on the thread of the document."""


@dataclass(slots=True, eq=False)
class Work:
    """One read."""

    receipt: Receipt = field(default_factory=Receipt)
    """Stops its functions."""
    interrupt: Callable[[], None] | None = None
    """Stops its statement, where it runs one."""

    def stop(self) -> None:
        self.receipt.stop()
        if self.interrupt is not None:
            self.interrupt()


class Tasks:
    """The reads of one page.

    Args:
        pool: runs them.
        later: runs what changes the document.
    """

    def __init__(self, pool: Executor, later: Later) -> None:
        self._pool = pool
        self._later = later
        self._running: dict[str, Work] = {}
        self._lock = threading.Lock()

    def run(
        self, kind: str, work: Callable[[Work], T], then: Callable[[T], None], fail: Callable[[Exception], None]
    ) -> None:
        """Run a read; one of the same kind that still runs is stopped, and its result dropped.

        Args:
            kind: of the read.
            work: reads.
            then: shows the result, on the thread of the document.
            fail: shows the error, likewise.
        """
        own = Work()
        with self._lock:
            before, self._running[kind] = self._running.get(kind), own
        if before is not None:
            before.stop()

        def end(show: Callable[[], None]) -> None:
            with self._lock:
                is_newest = self._running.get(kind) is own
                if is_newest:
                    del self._running[kind]
            if is_newest:
                show()

        def run() -> None:
            try:
                result = work(own)
            except Exception as error:  # noqa: BLE001 - shown
                failed = error
                self._later(lambda: end(lambda: fail(failed)))
            else:
                self._later(lambda: end(lambda: then(result)))

        self._pool.submit(run)

    def stop(self, kind: str | None = None) -> None:
        """Stop the reads of a kind, or all."""
        with self._lock:
            some = [work for name, work in self._running.items() if kind in (None, name)]
        for work in some:
            work.stop()
