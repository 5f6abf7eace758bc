"""`Forecast`: counts the requests and bytes of a read that is only planned, in place of the engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.engine import cancel
from rasteret_sql.engine.cache import CacheShare, TileCache, TileKey
from rasteret_sql.engine.call import Call
from rasteret_sql.engine.job import Job
from rasteret_sql.engine.scheduler import STREAM_BYTES, Engine, groups_of, requests_of
from rasteret_sql.engine.started_jobs import StartedJobs
from rasteret_sql.receipt import Receipt

T = TypeVar("T")


@dataclass(slots=True)
class Cost:
    """The stored tiles of a read, and what it takes to fetch them."""

    tiles: int = 0
    requests: int = 0
    bytes: int = 0


class Forecast:
    """Takes jobs as the engine does, in the same groups and requests, and fetches nothing.

    A tile that one job needs is there for all that come after it, as if the cache held all.

    Args:
        engine: in place of which it stands.
        warm: True: tiles that its cache has cost nothing; False: as if it were empty.
        known: tiles that cost nothing, whatever the cache has.
    """

    def __init__(self, engine: Engine, *, warm: bool = False, known: Container[TileKey] = ()) -> None:
        self.total = Cost()
        self.seen: set[TileKey] = set()
        """Tiles that were counted."""
        self._engine = engine
        self._warm = warm
        self._known = known
        self._of: dict[str, Cost] = defaultdict(Cost)

    def stream(
        self,
        jobs: Iterable[Job],
        cancelled: Cancelled,
        progress: Progress | None = None,  # noqa: ARG002
        receipt: Receipt | None = None,
        budget: int = STREAM_BYTES,
    ) -> None:
        """Count what the jobs would fetch; see `Engine.stream`."""
        for group in groups_of(jobs, budget):
            self.start(group, cancelled, receipt)

    def start(
        self,
        jobs: Sequence[Job],
        cancelled: Cancelled,
        receipt: Receipt | None = None,
        share: CacheShare | None = None,  # noqa: ARG002
    ) -> StartedJobs:
        """Count what the jobs would fetch, in place of beginning them; see `Engine.start`."""
        cancel.check(cancelled)
        group = Call(cancelled, self._engine.version_of, receipt or Receipt()).add(jobs)
        new = [wanted for wanted in group.wanted.values() if not self._has(wanted.key)]
        self.seen.update(wanted.key for wanted in new)
        for wanted in new:
            self._count(wanted.takers[0][0].job, Cost(tiles=1))
        for merged, parts in requests_of(new):
            first = parts[merged.parts[0]]
            self._count(first.takers[0][0].job, Cost(requests=1, bytes=merged.span.length))
        for job in jobs:
            job.skip()
        return StartedJobs()

    @property
    def cache(self) -> TileCache:
        """That of the engine."""
        return self._engine.cache

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Do work that will be asked for later, now."""
        future: Future[T] = Future()
        future.set_result(work())
        return future

    def call(self, work: Callable[[Cancelled], T]) -> T:
        """Run work on a thread of the engine; see `Engine.call`."""
        return self._engine.call(work)

    def take(self, what: str) -> Cost:
        """The cost of jobs that describe themselves so, since it was last taken."""
        return self._of.pop(what, Cost())

    def _has(self, key: TileKey) -> bool:
        return key in self.seen or key in self._known or (self._warm and key in self._engine.cache)

    def _count(self, job: Job, more: Cost) -> None:
        for cost in (self.total, self._of[job.describe()]):
            cost.tiles += more.tiles
            cost.requests += more.requests
            cost.bytes += more.bytes
