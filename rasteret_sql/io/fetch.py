"""Fetches one range of a file, exactly: within the limits of requests, retried, with errors that say what to do.

These coroutines run on the process's I/O loop (`loop.run`, `loop.submit`).
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from obstore.exceptions import BaseError

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.io import addresses
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import Buffer, FileFacts, SigningBackend, StorageBackend, gives_starts, tells_facts
from rasteret_sql.io.failures import Cause, Failure, failure_of
from rasteret_sql.io.loop import io_loop
from rasteret_sql.io.retry_after import retry_after
from rasteret_sql.io.settings import io_settings
from rasteret_sql.io.signed_addresses import signed_form
from rasteret_sql.receipt import Receipt, current_receipt

__all__ = ["RetryPolicy", "fetch", "fetch_prefix", "fetch_starts", "safe_address"]

T = TypeVar("T")

_host = functools.lru_cache(maxsize=65_536)(addresses.host)
_NO_FACTS = FileFacts()
_PATIENCE = 3
"""Request timeouts that one try may take: a part may be had by a second request, to another region, say."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Rules by which a failed request is repeated."""

    retries: int = 5
    """Most repetitions after a busy or failing server or a broken connection."""
    short_retries: int = 3
    """Most repetitions after an answer of the wrong length, no connection, or a failure that is not known: often these
    stay as they are."""
    first_wait: float = 0.1
    """Seconds before the first repetition, doubled each time, less a random part of up to a half."""
    busy_wait: float = 1.0
    """The same after the server asked to slow down, and more by a random part of up to a quarter."""
    longest_wait: float = 10.0
    window: float = 45.0
    """No repetition starts later than this many seconds after the first request: a stalled server ends in an error."""

    def wait(self, failure: Failure, repetitions: int, elapsed: float) -> float | None:
        """Seconds to wait before the next repetition; None where there is to be none."""
        cause = failure.cause
        most = self.retries
        if cause in (Cause.SHORT, Cause.CONNECT, Cause.NO_HOST, Cause.UNKNOWN):
            most = min(most, self.short_retries)
        if not cause.retryable or repetitions >= most:
            return None
        if cause is Cause.BUSY:
            seconds = min(self.longest_wait, self.busy_wait * 2**repetitions) * random.uniform(1, 1.25)  # noqa: S311
            seconds = max(seconds, failure.retry_after or 0)
        else:
            seconds = min(self.longest_wait, self.first_wait * 2**repetitions) * random.uniform(0.5, 1)  # noqa: S311
        return seconds if elapsed + seconds < self.window else None


def _policy() -> RetryPolicy:
    settings = io_settings()
    return RetryPolicy(retries=settings.retries, window=settings.retry_window)


async def fetch(
    backend: StorageBackend,
    address: str,
    part: ByteRange,
    policy: RetryPolicy | None = None,
    expected: FileFacts | None = None,
) -> memoryview:
    """Read one range.

    Args:
        backend: who gives the bytes.
        address: of the file.
        part: the range.
        policy: how failures are repeated; by default as the settings say.
        expected: what was known of the file when it was indexed; None: any file will do.

    Returns:
        A view of exactly `part.length` bytes.

    Raises:
        FileChangedError: the backend tells that the file is another one than `expected`.
        StorageError: or one of its leaves, after the last repetition; the message holds no secrets.
    """
    receipt = current_receipt()
    with receipt.fetch:
        return (await fetch_known(backend, address, part, policy, expected, receipt))[0]


async def fetch_known(  # noqa: PLR0917
    backend: StorageBackend,
    address: str,
    part: ByteRange,
    policy: RetryPolicy | None = None,
    expected: FileFacts | None = None,
    receipt: Receipt | None = None,
) -> tuple[memoryview, FileFacts]:
    """The same, with what the backend tells of the file; `receipt` gets the requests and bytes."""
    if not part.length:
        return memoryview(b""), _NO_FACTS
    tries = 0

    async def once() -> tuple[memoryview, FileFacts] | Failure:
        nonlocal tries
        tries += 1
        if receipt is not None:
            receipt.sent(again=tries > 1)
        buffer, facts = await _part(backend, address, part.offset, part.length)
        if receipt is not None:
            receipt.received(memoryview(buffer).nbytes)
        if expected is not None and (change := facts.change_from(expected)):
            return Failure(Cause.CHANGED, change)
        data = memoryview(buffer)
        if data.nbytes == part.length:
            return data, facts
        return Failure(Cause.SHORT, f"expected {part.length} bytes, received {data.nbytes}")

    return await _repeat(once, address, part, policy or _policy(), backend, indexed=expected is not None)


