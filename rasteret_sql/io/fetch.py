"""One range of a file, exactly: within the limits of requests in flight, retried, with errors that say what to do.

These coroutines run on the process's I/O loop (`loop.run`, `loop.submit`).
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from obstore.exceptions import BaseError

from rasteret_sql.io import addresses
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import Buffer, FileFacts, PrefixBackend, StorageBackend
from rasteret_sql.io.failures import Cause, Failure, failure_of
from rasteret_sql.io.loop import io_loop
from rasteret_sql.types import ByteRange

__all__ = ["RetryPolicy", "fetch", "fetch_prefix", "safe_address"]

T = TypeVar("T")

_host = functools.lru_cache(maxsize=65_536)(addresses.host)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a failed request is repeated."""

    retries: int = 5
    """Most repetitions after a busy or failing server or a broken connection."""
    short_retries: int = 3
    """Most repetitions after an answer of the wrong length, or no connection: often these stay as they are."""
    first_wait: float = 0.1
    """Seconds before the first repetition, doubled each time, less a random part of up to a half."""
    longest_wait: float = 10.0
    window: float = 45.0
    """No repetition starts later than this many seconds after the first request: a stalled server ends in an error."""

    def wait(self, failure: Failure, repetitions: int, elapsed: float) -> float | None:
        """Seconds to wait before the next repetition; None where there is to be none."""
        most = self.short_retries if failure.cause in (Cause.SHORT, Cause.CONNECT) else self.retries
        if not failure.cause.retryable or repetitions >= most:
            return None
        seconds = min(self.longest_wait, self.first_wait * 2**repetitions) * random.uniform(0.5, 1)  # noqa: S311
        return seconds if elapsed + seconds < self.window else None


_POLICY = RetryPolicy()


async def fetch(backend: StorageBackend, address: str, part: ByteRange, policy: RetryPolicy = _POLICY) -> memoryview:
    """Read one range.

    Args:
        backend: who gives the bytes.
        address: of the file.
        part: the range.
        policy: how failures are repeated.

    Returns:
        A view of exactly `part.length` bytes.

    Raises:
        StorageError: or one of its leaves, after the last repetition; the message holds no secrets.
    """
    if not part.length:
        return memoryview(b"")

    async def once() -> memoryview | Failure:
        data = memoryview(await _call(backend.get_range, address, part.offset, part.length))
        if data.nbytes == part.length:
            return data
        return Failure(Cause.SHORT, f"expected {part.length} bytes, received {data.nbytes}")

    return await _repeat(once, address, part, policy)


async def fetch_prefix(
    backend: StorageBackend, address: str, length: int, policy: RetryPolicy = _POLICY
) -> tuple[bytes, FileFacts]:
    """Read the start of a file, with one request.

    Returns:
        The first `length` bytes, or all of a shorter file, and what the backend tells of it.

    Raises:
        StorageError: or one of its leaves.
    """
    part = ByteRange(0, length)

    async def once() -> tuple[bytes, FileFacts] | Failure:
        try:
            if isinstance(backend, PrefixBackend):
                buffer, facts = await _call(backend.get_prefix, address, length)
            else:
                buffer, facts = await _call(backend.get_range, address, 0, length), FileFacts()
        except BaseError as error:
            failure = failure_of(error)
            if failure is not None and failure.cause is Cause.BEYOND:
                return b"", FileFacts(0)  # an empty file has no range that could be given
            raise
        data, size = bytes(buffer), facts.size
        if len(data) > length or (size is not None and len(data) != min(size, length)):
            expected = length if size is None else min(size, length)
            return Failure(Cause.SHORT, f"expected {expected} bytes, received {len(data)}")
        # A backend that gives less than asked says where the file ends.
        return data, replace(facts, size=len(data)) if size is None and len(data) < length else facts

    return await _repeat(once, address, part, policy)


async def _repeat(once: Callable[[], Awaitable[T | Failure]], address: str, part: ByteRange, policy: RetryPolicy) -> T:
    limiter, host = io_loop().limiter, _host(address)
    started, repetitions = time.monotonic(), 0
    while True:
        await limiter.acquire(host)
        result: T | Failure
        try:
            result = await once()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            result = failure
        finally:
            limiter.release(host)
        if not isinstance(result, Failure):
            return result
        seconds = policy.wait(result, repetitions, time.monotonic() - started)
        if seconds is None:
            # Raised outside of `except`: the store's own error may hold a signed URL, and tracebacks show causes.
            raise result.error(address, part, repetitions + 1)
        repetitions += 1
        await asyncio.sleep(seconds)


async def _call(method: Callable[..., Any], *args: Any) -> Buffer:
    """Call a backend's method: coroutines on the loop, plain functions in a thread, so that they hold up nobody."""
    if inspect.iscoroutinefunction(method):
        return await method(*args)
    result = await asyncio.to_thread(method, *args)
    return await result if inspect.isawaitable(result) else result
