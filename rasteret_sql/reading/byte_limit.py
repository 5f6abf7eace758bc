"""`ByteLimit`: counts what the calls of a function fetch in a statement, and refuses what goes beyond `max_bytes`."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rasteret_sql.engine.cache import TileKey
from rasteret_sql.engine.forecast import Forecast
from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.errors import ByteLimitError
from rasteret_sql.reading.context import ReadContext

Plan = Callable[[ReadContext], object]
"""Does a read with a context whose engine counts."""


class ByteLimit:
    """Bytes that calls of one function may fetch in one statement, on all its threads."""

    def __init__(self, most: int) -> None:
        """Allow so many."""
        self._most = most
        self._spent = 0
        self._coming: Counter[TileKey] = Counter()
        """Tiles that running calls fetch: they cost nothing again."""
        self._lock = threading.Lock()

    @contextmanager
    def spend(self, plan: Plan, context: ReadContext) -> Iterator[None]:
        """Let a read begin if its bytes are allowed.

        Args:
            plan: the read.
            context: what it is read with.

        Raises:
            ByteLimitError: they are not; nothing was asked for.
        """
        engine = context.engine
        assert isinstance(engine, Engine)  # what is only planned has no limit
        with self._lock:
            forecast = Forecast(engine, warm=True, known=self._coming)
            plan(context.forecast(forecast))
            refuse(forecast, self._most, self._spent)
            self._spent += forecast.total.bytes
            tiles = forecast.seen
            self._coming.update(tiles)
        try:
            yield
        finally:
            with self._lock:
                self._coming -= Counter(tiles)


@contextmanager
def within_limit(most: int | None, plan: Plan, context: ReadContext) -> Iterator[None]:
    """Let a read begin if its bytes, with those that the function fetched in the statement before, are allowed.

    Args:
        most: `max_bytes` of the call; None: as many as it takes.
        plan: the read; done once without a request, where there is a limit.
        context: what it is read with.

    Raises:
        ByteLimitError: they are more; nothing was asked for.
    """
    if most is None:
        yield
        return
    limit = context.receipt.shared(("max_bytes", context.function, most), lambda: ByteLimit(most))
    with limit.spend(plan, context):
        yield


def refuse(forecast: Forecast, most: int, spent: int = 0) -> None:
    """Raise if a planned read is not allowed.

    Args:
        forecast: what it takes.
        most: bytes that are allowed.
        spent: bytes that were fetched before.
    """
    cost = forecast.total
    if spent + cost.bytes <= most:
        return
    before = f", after {spent:,} that this statement fetched already" if spent else ""
    raise ByteLimitError(
        f"the read would fetch {cost.bytes:,} bytes ({cost.tiles:,} tiles in {cost.requests:,} requests){before}, more "
        f"than max_bytes := {most:,} allows; nothing of it was fetched. Choose fewer scenes, smaller geometries or an "
        f"overview := n, or allow {spent + cost.bytes:,}"
    )
