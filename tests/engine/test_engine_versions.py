"""Versions of files and whose tiles they are: a call never mixes them, whatever an index knows of its files."""

import asyncio
import dataclasses
import gc
import threading

import numpy as np
import pytest
from test_scheduler import DATA, LEVEL, Memory, Whole, never, right, run

from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.engine.versions import Scopes, Versions
from rasteret_sql.errors import FileChangedError
from rasteret_sql.io.backend import FileFacts
from rasteret_sql.io.routed_backend import default_backend

OLD, NEW = FileFacts(len(DATA), "old"), FileFacts(len(DATA), "new")


class Telling(Memory):
    """Tells what it knows of its one file, which changes after some answers."""

    def __init__(self, files, facts=OLD, after=None, then=NEW):
        super().__init__(files)
        self.facts, self.after, self.then = facts, after, then
        self.answers = 0
        self.lock = threading.Lock()

    async def get_part(self, url, start, length):
        data = await Memory.get_range(self, url, start, length)
        await asyncio.sleep(0)
        with self.lock:
            self.answers += 1
            if self.after is not None and self.answers > self.after:
                self.facts = self.then
        return data, self.facts


class Known(Whole):
    """Reads a file of which something is known."""

    def __init__(self, facts=None, **more):
        super().__init__(**more)
        self.facts = facts

    def needs(self):
        return [dataclasses.replace(self.need(i, n), version=self.facts) for n, i in enumerate(self.tiles)]


def apart(count=64, gap=70_000):
    """The level and its file with the tiles so far from each other that each takes a request."""
    offsets, at, data = [], 1000, bytearray()
    data += bytes(1000)
    for index in range(count):
        start, length = int(LEVEL.offsets[index]), int(LEVEL.byte_counts[index])
        offsets.append(at)
        data += DATA[start : start + length] + bytes(gap)
        at = len(data)
    return dataclasses.replace(LEVEL, offsets=np.array(offsets, np.uint64)), bytes(data)


FAR, FAR_DATA = apart()


def test_answers_of_the_indexed_version_are_taken():
    job = Known(OLD)
    run(Engine(), [job], Telling({"a": DATA}), never)
    assert right(job)


def test_answers_of_another_version_are_an_error_with_the_address():
    with pytest.raises(FileChangedError, match="ETag new instead of old"):
        run(Engine(), [Known(OLD)], Telling({"a": DATA}, NEW), never)
    job = Known(OLD, tolerant=True)
    run(Engine(), [job], Telling({"a": DATA}, NEW), never)
    assert job.error.address == "a"


@pytest.mark.parametrize("known", [None, FileFacts(), FileFacts(len(FAR_DATA))])
@pytest.mark.parametrize("after", [1, 5, 63])
def test_without_known_facts_the_first_answer_says_the_version(known, after):
    """A file that changes during a call fails all its jobs that are not complete, also those that begin late."""
    backend = Telling({"a": FAR_DATA}, FileFacts(len(FAR_DATA), "old"), after, FileFacts(len(FAR_DATA), "new"))
    jobs = [Known(known, tiles=range(n, 64, 4), level=FAR, tolerant=True) for n in range(4)]
    jobs += [Known(known, level=FAR, tolerant=True)]
    engine = Engine()
    run(engine, jobs, backend, never)
    assert isinstance(jobs[-1].error, FileChangedError)
    assert "ETag new instead of old" in str(jobs[-1].error)
    asked = len(backend.asked)
    assert asked <= 64 + 128
    # The next call reads the version that is there now, and none of the old tiles.
    late = Known(known, level=FAR)
    run(engine, [late], backend, never)
    assert right(late)
    assert len(backend.asked) == asked + 64


def test_a_tile_of_an_older_version_is_never_given_for_a_newer_one():
    engine, backend = Engine(), Telling({"a": DATA})
    run(engine, [Known(OLD)], backend, never)
    other = bytearray(DATA)
    backend.files["a"], backend.facts = bytes(other), NEW
    backend.asked.clear()
    job = Known(NEW)
    run(engine, [job], backend, never)
    assert right(job)
    assert backend.asked, "fetched, not taken from the cache"
    backend.asked.clear()
    run(engine, [Known(NEW)], backend, never)
    assert not backend.asked


def test_tiles_of_one_backend_are_not_given_to_another():
    """B: credentials of one session are not lent to another by the cache."""
    engine, one, other = Engine(), Memory({"a": DATA}), Memory({})
    run(engine, [Whole()], one, never)
    with pytest.raises(FileNotFoundError):
        run(engine, [Whole()], other, never)
    one.asked.clear()
    run(engine, [Whole()], one, never)
    assert not one.asked


def test_the_process_s_own_backends_count_as_one():
    scopes = Scopes()
    assert scopes.of(None) == scopes.of(default_backend()) == 0


def test_a_number_is_never_given_again():
    scopes, seen = Scopes(), set()
    for _ in range(200):
        backend = Memory({})
        number = scopes.of(backend)
        assert number not in seen
        assert scopes.of(backend) == number
        seen.add(number)
        del backend
        gc.collect(0)
    assert len(scopes._numbers) < 200, "those that are gone are forgotten"


def test_a_custom_backend_that_tells_nothing_reads_as_ever():
    job = Known(OLD)
    run(Engine(), [job], Memory({"a": DATA}), never)
    assert right(job)


def test_versions_are_told_apart_by_address_backend_and_facts():
    versions = Versions()
    numbers = {
        versions.of(address, scope, facts).number
        for address in "ab"
        for scope in (0, 1)
        for facts in (None, OLD, NEW)
        for _ in range(2)
    }
    assert len(numbers) == 12


def test_after_a_change_nothing_more_is_asked():
    version = Versions().of("a", 0, None)
    version.settle("a", OLD)
    version.settle("a", FileFacts(len(DATA)))
    with pytest.raises(FileChangedError, match="changed while it was read: ETag new instead of old"):
        version.settle("a", NEW)
    with pytest.raises(FileChangedError):
        version.check()
    with pytest.raises(FileChangedError):
        version.settle("a", OLD)


def test_what_one_answer_knows_more_counts_from_then_on():
    version = Versions().of("a", 0, FileFacts(7))
    assert version.expected == FileFacts(7)
    version.settle("a", FileFacts(None, "tag"))
    assert version.expected == FileFacts(7, "tag")


def test_calls_at_once_share_one_version():
    """Two calls read a file that changes under them: neither mixes, and a third one reads the new version."""
    size = len(FAR_DATA)
    backend, engine = Telling({"a": FAR_DATA}, FileFacts(size, "old"), 20, FileFacts(size, "new")), Engine()
    jobs = [Known(level=FAR, tolerant=True) for _ in range(2)]
    threads = [threading.Thread(target=run, args=(engine, [job], backend, never)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert any(job.error is not None for job in jobs)
    for job in jobs:
        assert job.error is not None or right(job)
