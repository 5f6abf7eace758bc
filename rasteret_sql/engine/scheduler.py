"""`Engine`: gets the tiles of all jobs of a call, each once, and feeds the jobs while others still arrive."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from rasteret_sql.byte_ranges import ByteRange, merge_ranges
from rasteret_sql.callbacks import POLL_SECONDS, Cancelled, Progress
from rasteret_sql.engine import cancel
from rasteret_sql.engine.at_hand import TILES_A_TURN, Pieces, Request, body_of, is_local
from rasteret_sql.engine.cache import CacheShare, TileCache, TileKey, default_cache_bytes
from rasteret_sql.engine.call import REQUESTS, Call, Wanted
from rasteret_sql.engine.job import Job
from rasteret_sql.engine.started_jobs import StartedJobs
from rasteret_sql.engine.turns import Turns
from rasteret_sql.engine.versions import Scopes, Version, Versions
from rasteret_sql.errors import FileChangedError
from rasteret_sql.io import loop
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.fetch import fetch_known
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.receipt import Receipt

STREAM_BYTES = 256 * 1024 * 1024
"""Jobs of one call hold this much between their tiles, at most; a larger one is done alone."""
_LATER = 8
"""Once they do, others are begun when this part of it is free: the requests of some jobs are merged, and none waits for
the last of those before."""
_SENT_SECONDS = 0.003
"""After this time, the first requests of a call are sent, and the threads that decode have nothing to do yet."""
T = TypeVar("T")


class Engine:
    """One for a process: decoding threads, the decoded-tile cache, and tiles that are on their way.

    Args:
        cache_bytes: bound of the decoded-tile cache; a sixteenth of memory by default.
        decode_threads: threads that decode; by default as many as there are cores.
    """

    def __init__(self, cache_bytes: int | None = None, decode_threads: int | None = None) -> None:
        self.cache = TileCache(default_cache_bytes() if cache_bytes is None else cache_bytes)
        self._decode_threads = decode_threads or _cores()
        self._decoders = Turns(self._decode_threads, "rasteret-decode")
        self._callers = ThreadPoolExecutor(64, "rasteret-call")
        self._ahead = ThreadPoolExecutor(2, "rasteret-ahead")
        self._lock = threading.Lock()
        self._flying: dict[TileKey, list[Wanted]] = {}
        self._scopes = Scopes()
        self._versions = Versions()

    def share(self, processes: int) -> None:
        """Keep as much of the cache as is this process's part, where several alike run on the machine."""
        self.cache.resize(min(self.cache.max_bytes, default_cache_bytes() // max(1, processes)))

    def call(self, work: Callable[[Cancelled], T]) -> T:
        """Run a kernel on a thread of ours and wait for it, looking for Ctrl-C.

        DuckDB's worker threads get a new Python thread state for each call, which pyproj does not survive; the
        caller therefore only waits.

        Args:
            work: takes the call's cancellation flag, gives the result.
        """
        cancel.watch_sigint()
        cancelled = cancel.cancellation()
        future: Future[T] = self._callers.submit(work, cancelled)
        while True:
            try:
                return future.result(POLL_SECONDS)
            except TimeoutError:
                if future.done():  # a TimeoutError of the work itself
                    return future.result()
                if cancelled():
                    future.cancel()
                    cancel.check(cancelled)

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Run work that will be asked for later, on a thread of ours; it waits for nothing that is begun so."""
        return self._ahead.submit(work)

    def stream(
        self,
        jobs: Iterable[Job],
        cancelled: Cancelled,
        progress: Progress | None = None,
        receipt: Receipt | None = None,
        budget: int = STREAM_BYTES,
    ) -> None:
        """Do jobs, as many at a time as their memory allows: others are begun as some of them finish.

        Args:
            jobs: in the order in which they share files best; they are taken when there is memory for them.
            cancelled: polled; True stops the call.
            progress: told (jobs done, jobs in all or None, "rows") now and then, on this thread.
            receipt: gets what they cost.
            budget: bytes that open jobs hold at most, as they say by `memory`.

        Raises:
            Exception: the first error that no job dealt with. Returns when every job has finished.
        """
        call = Call(cancelled, self.version_of, receipt or Receipt())
        started = StartedJobs(call)
        total = len(jobs) if isinstance(jobs, Sized) else None

        def tell(finished: int) -> None:
            if progress is not None:
                progress(finished, total, "rows")

        try:
            for group in groups_of(jobs, budget):
                started.wait_for_room(budget - sum(job.memory for job in group), tell)
                if call.error is not None:
                    break
                self._begin(call, group)
            call.complete()
        except BaseException:
            call.end()
            raise
        started.wait(tell)
        tell(call.finished)

    def start(
        self,
        jobs: Sequence[Job],
        cancelled: Cancelled,
        receipt: Receipt | None = None,
        share: CacheShare | None = None,
    ) -> StartedJobs:
        """Begin jobs, whatever memory they hold together.

        Args:
            jobs: in the order in which they share files best.
            cancelled: polled; True stops the call.
            receipt: gets what they cost.
            share: the part of the cache that their tiles may take; None: all of it.

        Returns:
            Them, who have to be waited for, or stopped.
        """
        call = Call(cancelled, self.version_of, receipt or Receipt(), share)
        try:
            self._begin(call, jobs)
            call.complete()
        except BaseException:
            call.end()
            raise
        return StartedJobs(call)

    def _begin(self, call: Call, jobs: Sequence[Job]) -> None:
        with call.receipt.plan:
            group = call.add(jobs)
            ready, own = self._claim(group.wanted.values())
        call.receipt.asked(len(group.wanted), len(group.wanted) - len(own))
        self._start(call, own)
        call.start(group)
        for wanted, tile in ready:
            self._decoders.submit(call, call.deliver, wanted, tile)

    def _claim(self, tiles: Iterable[Wanted]) -> tuple[list[tuple[Wanted, Any]], list[Wanted]]:
        """Sort tiles into those at hand and those to fetch; what another call fetches is waited for."""
        ready, own = [], []
        for wanted in tiles:
            tile = self.cache.get(wanted.key)
            if tile is not None:
                ready.append((wanted, tile))
                continue
            with self._lock:
                waiting = self._flying.get(wanted.key)
                if waiting is not None:
                    waiting.append(wanted)
                    continue
                # It may have landed since we looked: it is kept before it counts as landed.
                tile = self.cache.get(wanted.key)
                if tile is None:
                    self._flying[wanted.key] = []
            if tile is None:
                own.append(wanted)
            else:
                ready.append((wanted, tile))
        return ready, own

    def version_of(self, address: str, backend: StorageBackend | None, indexed: FileFacts | None) -> Version:
        """The version of a file that a call reads, as one backend gives it."""
        return self._versions.of(address, self._scopes.of(backend), indexed)

    async def _drive(self, call: Call, queue: deque[Request], landed: set[TileKey]) -> None:
        tiles = next(iter(queue[0][1].values())).tiles
        # Beside the requests, not before them: the first bodies are on their way for longer than this takes.
        loading = asyncio.get_running_loop().call_later(_SENT_SECONDS, self._prepare, call, tiles.load_decoder)
        try:
            await asyncio.gather(*(self._work(call, queue, landed) for _ in range(min(REQUESTS, len(queue)))))
        except Exception as error:  # a fault of our own must end the call, not leave it waiting
            call.fail(error)
            raise
        finally:
            # A timer that outlives the call may find the process at its end, where no thread starts any more.
            loading.cancel()

    def _prepare(self, call: Call, *more: Callable[[], object]) -> None:
        """Give the threads that decode what needs no tile."""
        with self._lock:
            ahead, call.ahead = call.ahead, []
        for work in (*more, *ahead):
            self._decoders.submit(call, work)

    async def _work(
        self,
        call: Call,
        queue: deque[Request],
        landed: set[TileKey],
    ) -> None:
        while queue and not call.stopped:
            async with call.requests:
                if queue and not call.stopped:
                    await self._get(call, queue.popleft(), landed)

    async def _get(self, call: Call, request: Request, landed: set[TileKey]) -> None:
        """Fetch the bytes of a request and have its tiles decoded."""
        merged, wanted = request
        parts = [wanted[part] for part in merged.parts]
        try:
            with call.receipt.fetch:
                body = await self._fetch(parts[0], merged.span)
        except Exception as error:  # noqa: BLE001  given to every row that waits for these tiles
            for part in parts:
                landed.add(part.key)
                self._land_failure(part, error)
            return
        view = memoryview(body)
        # Waiting for the decoder here is what bounds the bodies held in memory.
        # Some tiles at a time, so that other calls have their turn in between.
        for begin in range(0, len(parts), TILES_A_TURN):
            some = parts[begin : begin + TILES_A_TURN]
            task = self._decoders.submit(call, self._decode, some, merged.span, view, landed)
            await asyncio.wrap_future(task)

    async def _fetch(self, part: Wanted, span: ByteRange) -> memoryview:
        address, version, backend = part.key.address, part.version, part.backend
        try:
            version.check()
            body, facts = await fetch_known(
                backend or default_backend(), address, span, expected=version.expected, receipt=part.call.receipt
            )
            version.settle(address, facts)
        except FileChangedError as error:
            error.address = address
            version.end(str(error))
            self._versions.forget(address, self._scopes.of(backend), version)
            raise
        return body

    def _decode(self, parts: list[Wanted], span: ByteRange, body: memoryview, landed: set[TileKey]) -> None:
        shown = safe_address(parts[0].key.address)
        for part in parts:
            self._decode_one(part, span, body, landed, shown)

    def _decode_one(self, part: Wanted, span: ByteRange, body: memoryview, landed: set[TileKey], shown: str) -> None:
        start = part.key.offset - span.offset
        try:
            with part.call.receipt.decode:
                tile = part.tiles.decode(part.index, body[start : start + part.key.length], shown)
        except Exception as error:  # noqa: BLE001  given to every row that waits for this tile
            landed.add(part.key)
            self._land_failure(part, error)
            return
        if part.call.share is None or not part.once:
            self.cache.put(part.key, tile, part.begun, part.call.share)
        with self._lock:
            waiting = self._flying.pop(part.key, [])
        landed.add(part.key)
        part.call.deliver(part, tile)
        for other in waiting:
            other.call.deliver(other, tile)

    def _land_failure(self, wanted: Wanted, error: Exception) -> None:
        with self._lock:
            waiting = self._flying.pop(wanted.key, [])
        for one in (wanted, *waiting):
            one.call.fail(error, one)

    def _abandon(self, tiles: list[Wanted]) -> None:
        """The call stopped before these tiles came: calls that wait for them fetch them themselves."""
        orphans: dict[int, tuple[Call, list[Wanted]]] = {}
        with self._lock:
            for wanted in tiles:
                for other in self._flying.pop(wanted.key, []):
                    orphans.setdefault(id(other.call), (other.call, []))[1].append(other)
        for call, missing in orphans.values():
            if call.stopped:
                continue
            ready, own = self._claim(missing)
            for wanted, tile in ready:
                self._decoders.submit(call, call.deliver, wanted, tile)
            self._start(call, own)

    def _start(self, call: Call, own: list[Wanted]) -> None:
        """Get tiles for a call, until it ends."""
        local: list[Request] = []
        others: list[Request] = []
        for request in requests_of(own):
            (local if is_local(request) else others).append(request)
        if local:
            self._prepare(call)
            pieces = Pieces(local)
            for _ in range(min(len(pieces), self._decode_threads)):
                self._decoders.submit(call, self._read_pieces, call, pieces)
        self._fetch_all(call, others)

    def _read_pieces(self, call: Call, pieces: Pieces) -> None:
        """Read and decode some pieces one by one, as long as no other call waits for its turn."""
        piece = None
        try:
            while (piece := pieces.take()) is not None:
                if call.stopped:
                    self._abandon(piece.tiles + pieces.take_all())
                    return
                body = body_of(piece)
                if body is None:
                    # Other threads wait for the disk, many at a time.
                    self._fetch_all(call, requests_of(pieces.missed(piece)))
                else:
                    pieces.hit()
                    self._decode(piece.tiles, piece.span, body, set())
                if self._decoders.others_wait(call):
                    self._decoders.submit(call, self._read_pieces, call, pieces)
                    return
        except Exception as error:  # a fault of our own must end the call, and leave none waiting
            call.fail(error)
            self._abandon((piece.tiles if piece else []) + pieces.take_all())
            raise

    def _fetch_all(self, call: Call, requests: list[Request]) -> None:
        """Fetch tiles for a call, until it ends."""
        if not requests:
            return
        landed: set[TileKey] = set()
        own = [one for _, wanted in requests for one in wanted.values()]
        driver = loop.submit(self._drive(call, deque(requests), landed))
        # Not in the coroutine's own `finally`: one that is cancelled before its first step has none.
        driver.add_done_callback(lambda _: self._abandon([one for one in own if one.key not in landed]))
        call.drivers.append(driver)
        if call.stopped:  # since we looked: nobody else would cancel it
            driver.cancel()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def requests_of(tiles: Iterable[Wanted]) -> list[Request]:
    """Merge the ranges of tiles into requests, file by file."""
    by_file: dict[int, dict[ByteRange, Wanted]] = defaultdict(dict)
    for wanted in tiles:
        key = wanted.key
        by_file[key.version][ByteRange(key.offset, key.length)] = wanted
    return [(merged, wanted) for wanted in by_file.values() for merged in merge_ranges(wanted)]


def groups_of(jobs: Iterable[Job], budget: int) -> Iterator[list[Job]]:
    """Cut jobs into those that are begun together: as many as the budget allows, and then an eighth of it at a time."""
    group: list[Job] = []
    held, most = 0, budget
    for job in jobs:
        if group and held + job.memory > most:
            yield group
            group, held, most = [], 0, budget // _LATER
        group.append(job)
        held += job.memory
    if group:
        yield group


_shared: Engine | None = None
_shared_lock = threading.Lock()


def shared_engine() -> Engine:
    """The engine of this process, made at first use and anew in a forked child."""
    global _shared  # noqa: PLW0603  one engine is what bounds threads, connections and cache of a process
    with _shared_lock:
        if _shared is None:
            _shared = Engine()
        return _shared


def _forget_shared() -> None:
    global _shared, _shared_lock
    _shared, _shared_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_shared)
