"""Several that build, change or read one collection at a time."""

from __future__ import annotations

import _thread
import itertools
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from index_catalog import BAND_MAP, CountingBackend, request
from index_killing import SPRING, SUMMER, SlowBackend, kept_file, perform, prepare, program, write_world
from test_index_atomic import needs_fork

from rasteret_sql.errors import IndexFormatError, InterruptedQueryError, MissingObjectError, StacError
from rasteret_sql.index.change.append import append
from rasteret_sql.index.change.build import build
from rasteret_sql.index.change.drop import drop
from rasteret_sql.index.change.refresh import refresh
from rasteret_sql.index.place.atomic_directory import writing
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.place.workspace import list_collections
from rasteret_sql.index.read.headers_by_id import StoredHeaders
from rasteret_sql.library.remembered_search import sources_of
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.search_request import StacSource
from rasteret_sql.stac.search_source import StacScenes
from tests.sampling import some

FILES = 12


def only_the_collection(workspace: Path) -> Path:
    """Nothing is left beside it."""
    (path,) = workspace.iterdir()
    assert [entry["size"] for entry in list_collections(workspace)] == [6]
    return path


@pytest.mark.exhaustive
@needs_fork
@pytest.mark.parametrize("processes", some([2, 4], 2))
def test_of_processes_that_build_the_same_one_does_the_work(tmp_path, processes):
    """Issue 3, point 4."""
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    with program() as run:
        assert run.run("build", catalog, workspace, together=processes, times=1) == [0] * processes
    counts = sorted(map(int, kept_file(workspace).read_text().split()))
    assert counts == [0] * (processes - 1) + [FILES]
    only_the_collection(workspace)


@pytest.mark.exhaustive
@needs_fork
def test_processes_that_append_the_same_add_it_once(tmp_path):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    prepare("append", catalog, workspace)
    with program() as run:
        assert run.run("append", catalog, workspace, together=3, times=1) == [0, 0, 0]
    assert sorted(map(int, kept_file(workspace).read_text().split())) == [0, 0, 6]
    only_the_collection(workspace)


@pytest.mark.exhaustive
@needs_fork
def test_a_reader_finds_a_whole_collection_while_processes_build_it_again_and_again(tmp_path):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    path = perform("build", catalog, workspace, CountingBackend())
    reads = 0
    with program() as run:
        run.start("rebuild", catalog, workspace, together=2, times=4)
        waiting = ThreadPoolExecutor(1)
        done = waiting.submit(run.answer)
        while not done.done():
            assert open_collection(path).count_rows() == 6
            assert [entry["size"] for entry in list_collections(workspace)] == [6]
            reads += 1
        assert done.result() == [0, 0]
        waiting.shutdown()
    assert reads > 10
    assert kept_file(workspace).read_text().split() == [str(4 * FILES)] * 2
    only_the_collection(workspace)


@pytest.mark.exhaustive
@needs_fork
def test_waiting_for_a_process_that_stands_still(tmp_path):
    """Another name does not wait; who waits can stop; and the lock of a process that is killed is free."""
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    with program() as run:
        stages = run.run("build", catalog, tmp_path / "all")
        run.start("build", catalog, workspace, stages.index("answer"), end=signal.SIGSTOP)
        pid = stopped(kept_file(workspace))

        assert open_collection(build(request(catalog, workspace, name="other"))).count_rows() == 6

        asked = itertools.count()
        with pytest.raises(InterruptedQueryError, match=r'build of "bay" was interrupted while another one works'):
            build(request(catalog, workspace), cancelled=lambda: next(asked) > 3)

        # Who starts tests in the background may have had SIGINT ignored, which children inherit.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        ctrl_c = threading.Timer(0.2, _thread.interrupt_main)
        ctrl_c.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                build(request(catalog, workspace))
        finally:
            ctrl_c.join()
            signal.signal(signal.SIGINT, before)

        backend = CountingBackend()
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(build, request(catalog, workspace, backend=backend))
            time.sleep(0.2)
            assert not waits.done()
            os.kill(pid, signal.SIGKILL)
            assert run.answer() == signal.SIGKILL
            assert open_collection(waits.result(30)).count_rows() == 6
    assert len(backend.requests) == FILES


