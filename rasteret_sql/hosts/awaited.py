"""Makes coroutines of methods that read: these run in a thread of their own, and stop where their task is cancelled."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from rasteret_sql.engine.cancel import stopped_by

P = ParamSpec("P")
R = TypeVar("R")


def awaited(method: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """The twin of a method: it takes the same arguments, and leaves the event loop free while it waits."""

    async def twin(*args: P.args, **named: P.kwargs) -> R:
        stop = threading.Event()

        def read() -> R:
            with stopped_by(stop.is_set):
                return method(*args, **named)

        try:
            return await asyncio.to_thread(read)
        finally:
            stop.set()  # of a task that is cancelled, the read goes on until it looks

    twin.__name__ = f"{method.__name__}_async"
    twin.__qualname__ = f"{method.__qualname__}_async"
    twin.__module__ = method.__module__
    twin.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    twin.__doc__ = f"`await` this for what `{method.__name__}` gives:\n\n        {method.__doc__}"
    return twin
