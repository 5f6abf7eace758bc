"""How many requests may be in flight, for the whole process and for one host."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rasteret_sql.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Limits:
    """Most requests in flight at a time."""

    total: int = 128
    """Of the process."""
    per_host: int = 128
    """To one host, bucket or container."""

    def __post_init__(self) -> None:
        for name in ("total", "per_host"):
            if getattr(self, name) < 1:
                msg = f"the limit of requests in flight ({name}) is 1 or more, not {getattr(self, name)}"
                raise InvalidArgumentError(msg)


class Limiter:
    """Counts requests in flight; belongs to one event loop.

    A host's place is taken first, so that requests waiting for a slow host hold no place of the process.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._total = asyncio.Semaphore(limits.total)
        self._hosts: dict[str, asyncio.Semaphore] = {}

    async def acquire(self, host: str) -> None:
        """Wait for a place."""
        semaphore = self._hosts.get(host)
        if semaphore is None:
            semaphore = self._hosts[host] = asyncio.Semaphore(self.limits.per_host)
        await semaphore.acquire()
        try:
            await self._total.acquire()
        except BaseException:
            semaphore.release()
            raise

    def release(self, host: str) -> None:
        """Give the place back."""
        self._total.release()
        self._hosts[host].release()
