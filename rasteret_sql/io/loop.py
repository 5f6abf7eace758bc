"""Runs the one event loop of the process, in a thread of its own.

All requests run here, whichever thread asks: notebooks with a running loop, DuckDB's workers, plain scripts. A loop
that outlives its queries is what lets connections be kept. After a fork the child starts its own.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from rasteret_sql.callbacks import POLL_SECONDS, Cancelled
from rasteret_sql.errors import InterruptedQueryError
from rasteret_sql.io.rate_limit import Limiter
from rasteret_sql.io.second_library import load_again

T = TypeVar("T")

THREAD_NAME = "rasteret-io"


class IoLoop:
    """An event loop running in a daemon thread, and what is bound to it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.limiter = Limiter()
        self.thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def close(self) -> None:
        """Cancel what runs, then end the thread: nothing is left to complain at interpreter exit."""
        if self.loop.is_closed() or not self.thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(_cancel_all(), self.loop).add_done_callback(
            lambda _: self.loop.call_soon_threadsafe(self.loop.stop)
        )
        self.thread.join(timeout=2)
        if not self.thread.is_alive():
            self.loop.close()


class _Holder:
    """Holds the process's loop; the only state of this package that is global."""

    def __init__(self) -> None:
        self.connected = False
        self.stranded = False
        self.forget()

    def forget(self) -> None:
        """Start anew: threads do not survive a fork, and a lock that another thread held stays locked for ever."""
        self.lock = threading.Lock()
        self.current: IoLoop | None = None
        # The stores' own threads are gone too, and nothing can start them again: a request would wait for ever.
        self.stranded = self.connected

    def get(self) -> IoLoop:
        current = self.current
        if current is None:
            with self.lock:
                current = self.current = self.current or IoLoop()
        return current

    def close(self) -> None:
        with self.lock:
            current, self.current = self.current, None
        if current is not None:
            current.close()


_holder = _Holder()
atexit.register(_holder.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_holder.forget)


def io_loop() -> IoLoop:
    """The process's loop, started when first asked for."""
    return _holder.get()


def connecting() -> None:
    """Note that a store is about to be used; in a child of a process that had used stores, have it made anew.

    Raises:
        RuntimeError: that cannot be; failures.py makes a clear error of it.
    """
    if _holder.stranded:
        with _holder.lock:
            if _holder.stranded:
                try:
                    load_again()
                except ImportError as error:
                    msg = f"stores were used before a fork, and {error}"
                    raise RuntimeError(msg) from error
                _holder.stranded = False
    _holder.connected = True


def submit(coro: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Start a coroutine on the loop; cancelling the future cancels the coroutine's task."""
    return asyncio.run_coroutine_threadsafe(coro, io_loop().loop)


def run(coro: Coroutine[Any, Any, T], cancelled: Cancelled | None = None) -> T:
    """Run a coroutine on the loop and wait for it, from any thread but the loop's own.

    Args:
        coro: what to run.
        cancelled: asked every 50 ms; True ends the wait and cancels the coroutine.

    Raises:
        InterruptedQueryError: `cancelled` said so.
    """
    if threading.current_thread() is io_loop().thread:
        coro.close()
        msg = f"run() would wait for itself: it was called on the {THREAD_NAME} thread; await the coroutine there"
        raise RuntimeError(msg)
    future = submit(coro)
    try:
        while True:
            if cancelled is not None and cancelled():
                msg = "the query was interrupted while it waited for data"
                raise InterruptedQueryError(msg)
            done, _ = concurrent.futures.wait([future], timeout=POLL_SECONDS)
            if done:
                return future.result()
    finally:
        # Also on Ctrl-C in the main thread; a future that is done takes no notice.
        future.cancel()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
