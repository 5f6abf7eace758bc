"""The one loop serves every thread, and lets go at once when told to."""

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import InterruptedQueryError
from rasteret_sql.io.fetch import fetch
from rasteret_sql.io.loop import THREAD_NAME, io_loop, run, submit
from rasteret_sql.io.routed_backend import RoutedBackend
from tests.servers.range_server import RangeServer


async def thread_name() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


def test_runs_on_one_thread_from_anywhere() -> None:
    names = [run(thread_name())]
    workers = [threading.Thread(target=lambda: names.append(run(thread_name()))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert names == [THREAD_NAME] * 5
    assert sum(t.name == THREAD_NAME for t in threading.enumerate()) == 1


def test_works_inside_a_running_loop() -> None:
    async def notebook() -> str:
        return run(thread_name())

    assert asyncio.run(notebook()) == THREAD_NAME


def test_refuses_to_wait_for_itself() -> None:
    async def inside() -> None:
        run(thread_name())

    with pytest.raises(RuntimeError, match="wait for itself"):
        run(inside())


def test_errors_and_submit() -> None:
    async def fail() -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        run(fail())
    assert submit(thread_name()).result(5) == THREAD_NAME


def test_cancel_cancels_the_task() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    with pytest.raises(InterruptedQueryError):
        run(wait(), cancelled=begun.is_set)
    assert ended.wait(60)


def test_cancel_drops_the_connection_of_a_stalled_request(range_server: RangeServer) -> None:
    (range_server.directory / "a.bin").write_bytes(bytes(1000))
    range_server.faults("stall-early")
    range_server.reset()
    with pytest.raises(InterruptedQueryError):
        run(
            fetch(RoutedBackend(), f"{range_server.url}/a.bin", ByteRange(0, 1000)),
            cancelled=lambda: range_server.counts()["requests"] == 1,
        )
    range_server.faults()
    while True:  # until the server, too, has seen the connection go
        range_server.reset()
        if range_server.counts()["max_in_flight"] == 0:
            break
        time.sleep(0.02)
    assert len(run(fetch(RoutedBackend(), f"{range_server.url}/a.bin", ByteRange(0, 1000)))) == 1000


def test_starts_anew_in_a_forked_child() -> None:
    code = """
import os, sys
from rasteret_sql.io.fetch import fetch
from rasteret_sql.io.loop import io_loop, run
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.byte_ranges import ByteRange
read = lambda: bytes(run(fetch(default_backend(), sys.argv[1], ByteRange(0, 4))))
first = read()
pid = os.fork()
if pid == 0:
    os._exit(0 if read() == first else 1)
sys.exit(os.waitpid(pid, 0)[1])
"""
    done = subprocess.run([sys.executable, "-c", code, __file__], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


FORKS = """
import os, signal, sys
import obstore
from rasteret_sql.errors import MissingObjectError, StorageError
from rasteret_sql.io import loop
from rasteret_sql.io.backend import ObstoreBackend
from rasteret_sql.io.fetch import fetch
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import RoutedBackend, default_backend
from rasteret_sql.byte_ranges import ByteRange

def broken():
    raise ImportError("there is no room")

url = sys.argv[1]
backends = [default_backend(), RoutedBackend(), ObstoreBackend(url, client_options={"allow_http": True})]
read = lambda name="a.bin": [bytes(run(fetch(backend, f"{url}/{name}", ByteRange(0, 4)))) for backend in backends]

def child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(2)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

def reads(deeper):
    assert read() == first
    store = obstore.store.HTTPStore.from_url(url, client_options={"allow_http": True})
    assert bytes(obstore.get_range(store, "a.bin", start=0, length=4)) == first[0]
    try:
        read("none.bin")
    except MissingObjectError:
        pass
    else:
        raise AssertionError("a file that is not there was read")
    if deeper:
        child(lambda: reads(False))

def refuses():
    loop.load_again = broken
    try:
        read()
    except StorageError as error:
        assert "`spawn` or `forkserver`" in str(error), error
    else:
        raise AssertionError("stores of the parent were used")

first = read()
child(lambda: reads(True))
child(refuses)
assert read() == first
"""


def test_a_forked_child_has_stores_of_its_own(range_server: RangeServer) -> None:
    (range_server.directory / "a.bin").write_bytes(bytes(range(200)))
    command = [sys.executable, "-c", FORKS, range_server.url]
    done = subprocess.run(command, timeout=120, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_noise_at_exit_with_requests_running(range_server: RangeServer) -> None:
    (range_server.directory / "a.bin").write_bytes(bytes(1000))
    range_server.faults("stall-early")
    code = """
import sys, time
from rasteret_sql.io.fetch import fetch
from rasteret_sql.io.loop import io_loop, submit
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.byte_ranges import ByteRange
io_loop().slow_callback_duration = 60  # a busy machine is not what is looked for
waiting = [submit(fetch(default_backend(), sys.argv[1], ByteRange(0, 4))) for _ in range(20)]
time.sleep(0.3)
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code, f"{range_server.url}/a.bin"],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.getcwd()},  # noqa: PTH109
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_loop_is_kept() -> None:
    assert io_loop() is io_loop()