async def fetch_prefix(
    backend: StorageBackend, address: str, length: int, policy: RetryPolicy | None = None
) -> tuple[bytes, FileFacts]:
    """Read the start of a file, with one request.

    Returns:
        The first `length` bytes, or all of a shorter file, and what the backend tells of it.

    Raises:
        StorageError: or one of its leaves.
    """
    part, receipt, tries = ByteRange(0, length), current_receipt(), 0

    async def once() -> tuple[bytes, FileFacts] | Failure:
        nonlocal tries
        tries += 1
        receipt.sent(again=tries > 1)
        try:
            buffer, facts = await _part(backend, address, 0, length)
        except BaseError as error:
            failure = failure_of(error)
            if failure is not None and failure.cause is Cause.BEYOND:
                return b"", FileFacts(0)  # an empty file has no range that could be given
            raise
        data, size = bytes(buffer), facts.size
        receipt.received(len(data))
        if len(data) > length or (size is not None and len(data) != min(size, length)):
            expected = length if size is None else min(size, length)
            return Failure(Cause.SHORT, f"expected {expected} bytes, received {len(data)}")
        # A backend that gives less than asked says where the file ends.
        return data, replace(facts, size=len(data)) if size is None and len(data) < length else facts

    with receipt.fetch:
        return await _repeat(once, address, part, policy or _policy(), backend)


async def fetch_starts(
    backend: StorageBackend, addresses: Sequence[str], length: int
) -> dict[str, tuple[bytes, FileFacts]]:
    """Read the starts of files of this machine, one after the other, which costs less than one by one.

    Returns:
        As of `fetch_prefix`, by address, without those that are elsewhere, or that it has to ask for again.
    """
    if not gives_starts(type(backend)):
        return {}
    limiter, receipt = io_loop().limiter, current_receipt()
    gate = await limiter.acquire("")
    try:
        with receipt.fetch:
            async with asyncio.timeout(_PATIENCE * io_settings().request_timeout):
                read = await backend.get_starts(addresses, length)  # type: ignore[attr-defined]
    except TimeoutError:
        return {}
    finally:
        limiter.release(gate)
    found = {}
    for address, start in zip(addresses, read, strict=True):
        if start is not None and len(start[0]) == min(start[1].size, length):
            found[address] = start
            receipt.sent(again=False)
            receipt.received(len(start[0]))
    return found


async def _repeat(  # noqa: PLR0917
    once: Callable[[], Awaitable[T | Failure]],
    address: str,
    part: ByteRange,
    policy: RetryPolicy,
    backend: StorageBackend,
    indexed: bool = False,
) -> T:
    limiter, host = io_loop().limiter, _host(address)
    started, repetitions, renewed, changed = time.monotonic(), 0, False, False
    while True:
        gate = await limiter.acquire(host)
        result: T | Failure
        try:
            # Stores end a request in time by themselves; this ends what another backend would wait for.
            async with asyncio.timeout(_PATIENCE * io_settings().request_timeout):
                result = await once()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            result = failure
        finally:
            limiter.release(gate)
        if not isinstance(result, Failure):
            gate.answered()
            return result
        if result.cause is Cause.DENIED and not renewed and await _renewed(backend, address):
            renewed = True
            continue
        if result.cause is Cause.BEYOND and indexed:
            raise Failure(Cause.CHANGED, "it ends before that range").error(address, part, repetitions + 1)
        if result.cause is Cause.BUSY:
            result = replace(result, retry_after=await retry_after(signed_form(address), limiter, host))
        # One odd answer, of an old copy in some cache, is no change, whatever failed before it.
        is_changed_again = changed and result.cause is Cause.CHANGED
        changed = changed or result.cause is Cause.CHANGED
        seconds = None if is_changed_again else policy.wait(result, repetitions, time.monotonic() - started)
        if result.cause is Cause.BUSY:
            gate.turned_away(seconds or policy.busy_wait)
        if seconds is None:
            if result.cause is Cause.DENIED and isinstance(backend, SigningBackend):
                result = replace(result, credential=backend.credential(address))
            # Raised outside of `except`: the store's own error may hold a signed URL, and tracebacks show causes.
            raise result.error(address, part, repetitions + 1 + renewed)
        repetitions += 1
        await asyncio.sleep(seconds)


async def _renewed(backend: StorageBackend, address: str) -> bool:
    """True where credentials that were refused, expired perhaps, are dropped, so that others will be asked for."""
    return isinstance(backend, SigningBackend) and await asyncio.to_thread(backend.renew, address)


async def _part(backend: StorageBackend, address: str, start: int, length: int) -> tuple[Buffer, FileFacts]:
    """A part and what is known of the file, from a backend of either kind."""
    if tells_facts(type(backend)):
        part: tuple[Buffer, FileFacts] = await _call(backend.get_part, address, start, length)  # type: ignore[attr-defined]
        return part
    # A backend of the user's does not know what this process knows of signatures.
    return await _call(backend.get_range, signed_form(address), start, length), _NO_FACTS


async def _call(method: Callable[..., Any], *args: Any) -> Any:
    """Call a backend's method: coroutines on the loop, plain functions in a thread, so that they hold up nobody."""
    if inspect.iscoroutinefunction(method):
        return await method(*args)
    result = await asyncio.to_thread(method, *args)
    return await result if inspect.isawaitable(result) else result
