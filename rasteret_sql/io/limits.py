"""How many requests may be in flight, for the whole process and for one host."""

from __future__ import annotations

from rasteret_sql.io.gate import Gate, HostGate
from rasteret_sql.io.settings import io_settings


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
