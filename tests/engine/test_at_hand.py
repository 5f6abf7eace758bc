"""Files of this machine are read by the threads that decode where the system has them in memory, else as any files."""

import os
import threading
from datetime import datetime

import numpy as np
import pytest
import rasterio

from rasteret_sql.engine import at_hand, scheduler
from rasteret_sql.engine.at_hand import TILES_A_TURN, pieces_of
from rasteret_sql.engine.job import Job, TileNeed
from rasteret_sql.engine.scheduler import Engine, requests_of
from rasteret_sql.errors import FileChangedError, MissingObjectError
from rasteret_sql.io import files
from rasteret_sql.io.backend import FileFacts
from rasteret_sql.io.files import LocalFiles
from rasteret_sql.receipt import Receipt
from rasteret_sql.tiff.parse import parse_header
from rasteret_sql.tiff.source import SparseBytes
from rasteret_sql.tiff.tiles import TiffTiles

SIZE, TILE = 256, 32
TILES = range((SIZE // TILE) ** 2)
PIXELS = np.random.default_rng(0).integers(0, 60_000, (SIZE, SIZE), dtype="uint16")


def never():
    return False


class Kept(Job):
    """Keeps the tiles of a file."""

    def __init__(self, path, facts=None):
        data = path.read_bytes() if path.exists() else path.with_name("image.tif").read_bytes()
        chunks = SparseBytes(size=len(data))
        chunks.add(0, data)
        self.level, self.facts = parse_header(chunks, "file").levels[0], facts
        self.address, self.got, self.meanwhile = str(path), {}, None

    def needs(self):
        return [TileNeed(self.address, TiffTiles(self.level), tile, tile, self.facts) for tile in TILES]

    def place(self, slot, tile):
        if self.meanwhile is not None:
            self.meanwhile()
        self.got[slot] = tile

    def finish(self):
        across = SIZE // TILE
        rows = [np.hstack([self.got[row * across + col][..., 0] for col in range(across)]) for row in range(across)]
        np.testing.assert_array_equal(np.vstack(rows), PIXELS)


def write(path, **options):
    options = {"compress": "deflate", "predictor": 2} | options
    with rasterio.open(
        path, "w", driver="GTiff", width=SIZE, height=SIZE, count=1, dtype="uint16", tiled=True, blockxsize=TILE,
        blockysize=TILE, transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **options,
    ) as dataset:  # fmt: skip
        dataset.write(PIXELS, 1)
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "image.tif")


@pytest.fixture
def no_others(monkeypatch):
    """Nothing is read by other threads."""

    async def read_known(_self, path, start, length):
        raise AssertionError(f"{path} was read at {start} ({length} bytes) by other threads")

    monkeypatch.setattr(LocalFiles, "read_known", read_known)


@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="only Linux tells what it has in memory")
@pytest.mark.usefixtures("no_others")
def test_what_is_in_memory_is_read_where_it_is_decoded(path):
    receipt, job = Receipt(), Kept(path)
    Engine().stream([job], never, receipt=receipt)
    spans = [merged.span for merged, _ in requests_of(_wanted(job))]
    assert (receipt.requests, receipt.bytes, receipt.retries) == (len(spans), sum(one.length for one in spans), 0)
    assert receipt.tiles == len(TILES)


def _wanted(job):
    """What a call that is not begun would ask for."""
    from rasteret_sql.engine.call import Call

    engine = Engine()
    return Call(never, engine.version_of, Receipt()).add([job]).wanted.values()


@pytest.mark.parametrize(
    ("there", "looked_for"),
    [([], 2), ([0, 1, 2], 5), ([0, 2, 4], 7), ([1, 3], 6), (range(64), 64)],
    ids=["nothing", "the first", "every other", "others", "all"],
)
def test_what_is_not_is_read_by_others(path, monkeypatch, there, looked_for):
    """From the second in a row that is not there on all that follows: it is on the disk, too."""
    looked, others = [], []
    at_once, later = os.preadv, LocalFiles.read_known

    def preadv(*given):
        looked.append(given)
        if len(looked) - 1 not in there:
            raise BlockingIOError
        return at_once(*given[:3])

    async def read_known(self, path, start, length):
        others.append(length)
        return await later(self, path, start, length)

    monkeypatch.setattr(files, "_AT_ONCE", 0)
    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(LocalFiles, "read_known", read_known)
    monkeypatch.setattr(at_hand, "_BYTES_A_TURN", 1)  # a piece for each tile
    receipt = Receipt()
    Engine(decode_threads=1).stream([Kept(path)], never, receipt=receipt)
    assert len(looked) == looked_for
    assert bool(others) == (len(there) < len(TILES))
    assert receipt.retries == 0
    tiles = _wanted(Kept(path))
    (request,) = requests_of(tiles)
    assert receipt.requests == len(others) + bool(there)
    assert sum(tile.key.length for tile in tiles) <= receipt.bytes <= request[0].span.length


