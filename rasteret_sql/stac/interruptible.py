"""Waits for a blocking request in a way that Ctrl-C can end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from rasteret_sql.callbacks import POLL_SECONDS, Cancelled
from rasteret_sql.errors import InterruptedQueryError
from rasteret_sql.receipt import carried

T = TypeVar("T")


def start(work: Callable[[], T]) -> Future[T]:
    """Run blocking work on a thread of its own.

    The thread is a daemon: nobody waits for it when its result is no longer wanted, not even the end of the process.
    """
    result: Future[T] = Future()
    work = carried(work)

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            result.set_exception(error)

    threading.Thread(target=run, name="rasteret-stac", daemon=True).start()
    return result


def interruptible(work: Callable[[], T], cancelled: Cancelled | None) -> T:
    """Run blocking work; where there is a cancel flag, on a thread that is left behind once the flag is set."""
    return work() if cancelled is None else wait(start(work), cancelled)


def wait(result: Future[T], cancelled: Cancelled | None) -> T:
    """The result of a future, or InterruptedQueryError as soon as the flag is set."""
    while cancelled is not None and not result.done():
        if cancelled():
            raise InterruptedQueryError("the STAC search was interrupted")
        try:
            result.exception(timeout=POLL_SECONDS)
        except TimeoutError:
            continue
    return result.result()