def stopped(told: Path) -> int:
    """Wait until the child has stopped, and give its process."""
    while True:
        time.sleep(0.02)
        pid = int(told.read_text()) if told.exists() and told.read_text() else None
        if pid is not None:
            state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=True)
            if state.stdout.startswith("T"):
                return pid


@pytest.mark.parametrize("threads", [2, 4])
def test_of_threads_that_build_the_same_one_does_the_work(tmp_path, threads):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    backend = SlowBackend()
    with ThreadPoolExecutor(threads) as pool:
        paths = set(pool.map(lambda _: build(request(catalog, workspace, backend=backend)), range(threads)))
    assert paths == {only_the_collection(workspace)}
    assert len(backend.requests) == FILES


def test_the_work_of_one_that_fails_is_done_by_the_next(tmp_path):
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    first_is_in, go_on = threading.Event(), threading.Event()

    def slow_progress(_done, _total, _what):
        first_is_in.set()
        go_on.wait(10)
        raise StacError("the first one fails")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(build, request(catalog, workspace), progress=slow_progress)
        assert first_is_in.wait(10)
        second = pool.submit(build, request(catalog, workspace))
        time.sleep(0.1)
        go_on.set()
        with pytest.raises(StacError, match="the first one fails"):
            first.result(30)
        assert second.result(30) == only_the_collection(workspace)


def test_builds_that_fail_do_not_take_the_workspace_from_under_each_other(tmp_path):
    """Each makes the workspace, and removes it again as nothing came of it."""
    target = tmp_path / "deep" / "workspace" / "bay_stac"

    def fail(_):
        with pytest.raises(ZeroDivisionError), writing(target, "the test", None):
            raise ZeroDivisionError

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fail, range(400)))
    assert not target.parent.exists() or list(target.parent.iterdir()) == []


@pytest.mark.exhaustive
def test_all_kinds_of_change_at_a_time_end_in_a_whole_collection(tmp_path):
    """Builds, appends, refreshs and drops of one collection take turns; readers see one state or the other."""
    catalog, workspace = write_world(tmp_path / "catalog"), tmp_path / "workspace"
    spring = request(catalog, workspace, search={"date_range": SPRING}, force=True)
    path = build(spring)
    summer = StacScenes(StacSource(str(catalog), date_range=SUMMER), BandNaming(BAND_MAP))
    stop = threading.Event()
    done: Counter[str] = Counter()

    def again_and_again(what: str, change: Callable[[], object]) -> None:
        while not stop.is_set():
            try:
                change()
            except MissingObjectError:
                done[f"{what}, gone"] += 1  # it was dropped
            except IndexFormatError as error:
                assert what == "read"
                assert "changed meanwhile" in str(error)
                done[f"{what}, changed"] += 1
            done[what] += 1

    def read() -> None:
        index = open_collection(path)
        headers = StoredHeaders(index).all(index.bands)
        assert len(headers.ids) == index.count_rows()
        assert len(headers.ids) in (3, 6)

    changes = {
        "build": lambda: build(spring),
        "append": lambda: append(open_collection(path), summer),
        "refresh": lambda: refresh(index := open_collection(path), sources_of(index)),
        "drop": lambda: drop(open_collection(path)),
        "read": read,
    }
    with ThreadPoolExecutor(len(changes)) as pool:
        working = [pool.submit(again_and_again, what, change) for what, change in changes.items()]
        while not any(one.done() for one in working) and not (done["append"] >= 6 and done.keys() >= changes.keys()):
            time.sleep(0.05)
        stop.set()
        for one in working:
            one.result(60)
    assert all(done[what] for what in changes)
    build(spring)
    append(open_collection(path), summer)
    only_the_collection(workspace)
    read()
