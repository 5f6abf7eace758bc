"""`CompositeWaves`: runs the jobs of composites in waves: while one is read, the next is planned and asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.cache import CacheShare
from rasteret_sql.engine.started_jobs import StartedJobs
from rasteret_sql.reading.composite_block import CompositeBlock, SceneJob
from rasteret_sql.reading.context import ReadContext

_AT_A_TIME = 2
"""Waves that are under way: one that is read, and one behind it."""


class Bounds(NamedTuple):
    """Bytes that are held at a time."""

    scenes: int
    """Of scenes under way, as they are read and on the grid of the target."""
    values: int
    """Of all values of blocks whose median is taken; one block may have more."""


class _Wave(NamedTuple):
    jobs: StartedJobs
    size: int
    """How many they are."""
    blocks: list[CompositeBlock]
    """Those whose last scene is in it."""


class CompositeWaves:
    """The waves of some blocks.

    Args:
        context: What is read with.
        cancelled: The call's flag.
        bounds: Of what is held.
        end: Told of each block that has all its scenes.
        share: The part of the cache that tiles may take; None: all of it.
    """

    def __init__(
        self,
        context: ReadContext,
        cancelled: Cancelled,
        bounds: Bounds,
        end: Callable[[CompositeBlock], None],
        share: CacheShare | None,
    ) -> None:
        self._context = context
        self._cancelled = cancelled
        self._bounds = bounds
        self._end = end
        self._share = share
        self.total = 0
        """Jobs that there will be, as far as is known: progress is told of so many."""
        self._done = 0
        self._running: deque[_Wave] = deque()
        self._jobs: list[SceneJob] = []
        self._memory = 0
        """Of the jobs that are not begun."""
        self._blocks: list[CompositeBlock] = []
        """Those whose last scene was handed out since the last wave."""
        self._held: dict[int, int] = {}
        """Of blocks that have not ended, by their identity."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            for wave in self._running:
                wave.jobs.stop()

    def begin(self, block: CompositeBlock, nbytes: int) -> None:
        """Begin a block, which holds so many bytes until it ends."""
        if self._held and sum(self._held.values()) + nbytes > self._bounds.values:
            self.finish()
        self._held[id(block)] = nbytes

    def add(self, job: SceneJob) -> None:
        """Take a job of a block that was begun."""
        if self._jobs and (self._memory + job.memory) * _AT_A_TIME > self._bounds.scenes:
            self._start()
        self._jobs.append(job)
        self._memory += job.memory

    def close(self, block: CompositeBlock) -> None:
        """Take note that a block has no further job."""
        self._blocks.append(block)

    def finish(self) -> None:
        """Wait for all."""
        self._start()
        while self._running:
            self._wait()

    def _start(self) -> None:
        while len(self._running) >= _AT_A_TIME:
            self._wait()
        started = self._context.start(self._jobs, self._cancelled, self._share)
        self._running.append(_Wave(started, len(self._jobs), self._blocks))
        self._jobs, self._blocks, self._memory = [], [], 0

    def _wait(self) -> None:
        """Wait for the oldest wave, and end its blocks."""
        self._running[0].jobs.wait(lambda finished: self._tell(self._done + finished))
        wave = self._running.popleft()
        self._done += wave.size
        self._tell(self._done)
        for block in wave.blocks:
            del self._held[id(block)]
            self._end(block)

    def _tell(self, done: int) -> None:
        self._context.progress(done, self.total, "scenes")
