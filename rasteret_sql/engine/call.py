"""Keeps the books of one call: the tiles that each job waits for, what open jobs hold, and when all are done."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from rasteret_sql.callbacks import POLL_SECONDS, Cancelled
from rasteret_sql.engine.cache import CacheShare, TileKey
from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.engine.versions import Version
from rasteret_sql.errors import RasteretError
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.receipt import Receipt

REQUESTS = 128
"""Requests of one call that are fetched or decoded at a time; `io` bounds those of the process."""


class OpenJob:
    """A job, and how many tiles it waits for."""

    __slots__ = ("is_over", "job", "pending")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.pending = 0
        self.is_over = False
        """True where it has finished or failed: it gets no more tiles."""


Taker = tuple[OpenJob, int]
"""A job, and its slot for a tile."""


class Wanted:
    """A stored tile and the places in a call that wait for it."""

    __slots__ = ("backend", "begun", "call", "index", "key", "once", "takers", "tiles", "version")

    def __init__(self, call: Call, key: TileKey, need: TileNeed, version: Version, begun: float) -> None:
        self.call = call
        self.key = key
        self.version = version
        self.tiles = need.tiles
        self.index = need.index
        self.backend = need.backend
        self.begun = begun
        """What the cache took from then on is not dropped for this tile."""
        self.once = True
        """True where all that need it say so."""
        self.takers: list[Taker] = []


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs that a call has taken on together."""

    wanted: dict[TileKey, Wanted] = field(default_factory=dict)
    holes: list[Taker] = field(default_factory=list)
    """Those that wait for a tile that is not stored."""
    idle: list[OpenJob] = field(default_factory=list)
    """Those that wait for no tile."""


class Call:
    """State of one call of the engine; `done` is set when every job has finished or one failed for good.

    Args:
        cancelled: Polled; True stops the call.
        version_of: (address, who reads it, what the index knows of it) → the version of a file.
        receipt: Gets what its tiles cost.
        share: The part of the cache that its tiles may take; None: all of it.
    """

    def __init__(
        self,
        cancelled: Cancelled,
        version_of: Callable[[str, StorageBackend | None, FileFacts | None], Version],
        receipt: Receipt,
        share: CacheShare | None = None,
    ) -> None:
        self.cancelled = cancelled
        self.receipt = receipt
        self.share = share
        self.done = threading.Event()
        self.error: Exception | None = None
        self.drivers: list[Future[None]] = []
        """What fetches its tiles, also those that it waited for while another call fetched them."""
        self.requests = asyncio.Semaphore(REQUESTS)
        """Who fetches for it holds it until what came is decoded."""
        self.ahead: list[Callable[[], object]] = []
        """What threads may do while the first tiles are on their way."""
        self.finished = 0
        """Jobs that are done."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._open = 0
        self._held = 0
        self._is_complete = False
        self._version_of = version_of
        # One version of each file for the whole call. What is known of a file is one object for all of a band's tiles,
        # and stays here, so that no other gets its id.
        self._versions: dict[tuple[str, int, int], tuple[Version, FileFacts | None, StorageBackend | None]] = {}

    def add(self, jobs: Iterable[Job]) -> Group:
        """Take on jobs. Nothing of theirs is begun: no tile may arrive before they are all here."""
        group, begun, opened = Group(), time.monotonic(), [OpenJob(job) for job in jobs]
        for one in opened:
            self.ahead += one.job.ahead()
            for need in one.job.needs():
                one.pending += 1
                version = self._version(need)
                key = need.key(version.number)
                if key is None:
                    group.holes.append((one, need.slot))
                    continue
                wanted = group.wanted.get(key)
                if wanted is None:
                    wanted = group.wanted[key] = Wanted(self, key, need, version, begun)
                wanted.once &= need.once
                wanted.takers.append((one, need.slot))
            if not one.pending:
                group.idle.append(one)
        with self._lock:
            self._open += len(opened)
            self._held += sum(one.job.memory for one in opened)
        return group

    def _version(self, need: TileNeed) -> Version:
        file = need.address, id(need.version), id(need.backend)
        known = self._versions.get(file)
        if known is None:
            version = self._version_of(need.address, need.backend, need.version)
            known = self._versions[file] = version, need.version, need.backend
        return known[0]

    @property
    def stopped(self) -> bool:
        """True where nothing more of the call matters."""
        return self.error is not None or self.done.is_set() or self.cancelled()

    def start(self, group: Group) -> None:
        """Finish jobs that need no tile and fill the holes of sparse files."""
        with self.receipt.reduce:
            for one in group.idle:
                self._finish(one)
        self._hand_out(None, group.holes)

    def complete(self) -> None:
        """Take note that no more jobs come."""
        with self._lock:
            self._is_complete = True
            if not self._open:
                self.done.set()

    def wait_for_room(self, most: int) -> bool:
        """Wait a moment for open jobs to hold at most so many bytes; also True where none holds any, or all is over."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._held <= most or not self._held or self.error is not None, POLL_SECONDS
            )

    def end(self) -> None:
        """Ask for nothing more, and give no job another tile."""
        self.done.set()
        for driver in [*self.drivers]:
            driver.cancel()

    def deliver(self, wanted: Wanted, tile: np.ndarray) -> None:
        """Give a decoded tile to all that wait for it."""
        self._hand_out(tile, wanted.takers)

    def fail(self, error: Exception, wanted: Wanted | None = None) -> None:
        """A tile cannot be had: its jobs fail, and the call too unless they deal with it."""
        for one in {one for one, _ in wanted.takers} if wanted else ():
            self._fail_job(one, error)
        if wanted is None:
            self._stop(error)

    def _hand_out(self, tile: np.ndarray | None, takers: Sequence[Taker]) -> None:
        with self.receipt.reduce:
            self._place(tile, takers)

    def _place(self, tile: np.ndarray | None, takers: Sequence[Taker]) -> None:
        for one, slot in takers:
            if self.stopped:
                return
            if one.is_over:
                continue
            try:
                one.job.place(slot, tile)
            except Exception as error:  # noqa: BLE001  whatever a job raises is its row's error
                self._fail_job(one, error)
                continue
            with self._lock:
                one.pending -= 1
                last = one.pending == 0 and not one.is_over
            if last:
                self._finish(one)

    def _finish(self, one: OpenJob) -> None:
        try:
            one.job.finish()
        except Exception as error:  # noqa: BLE001  whatever a job raises is its row's error
            self._fail_job(one, error)
            return
        self._close(one)

    def _fail_job(self, one: OpenJob, error: Exception) -> None:
        with self._lock:
            if one.is_over:
                return
            one.is_over = True
        if one.job.fail(error):
            self._close(one)
        else:
            self._stop(_of_job(error, one.job))

    def _close(self, one: OpenJob) -> None:
        with self._changed:
            one.is_over = True
            self.finished += 1
            self._open -= 1
            self._held -= one.job.memory
            if self._open == 0 and self._is_complete:
                self.done.set()
            self._changed.notify_all()

    def _stop(self, error: Exception) -> None:
        with self._changed:
            self.error = self.error or error
            self._changed.notify_all()
        self.done.set()


def _of_job(error: Exception, job: Job) -> Exception:
    """An error of ours with the job it stopped; what is shown of it is the message alone."""
    what = job.describe()
    if not what or not isinstance(error, RasteretError):
        return error
    named = error.retold(f"{what}: {error}")
    named.__cause__ = error
    return named
