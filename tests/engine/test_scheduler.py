"""The engine over a backend in memory: each tile once, failures and interrupts where they belong, memory in bounds."""

import asyncio
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.engine import cancel, scheduler
from rasteret_sql.engine.cache import CacheShare, TileCache, TileKey
from rasteret_sql.engine.call import REQUESTS
from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.engine.scheduler import STREAM_BYTES, Engine
from rasteret_sql.errors import CorruptTiffError, InterruptedQueryError, MissingObjectError
from rasteret_sql.io import settings
from rasteret_sql.io.settings import IoSettings
from rasteret_sql.tiff.parse import parse_header
from rasteret_sql.tiff.source import SparseBytes
from rasteret_sql.tiff.tiles import TiffTiles

SIZE, TILE = 256, 32


class Memory:
    """A backend over bytes that notes every range and can be slow or broken."""

    def __init__(self, files, delay=0.0):
        self.files = files
        self.delay = delay
        self.asked = []
        self.in_flight = self.most_in_flight = 0
        self.gate = None

    async def get_range(self, url, start, length):
        self.asked.append((url, start, length))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay)
            while self.gate is not None and not self.gate.is_set():  # noqa: ASYNC110  the gate is of threads
                await asyncio.sleep(0.01)
        finally:
            self.in_flight -= 1
        if url not in self.files:
            raise FileNotFoundError(url)
        return self.files[url][start : start + length]

    async def get_ranges(self, url, ranges):
        return [await self.get_range(url, *one) for one in ranges]


def image(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 60_000, (SIZE, SIZE), dtype="uint16")
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=SIZE,
            height=SIZE,
            count=1,
            dtype="uint16",
            tiled=True,
            blockxsize=TILE,
            blockysize=TILE,
            compress="deflate",
            predictor=2,
            crs="EPSG:32632",
            transform=rasterio.Affine(10, 0, 0, 0, -10, 0),
        ) as dataset:
            dataset.write(pixels, 1)
        data = bytes(memory.getbuffer())
    chunks = SparseBytes(size=len(data))
    chunks.add(0, data)
    return data, parse_header(chunks, "mem").levels[0], pixels


DATA, LEVEL, PIXELS = image()


class Whole(Job):
    """Reads some tiles and keeps them."""

    def __init__(self, address="a", tiles=range(64), level=LEVEL, memory=0, tolerant=False):
        self.address, self.tiles, self.level, self.memory, self.tolerant = address, list(tiles), level, memory, tolerant
        self.got, self.finished, self.error = {}, 0, None
        self.backend = None
        self.once = set()

    def needs(self):
        return [self.need(index, slot) for slot, index in enumerate(self.tiles)]

    def need(self, index, slot):
        return TileNeed(self.address, TiffTiles(self.level), index, slot, backend=self.backend, once=index in self.once)

    def place(self, slot, tile):
        self.got[self.tiles[slot]] = tile

    def finish(self):
        self.finished += 1

    def fail(self, error):
        self.error = error
        return self.tolerant


def never():
    return False


def run(engine, jobs, backend, cancelled):
    """Do jobs that read all files by one backend."""
    for job in jobs:
        job.backend = backend
    engine.stream(jobs, cancelled)


def right(job):
    for index, tile in job.got.items():
        row, col = divmod(index, SIZE // TILE)
        if not np.array_equal(tile[..., 0], PIXELS[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]):
            return False
    return sorted(job.got) == sorted(job.tiles) and job.finished == 1


def test_jobs_share_tiles_and_requests():
    backend, engine = Memory({"a": DATA}), Engine()
    jobs = [Whole(), Whole(tiles=[3, 5]), Whole(tiles=[5]), Whole(tiles=[])]
    run(engine, jobs, backend, never)
    assert all(map(right, jobs))
    assert sum(length for _, _, length in backend.asked) <= len(DATA)
    starts = sorted((start, start + length) for _, start, length in backend.asked)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(starts))


def test_cached_tiles_are_not_asked_again():
    backend, engine = Memory({"a": DATA}), Engine()
    run(engine, [Whole()], backend, never)
    backend.asked.clear()
    job = Whole()
    run(engine, [job], backend, never)
    assert right(job)
    assert backend.asked == []


