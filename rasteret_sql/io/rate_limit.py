"""Limits the requests in flight, of the process and of one host, and slows down for a host that turns them away.

Gates let in so many at a time, and none before a given moment. They belong to one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from rasteret_sql.io.settings import io_settings

_REMEMBERED = 32
"""Answers by which a host is judged."""
_FEWEST = 16
_BUSY_SHARE = 0.25
"""A host that turns away more than this share of requests is overloaded; fewer are taken for accidents."""
_BETWEEN_CUTS = 0.5
"""Seconds in which what was on its way when the limit was cut does not cut it again."""
_CUT = 0.5


class Gate:
    """Lets in at most `limit()` at a time, first come first served, and nobody before `opens`."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.inside = 0
        self.opens = 0.0
        """Time of the event loop."""

    def limit(self) -> int:
        """Most at a time, as it is now."""
        return self._limit()

    async def enter(self) -> None:
        """Wait to be let in."""
        if not self._waiting and self._is_open():
            self.inside += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._wake_later()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.leave()  # it was let in just then
            raise

    def leave(self) -> None:
        """Make room."""
        self.inside -= 1
        self._admit()

    def close_until(self, time: float) -> None:
        """Let nobody in before a time of the event loop."""
        self.opens = max(self.opens, time)

    def _is_open(self) -> bool:
        return self.inside < self.limit() and (not self.opens or asyncio.get_running_loop().time() >= self.opens)

    def _admit(self) -> None:
        while self._waiting and self._is_open():
            waiter = self._waiting.popleft()
            if not waiter.done():  # cancelled meanwhile
                self.inside += 1
                waiter.set_result(None)
        self._wake_later()

    def _wake_later(self) -> None:
        """Whoever leaves lets others in; while the gate is closed, only time does."""
        loop = asyncio.get_running_loop()
        if self._waiting and self._timer is None and self.opens > loop.time():
            self._timer = loop.call_at(self.opens, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._admit()


class HostGate(Gate):
    """The gate of one host, narrowed while the host turns requests away, and widened again as it answers.

    Halved at each sign of overload and widened by one for each full round of answers, as TCP does (RFC 5681, additive
    increase, multiplicative decrease).
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        super().__init__(limit)
        self._narrowed: float | None = None
        """Requests at a time while narrowed."""
        self._turned_away: deque[bool] = deque(maxlen=_REMEMBERED)
        self._last_cut = 0.0

    def limit(self) -> int:
        most = self._limit()
        return most if self._narrowed is None else min(most, int(self._narrowed))

    @property
    def is_overloaded(self) -> bool:
        """True where a good part of the latest requests was turned away."""
        return len(self._turned_away) >= _FEWEST and sum(self._turned_away) > _BUSY_SHARE * len(self._turned_away)

    def answered(self) -> None:
        """A request was served."""
        if self._narrowed is not None:
            self._narrowed += 1 / max(self._narrowed, 1)
            if self._narrowed >= self._limit():
                self._narrowed = None
        if self._turned_away:
            self._turned_away.append(False)
            if not any(self._turned_away):
                self._turned_away.clear()

    def turned_away(self, seconds: float) -> None:
        """The host asked to slow down; where it does so often, all its requests wait for `seconds`."""
        self._turned_away.append(True)
        if not self.is_overloaded:
            return
        now = asyncio.get_running_loop().time()
        self.close_until(now + seconds)
        if now - self._last_cut > _BETWEEN_CUTS:
            self._last_cut = now
            self._narrowed = max(1.0, min(self._narrowed or self._limit(), max(self.inside, 1)) * _CUT)


class Limiter:
    """Counts requests in flight; belongs to one event loop.

    A host's place is taken first, so that requests waiting for a slow host hold no place of the process.
    """

    def __init__(self) -> None:
        self._total = Gate(lambda: io_settings().max_requests)
        self._hosts: dict[str, HostGate] = {}

    def host(self, host: str) -> HostGate:
        """The gate of a host."""
        gate = self._hosts.get(host)
        if gate is None:
            gate = self._hosts[host] = HostGate(lambda: io_settings().max_requests_per_host)
        return gate

    async def acquire(self, host: str) -> HostGate:
        """Wait for a place at a host; `release` gives it back."""
        gate = self.host(host)
        await gate.enter()
        try:
            await self._total.enter()
        except BaseException:
            gate.leave()
            raise
        return gate

    def release(self, gate: HostGate) -> None:
        """Give the place back."""
        self._total.leave()
        gate.leave()

    @property
    def in_flight(self) -> int:
        """Requests that are out now."""
        return self._total.inside
