"""Asks a busy web server for its `Retry-After`.

Stores do not hand on the headers of an answer that failed, so the server is asked once more, for one byte, by the
standard library: once for all requests that it turned away at that time.
"""

from __future__ import annotations

import asyncio
import email.utils
import time
import urllib.request
from datetime import UTC, datetime
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from rasteret_sql.io.rate_limit import Limiter
from rasteret_sql.receipt import current_receipt

_TIMEOUT_SECONDS = 3.0
_FRESH_SECONDS = 0.5
"""What a host said is taken for all requests that it turned away within this time."""
_LONGEST_SECONDS = 600.0
_BUSY = (429, 503)

_asked: dict[str, tuple[float, asyncio.Task[float | None]]] = {}
"""Host → when it was asked, and its answer. Used on the I/O loop alone."""


async def retry_after(address: str, limiter: Limiter, host: str) -> float | None:
    """Seconds that a server asks to wait; None where it does not say, or answers by now.

    Args:
        address: Of the file that it would not give; only http and https servers are asked.
        limiter: Gives the question a place among the requests in flight.
        host: As the limiter counts it.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or parts.username:
        return None
    now = time.monotonic()
    known = _asked.get(parts.netloc)
    if known is None or now - known[0] > _FRESH_SECONDS or known[1].get_loop() is not asyncio.get_running_loop():
        task = asyncio.create_task(_asked_in_turn(address, limiter, host))
        known = _asked[parts.netloc] = (now, task)
    # Shielded: others wait for the same answer.
    return await asyncio.shield(known[1])


async def _asked_in_turn(address: str, limiter: Limiter, host: str) -> float | None:
    gate = await limiter.acquire(host)
    current_receipt().sent(again=True)
    try:
        return await asyncio.to_thread(_ask, address)
    finally:
        limiter.release(gate)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other."""

    def redirect_request(self, *_args: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _ask(address: str) -> float | None:
    headers = {"User-Agent": "rasteret-sql", "Range": "bytes=0-0"}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310
    try:
        with _opener.open(request, timeout=_TIMEOUT_SECONDS):
            return None
    except HTTPError as error:
        with error:
            return seconds_of(error.headers.get("Retry-After")) if error.code in _BUSY else None
    except (URLError, OSError, ValueError):
        return None  # nothing is known; the retry itself will show what is wrong


def seconds_of(value: str | None) -> float | None:
    """Seconds from now that a `Retry-After` means: a number of them, or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    text = value.strip()
    if text.isdigit():
        return min(float(text), _LONGEST_SECONDS)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max((when - datetime.now(UTC)).total_seconds(), 0.0), _LONGEST_SECONDS)