def test_without_cache_they_are():
    backend, engine = Memory({"a": DATA}), Engine(cache_bytes=0)
    run(engine, [Whole()], backend, never)
    backend.asked.clear()
    run(engine, [Whole()], backend, never)
    assert backend.asked


def test_single_flight_across_calls():
    backend, engine = Memory({"a": DATA}, delay=0.2), Engine(cache_bytes=0)
    jobs = [Whole() for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda job: run(engine, [job], backend, never), jobs))
    assert all(map(right, jobs))
    spans = {(start, length) for _, start, length in backend.asked}
    assert len(backend.asked) == len(spans)


def test_a_call_that_stops_leaves_its_tiles_to_those_that_wait():
    backend, engine = Memory({"a": DATA}), Engine(cache_bytes=0)
    backend.gate = threading.Event()
    stop = threading.Event()
    first, second = Whole(), Whole()
    with ThreadPoolExecutor(2) as pool:
        owner = pool.submit(run, engine, [first], backend, stop.is_set)
        while not backend.asked:
            time.sleep(0.01)
        waiter = pool.submit(run, engine, [second], backend, never)
        time.sleep(0.1)
        stop.set()
        with pytest.raises(InterruptedQueryError):
            owner.result(60)
        backend.gate.set()
        waiter.result(60)
    assert right(second)
    assert first.finished == 0


def test_an_interrupt_returns_quickly_and_the_engine_goes_on():
    backend, engine = Memory({"a": DATA}), Engine(cache_bytes=0)
    backend.gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        job = Whole()
        running = pool.submit(engine.call, lambda cancelled: run(engine, [job], backend, cancelled))
        while not backend.asked:
            time.sleep(0.01)
        cancel.interrupt_all()
        with pytest.raises(InterruptedQueryError, match="interrupted"):
            running.result(60)  # the gate is still shut
    backend.gate.set()
    again = Whole()
    run(engine, [again], backend, never)
    assert right(again)


def test_a_call_that_has_failed_leaves_no_timer_behind(monkeypatch):
    """A timer that runs out while the interpreter ends would ask for a thread, and complain on stderr."""
    loaded = []
    monkeypatch.setattr(scheduler, "_SENT_SECONDS", 0.2)
    monkeypatch.setattr(TiffTiles, "load_decoder", lambda _: loaded.append("the codec"))
    with pytest.raises(MissingObjectError):
        run(Engine(), [Whole("b")], Memory({"a": DATA}), never)
    slow = Whole()
    run(Engine(), [slow], Memory({"a": DATA}, delay=0.3), never)
    assert right(slow)
    assert len(loaded) == 1  # of the slow call, which the wait for it outlived


class Plain:
    """Tiles of four rows and columns that are stored as they are, one after the other, the first one left out."""

    decodes_into_own_memory = False

    def locate(self, index):
        return ByteRange((index - 1) * 16, 16) if index else None

    def decode(self, index, data, address):
        return np.frombuffer(data, np.uint8).reshape(4, 4, 1)

    def load_decoder(self):
        """There is nothing to load."""


@pytest.mark.parametrize("local", [False, True])
def test_tiles_of_any_format_are_read(tmp_path, local):
    class Four(Whole):
        def need(self, index, slot):
            return TileNeed(self.address, Plain(), index, slot, backend=self.backend)

    data = np.arange(48, dtype=np.uint8).reshape(3, 4, 4, 1)
    path = tmp_path / "plain.bin"
    path.write_bytes(data.tobytes())
    job = Four(str(path) if local else "plain", tiles=range(4))
    job.backend = None if local else Memory({"plain": data.tobytes()})
    Engine().stream([job], never)
    assert job.got[0] is None
    assert all(np.array_equal(job.got[index], data[index - 1]) for index in range(1, 4))


def test_a_missing_file_fails_the_call():
    with pytest.raises(MissingObjectError):
        run(Engine(), [Whole("gone")], Memory({"a": DATA}), never)


def test_a_tolerant_job_fails_alone():
    engine, bad, good = Engine(), Whole("gone", tolerant=True), Whole()
    run(engine, [bad, good], Memory({"a": DATA}), never)
    assert right(good)
    assert isinstance(bad.error, MissingObjectError)
    assert bad.finished == 0


