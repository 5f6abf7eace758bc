"""`Receipt`: counts the requests, bytes and tiles of one statement, and takes the time of its stages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class Clock:
    """Seconds in which at least one of the threads that share it was inside a `with` of it."""

    __slots__ = ("_before", "_inside", "_lock", "_since")

    def __init__(self) -> None:
        self._before = 0.0
        self._inside = 0
        self._since = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._since = time.perf_counter()
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._before += time.perf_counter() - self._since

    @property
    def is_running(self) -> bool:
        """True while a thread is inside."""
        return self._inside > 0

    @property
    def seconds(self) -> float:
        """So far, with the time of those that are inside now."""
        with self._lock:
            return self._before + (time.perf_counter() - self._since if self._inside else 0.0)


class Receipt:
    """The costs of one statement, added up by all its calls, whatever threads they run on."""

    __slots__ = (
        "_constant",
        "_lock",
        "_stop",
        "began_at",
        "bytes",
        "cache_hits",
        "decode",
        "error",
        "fetch",
        "functions",
        "pairs_planned",
        "pairs_seen",
        "plan",
        "reduce",
        "requests",
        "retries",
        "running",
        "shares",
        "tiles",
    )

    def __init__(self, began_at: datetime | None = None) -> None:
        """Begin one, now if no naive UTC says else."""
        self.began_at = began_at or datetime.now(UTC).replace(tzinfo=None)
        """Naive UTC."""
        self.functions: dict[str, None] = {}
        """Names of those that were called, in the order of their first calls."""
        self.error = ""
        """The first error that ended a call."""
        self.running, self.plan, self.fetch, self.decode, self.reduce = (Clock() for _ in range(5))
        self.tiles = 0
        """Stored tiles that calls asked the engine for."""
        self.cache_hits = 0
        """Of these, tiles that were decoded already, or were on their way for another call."""
        self.requests = 0
        """Sent for pixels, repeated ones included."""
        self.bytes = 0
        """Received for pixels."""
        self.retries = 0
        """Requests that repeated one before."""
        self.pairs_planned = 0
        """Pairs of a scene and a geometry with pixels to read."""
        self.pairs_seen = 0
        """All pairs."""
        self.shares: dict[Hashable, Any] = {}
        self._constant: set[Hashable] = set()
        """Calls of constants that were made."""
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def stop(self) -> None:
        """Stop the calls of the statement, those that follow too."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        return self._stop.is_set()

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        """Give what all calls of the statement share under a key; the first call makes it."""
        with self._lock:
            if key not in self.shares:
                self.shares[key] = make()
            found: T = self.shares[key]
            return found

    def of_constants(self, call: Hashable) -> Receipt:
        """The receipt of a call of constants, which DuckDB may make twice: it counts pairs and tiles once."""
        with self._lock:
            if call not in self._constant:
                self._constant.add(call)
                return self
        return _RepeatedCall(self)

    @property
    def pairs_skipped(self) -> int:
        """Pairs without pixels to read: they do not meet, or an argument is NULL."""
        return max(0, self.pairs_seen - self.pairs_planned)

    def name(self, function: str) -> None:
        """Take note that a function is called."""
        if function and function not in self.functions:
            with self._lock:
                self.functions[function] = None

    def fail(self, message: str) -> None:
        """Take note that a call ended with an error."""
        with self._lock:
            self.error = self.error or message

    def saw(self, pairs: int) -> None:
        """Take note that so many pairs were looked at."""
        with self._lock:
            self.pairs_seen += pairs

    def planned(self, pairs: int) -> None:
        """Take note that so many of them have pixels to read."""
        with self._lock:
            self.pairs_planned += pairs

    def asked(self, tiles: int, at_hand: int) -> None:
        """Take note that tiles were asked for, some of which were at hand."""
        with self._lock:
            self.tiles += tiles
            self.cache_hits += at_hand

    def sent(self, *, again: bool) -> None:
        """Take note that a request is sent, which repeats one or not."""
        with self._lock:
            self.requests += 1
            self.retries += again

    def received(self, count: int) -> None:
        """Take note that so many bytes came."""
        with self._lock:
            self.bytes += count


class _RepeatedCall(Receipt):
    """The receipt of a call that is made again: of its costs, but not of the pairs and tiles that it asks for."""

    __slots__ = ("_first",)

    def __init__(self, first: Receipt) -> None:
        super().__init__(first.began_at)
        self._first = first
        self.running, self.plan, self.fetch = first.running, first.plan, first.fetch
        self.decode, self.reduce, self.shares = first.decode, first.reduce, first.shares
        self._stop = first._stop  # noqa: SLF001 - of its own class

    def name(self, function: str) -> None:
        self._first.name(function)

    def fail(self, message: str) -> None:
        self._first.fail(message)

    def sent(self, *, again: bool) -> None:
        self._first.sent(again=again)

    def received(self, count: int) -> None:
        self._first.received(count)


_current: ContextVar[Receipt | None] = ContextVar("receipt", default=None)


def current_receipt() -> Receipt:
    """The receipt of the statement for which this thread or coroutine works; a new one where there is none.

    For requests deep in searches and builds. Reads of pixels, whose work is shared between statements, are told theirs.
    """
    return _current.get() or Receipt()


@contextmanager
def carrying(receipt: Receipt) -> Iterator[None]:
    """Let a receipt be the current one, also in coroutines that are begun meanwhile."""
    token = _current.set(receipt)
    try:
        yield
    finally:
        _current.reset(token)


def carried(work: Callable[..., T]) -> Callable[..., T]:
    """The same work for another thread, which does not know for which statement it works."""
    receipt = _current.get()
    if receipt is None:
        return work

    def run(*given: Any) -> T:
        with carrying(receipt):
            return work(*given)

    return run