def test_a_fault_leaves_no_other_call_waiting(path, monkeypatch):
    engine, read, waiting = Engine(decode_threads=1), at_hand.body_of, threading.Event()

    def body_of(piece):
        if piece.tiles[0].call.receipt is broken:
            assert waiting.wait(10)
            raise MemoryError
        return read(piece)

    monkeypatch.setattr(scheduler, "body_of", body_of)
    monkeypatch.setattr(at_hand, "_BYTES_A_TURN", 1)
    broken, whole = Receipt(), Kept(path)
    first = engine.start([Kept(path)], never, broken)
    second = engine.start([whole], never)
    waiting.set()
    with pytest.raises(MemoryError):
        first.wait()
    second.wait()
    assert sorted(whole.got) == list(TILES)


def test_systems_that_do_not_tell_have_others_read(path, monkeypatch):
    monkeypatch.setattr(files, "_AT_ONCE", None)
    Engine().stream([Kept(path)], never)


@pytest.mark.parametrize("compress", ["none", "lzw", "zstd", "packbits", "lzma"])
@pytest.mark.usefixtures("no_others")
@pytest.mark.skipif(not hasattr(os, "RWF_NOWAIT"), reason="only Linux tells what it has in memory")
def test_tiles_stay_what_they_are_when_the_next_are_read(tmp_path, compress):
    Engine(decode_threads=1).stream([Kept(write(tmp_path / "image.tif", compress=compress, predictor=1))], never)


def test_pieces_have_each_tile_once_and_few_bytes(path, monkeypatch):
    requests = requests_of(_wanted(Kept(path)))
    assert sum(len(request[0].parts) for request in requests) == len(TILES)
    for most in (1, 3000, 10**9):
        monkeypatch.setattr(at_hand, "_BYTES_A_TURN", most)
        for request in requests:
            pieces = list(pieces_of(request))
            tiles = [tile for piece in pieces for tile in piece.tiles]
            assert tiles == [request[1][part] for part in request[0].parts]
            assert sum(piece.nbytes for piece in pieces) == request[0].span.length
            for piece in pieces:
                assert len(piece.tiles) <= TILES_A_TURN
                assert len(piece.tiles) == 1 or piece.span.length <= most
                for tile in piece.tiles:
                    end = tile.key.offset + tile.key.length
                    assert piece.span.offset <= tile.key.offset <= end <= piece.span.end


def test_a_file_that_is_not_there_is_told_as_ever(path):
    with pytest.raises(MissingObjectError, match=r"gone\.tif"):
        Engine().stream([Kept(path.with_name("gone.tif"))], never)


@pytest.mark.parametrize("facts", [FileFacts(17), FileFacts(None, None, datetime(2001, 1, 1))])
def test_a_file_that_was_changed_is_told_as_ever(path, facts):
    with pytest.raises(FileChangedError):
        Engine().stream([Kept(path, facts)], never)


def test_a_file_that_changes_meanwhile_is_told_as_ever(path):
    job = Kept(path)
    job.meanwhile = lambda: os.utime(path, (0, 0))
    with pytest.raises(FileChangedError):
        Engine(decode_threads=1).stream([job], never)


def test_a_call_that_stops_leaves_its_tiles_to_those_that_wait(path):
    engine, reached, go_on = Engine(decode_threads=1), threading.Event(), threading.Event()
    first, second = Kept(path), Kept(path)

    def wait():
        reached.set()
        go_on.wait(10)

    first.meanwhile = wait
    begun = engine.start([first], never)
    reached.wait(10)
    waiting = engine.start([second], never)
    begun.stop()
    go_on.set()
    waiting.wait()
    assert len(second.got) == len(TILES) > len(first.got)


def test_a_light_call_passes_a_heavy_one(path, tmp_path):
    engine, begun, over, before = Engine(decode_threads=1), threading.Event(), threading.Event(), []
    heavy, light = Kept(path), Kept(write(tmp_path / "other.tif"))
    light.needs = lambda: Kept.needs(light)[:1]
    light.finish = lambda: (before.append(len(heavy.got)), over.set())

    def wait():
        begun.set()
        over.wait(0.2)

    heavy.meanwhile = wait
    started = engine.start([heavy], never)
    assert begun.wait(10)
    engine.stream([light], never)
    started.wait()
    assert 0 < before[0] < len(TILES)