def test_corrupt_tiles_fail_the_jobs_that_need_them():
    broken = bytearray(DATA)
    offset, length = int(LEVEL.offsets[9]), int(LEVEL.byte_counts[9])
    broken[offset : offset + length] = bytes(length)
    engine, bad, good = Engine(), Whole(tolerant=True), Whole(tiles=[1, 2])
    run(engine, [bad, good], Memory({"a": bytes(broken)}), never)
    assert right(good)
    assert isinstance(bad.error, CorruptTiffError)


def test_an_error_in_a_job_is_the_calls_error():
    class Wrong(Whole):
        def place(self, slot, tile):
            raise ZeroDivisionError("in the job")

    with pytest.raises(ZeroDivisionError):
        run(Engine(), [Wrong(), Whole()], Memory({"a": DATA}), never)


def test_memory_is_held_by_one_wave_at_a_time():
    live, most = set(), 0

    class Heavy(Whole):
        def place(self, slot, tile):
            nonlocal most
            super().place(slot, tile)
            live.add(id(self))
            most = max(most, len(live))

        def finish(self):
            super().finish()
            live.discard(id(self))

    jobs = [Heavy(memory=STREAM_BYTES // 2) for _ in range(10)]
    run(Engine(), jobs, Memory({"a": DATA}), never)
    assert all(map(right, jobs))
    assert most <= 2


def test_a_slow_job_holds_up_none_that_there_is_memory_for():
    class Gated(Memory):
        async def get_range(self, url, start, length):
            while url == "slow" and not others.is_set():  # noqa: ASYNC110  set by threads
                await asyncio.sleep(0.01)
            return await super().get_range(url, start, length)

    others, finished = threading.Event(), []

    class Counted(Whole):
        def finish(self):
            super().finish()
            finished.append(self)
            if len(finished) == 40:
                others.set()

    slow = Whole(address="slow", memory=600)
    jobs = [Counted(tiles=[n % 64], memory=400) for n in range(40)]
    backend = Gated({"a": DATA, "slow": DATA})
    for job in (slow, *jobs):
        job.backend = backend
    threading.Timer(10, others.set).start()
    begun = time.monotonic()
    Engine().stream([slow, *jobs], never, budget=1000)
    assert time.monotonic() - begun < 5
    assert all(map(right, (slow, *jobs)))


def test_jobs_are_taken_when_there_is_memory_for_them():
    taken, finished, most, told = 0, 0, 0, []

    class Counted(Whole):
        def finish(self):
            nonlocal finished
            super().finish()
            finished += 1

    def jobs():
        nonlocal taken, most
        for number in range(20):
            job = Counted(tiles=[number], memory=500)
            job.backend = backend
            taken += 1
            most = max(most, taken - finished)
            yield job

    backend = Memory({"a": DATA}, delay=0.002)
    Engine().stream(jobs(), never, lambda *given: told.append(given), budget=1000)
    assert (taken, finished) == (20, 20)
    assert most <= 4  # two open, one that waits for its turn, and one that shows where a group ends
    assert told[-1] == (20, None, "rows")


def test_an_error_while_jobs_are_taken_ends_those_that_are_open():
    backend = Memory({"a": DATA})
    backend.gate = threading.Event()  # never set

    def jobs():
        job = Whole()
        job.backend = backend
        yield job
        raise ZeroDivisionError("of the plan")

    with pytest.raises(ZeroDivisionError):
        Engine().stream(jobs(), never, budget=0)
    deadline = time.monotonic() + 5
    while backend.in_flight and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not backend.in_flight


def test_requests_of_a_call_are_bounded_however_many_jobs_it_begins(monkeypatch):
    many = 10 * REQUESTS
    monkeypatch.setattr(settings._Holder, "current", IoSettings(max_requests=many, max_requests_per_host=many))
    files = {f"{number}": DATA for number in range(3 * REQUESTS)}
    backend = Memory(files, delay=0.01)
    jobs = [Whole(address=address, tiles=[0], memory=1) for address in files]
    for job in jobs:
        job.backend = backend
    Engine().stream(jobs, never, budget=2 * REQUESTS)
    assert all(map(right, jobs))
    assert backend.most_in_flight <= REQUESTS


def test_holes_are_given_as_none():
    level = LEVEL.__class__(
        **{name: getattr(LEVEL, name) for name in LEVEL.__dataclass_fields__ if name not in ("offsets", "byte_counts")},
        offsets=np.zeros(64, np.uint64),
        byte_counts=np.zeros(64, np.uint64),
    )
    backend, job = Memory({}), Whole(level=level)
    run(Engine(), [job], backend, never)
    assert set(job.got.values()) == {None}
    assert job.finished == 1
    assert backend.asked == []


def test_no_jobs():
    run(Engine(), [], Memory({}), never)


def test_jobs_finish_once_under_a_fast_backend():
    backend = Memory({"a": DATA})
    for _ in range(50):
        jobs = [Whole(tiles=[n]) for n in range(16)] + [Whole(tiles=[])]
        run(Engine(cache_bytes=0, decode_threads=4), jobs, backend, never)
        assert all(job.finished == 1 for job in jobs)


def test_the_cache_keeps_its_bound_and_drops_the_oldest():
    cache = TileCache(1000)
    for n in range(10):
        cache.put(TileKey("a", n, 1), np.zeros(300, np.uint8))
        assert cache.nbytes <= 1000
    assert cache.get(TileKey("a", 9, 1)) is not None
    assert cache.get(TileKey("a", 0, 1)) is None
    cache.put(TileKey("a", 99, 1), np.zeros(2000, np.uint8))
    assert cache.get(TileKey("a", 99, 1)) is None
    cache.resize(300)
    assert len(cache) == 1
    cache.clear()
    assert cache.nbytes == len(cache) == 0


def test_a_call_larger_than_the_cache_finds_part_of_it_again():
    tile_bytes = TILE * TILE * 2
    engine, backend = Engine(cache_bytes=32 * tile_bytes), Memory({"a": DATA})
    run(engine, [Whole()], backend, never)
    assert len(engine.cache) == 32
    backend.asked.clear()
    job = Whole()
    run(engine, [job], backend, never)
    assert right(job)
    assert 0 < sum(length for _, _, length in backend.asked) < 0.7 * len(DATA)


def test_a_share_of_the_cache_keeps_what_is_needed_again_the_oldest_goes_first():
    tile_bytes = TILE * TILE * 2
    engine, backend = Engine(cache_bytes=100 * tile_bytes, decode_threads=1), Memory({"a": DATA, "b": DATA})
    run(engine, [Whole("b", tiles=range(20))], backend, never)
    job = Whole()
    job.backend, job.once = backend, set(range(8, 64))
    share = CacheShare(6 * tile_bytes)
    engine.start([job], never, share=share).wait()
    assert right(job)
    assert len(engine.cache) == 20 + 6
    assert share.nbytes == 6 * tile_bytes
    # One job needs each tile once, and another the first ones, too.
    more = Whole(tiles=range(4))
    job = Whole()
    job.backend = more.backend = backend
    job.once, more.once = set(range(64)), set()
    engine.cache.clear()
    engine.start([job, more], never, share=CacheShare(100 * tile_bytes)).wait()
    assert right(job)
    assert right(more)
    assert len(engine.cache) == 4


def test_jobs_that_were_begun_and_are_stopped_ask_for_nothing_more():
    engine, backend = Engine(), Memory({"a": DATA})
    backend.gate = threading.Event()
    job = Whole()
    job.backend = backend
    begun = engine.start([job], never)
    begun.stop()
    backend.gate.set()
    begun.wait()
    assert job.finished == 0
    again = Whole()
    run(engine, [again], backend, never)
    assert right(again)


class Ahead(Whole):
    """Has work to do before its tiles come."""

    def __init__(self, *work):
        super().__init__()
        self.work = work

    def ahead(self):
        return self.work


def test_what_needs_no_tile_is_done_while_the_first_are_on_their_way():
    backend, engine = Memory({"a": DATA}), Engine()
    backend.gate = threading.Event()
    done = threading.Event()
    job = Ahead(done.set)
    job.backend = backend
    begun = engine.start([job], never)
    assert done.wait(10)  # no body has come: they wait for the gate
    assert not job.got
    backend.gate.set()
    begun.wait()
    assert right(job)


def test_jobs_do_not_depend_on_work_that_fails_before_their_tiles_come():
    backend, engine = Memory({"a": DATA}, delay=0.1), Engine()
    tried = threading.Event()

    def fail():
        tried.set()
        raise ValueError

    job = Ahead(fail)
    run(engine, [job], backend, never)
    assert tried.is_set()
    assert right(job)
