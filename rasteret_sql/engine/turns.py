"""`Turns`: runs tasks of many calls on few threads, one of each call in turn: a light call passes a heavy one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Turns:
    """Threads that take tasks in turn.

    Args:
        threads: how many.
        name: of the threads, in front of their number.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, name)
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, deque[Callable[[], None]]] = {}
        """The tasks of each owner, in order; the owners in the order of their turns."""

    def submit(self, owner: Hashable, work: Callable[..., T], *given: Any) -> Future[T]:
        """Run a task when its owner's turn comes, after the tasks that the owner brought before.

        Args:
            owner: whose turn it takes.
            work: the task.
            given: what it is called with.
        """
        future: Future[T] = Future()
        with self._lock:
            self._waiting.setdefault(owner, deque()).append(lambda: _run(future, work, given))
        # A thread runs as many tasks as were brought, not just these.
        self._threads.submit(self._take_turn)
        return future

    def others_wait(self, owner: Hashable) -> bool:
        """True where another owner waits for its turn."""
        waiting = self._waiting
        return len(waiting) > (owner in waiting)

    def _take_turn(self) -> None:
        with self._lock:
            owner = next(iter(self._waiting))
            tasks = self._waiting.pop(owner)
            task = tasks.popleft()
            if tasks:
                self._waiting[owner] = tasks
        task()


def _run(future: Future[T], work: Callable[..., T], given: tuple[Any, ...]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work(*given)
    except BaseException as error:  # noqa: BLE001  given to whoever waits
        future.set_exception(error)
    else:
        future.set_result(result)
