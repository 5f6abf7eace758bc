"""Keeps the books of one call: the tiles that each job waits for, and when all are done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.cache import CacheShare, TileKey
from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.engine.versions import Version
from rasteret_sql.errors import RasteretError
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.receipt import Receipt


class Wanted:
    """A stored tile and the places in a call that wait for it."""

    __slots__ = ("backend", "call", "index", "key", "level", "once", "takers", "version")

    def __init__(self, call: Call, key: TileKey, need: TileNeed, version: Version) -> None:
        self.call = call
        self.key = key
        self.version = version
        self.level = need.level
        self.index = need.index
        self.backend = need.backend
        self.once = True
        """True where all that need it say so."""
        self.takers: list[tuple[int, int]] = []
        """(job number, slot)"""


class Call:
    """State of one `Engine.run`; `done` is set when every job has finished or one failed for good."""

    def __init__(
        self,
        jobs: Sequence[Job],
        cancelled: Cancelled,
        version_of: Callable[[str, StorageBackend | None, FileFacts | None], Version],
        receipt: Receipt,
        share: CacheShare | None = None,
    ) -> None:
        self.cancelled = cancelled
        self.receipt = receipt
        """Gets what its tiles cost."""
        self.share = share
        """The part of the cache that its tiles may take; None: all of it."""
        self.begun = time.monotonic()
        """What the cache took from then on is not dropped for this call's tiles."""
        self.done = threading.Event()
        self.error: Exception | None = None
        self.drivers: list[Future[None]] = []
        """What fetches its tiles, also those that it waited for while another call fetched them."""
        self._jobs = jobs
        self._lock = threading.Lock()
        self._pending = [0] * len(jobs)
        self._dead = [False] * len(jobs)
        self._open = len(jobs)
        self.wanted: dict[TileKey, Wanted] = {}
        self.ahead: list[Callable[[], object]] = []
        """What threads may do while the first tiles are on their way."""
        self._holes: list[tuple[int, int]] = []
        # One version of each file for the whole call; what is known of a file is one object for all of a band's tiles.
        versions: dict[tuple[str, int, int], Version] = {}
        for number, job in enumerate(jobs):
            self.ahead += job.ahead()
            for need in job.needs():
                self._pending[number] += 1
                file = need.address, id(need.version), id(need.backend)
                version = versions.get(file)
                if version is None:
                    version = versions[file] = version_of(need.address, need.backend, need.version)
                key = need.key(version.number)
                if key is None:
                    self._holes.append((number, need.slot))
                    continue
                wanted = self.wanted.get(key)
                if wanted is None:
                    wanted = self.wanted[key] = Wanted(self, key, need, version)
                wanted.once &= need.once
                wanted.takers.append((number, need.slot))
        # Settled before any tile can arrive: a job is finished once.
        self._idle = [number for number, pending in enumerate(self._pending) if pending == 0]

    @property
    def stopped(self) -> bool:
        """True where nothing more of the call matters."""
        return self.error is not None or self.done.is_set() or self.cancelled()

    @property
    def finished(self) -> int:
        """Jobs that are done."""
        return len(self._jobs) - self._open

    def start(self) -> None:
        """Finish jobs that need no tile and fill the holes of sparse files."""
        with self.receipt.reduce:
            for number in self._idle:
                self._finish(number)
        self._hand_out(None, self._holes)
        if not self._jobs:
            self.done.set()

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
        for number in {number for number, _ in wanted.takers} if wanted else ():
            self._fail_job(number, error)
        if wanted is None:
            self._stop(error)

    def _hand_out(self, tile: np.ndarray | None, takers: list[tuple[int, int]]) -> None:
        with self.receipt.reduce:
            self._place(tile, takers)

    def _place(self, tile: np.ndarray | None, takers: list[tuple[int, int]]) -> None:
        for number, slot in takers:
            if self.stopped:
                return
            if self._dead[number]:
                continue
            try:
                self._jobs[number].place(slot, tile)
            except Exception as error:  # noqa: BLE001  whatever a job raises is its row's error
                self._fail_job(number, error)
                continue
            with self._lock:
                self._pending[number] -= 1
                last = self._pending[number] == 0 and not self._dead[number]
            if last:
                self._finish(number)

    def _finish(self, number: int) -> None:
        try:
            self._jobs[number].finish()
        except Exception as error:  # noqa: BLE001  whatever a job raises is its row's error
            self._fail_job(number, error)
            return
        self._close(number)

    def _fail_job(self, number: int, error: Exception) -> None:
        with self._lock:
            if self._dead[number]:
                return
            self._dead[number] = True
        if self._jobs[number].fail(error):
            self._close(number)
        else:
            self._stop(_of_job(error, self._jobs[number]))

    def _close(self, number: int) -> None:
        with self._lock:
            self._dead[number] = True
            self._open -= 1
            if self._open == 0:
                self.done.set()

    def _stop(self, error: Exception) -> None:
        with self._lock:
            self.error = self.error or error
        self.done.set()


def _of_job(error: Exception, job: Job) -> Exception:
    """An error of ours with the job it stopped; what is shown of it is the message alone."""
    what = job.describe()
    if not what or not isinstance(error, RasteretError):
        return error
    named = error.retold(f"{what}: {error}")
    named.__cause__ = error
    return named
