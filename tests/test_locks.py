"""A lock has one holder at a time, and none that is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rasteret_sql.locks import held, held_and_removed

LOCKS = [held, held_and_removed]


def never(_seconds: float) -> None:
    raise AssertionError("another one holds it")


def patient(seconds: float) -> None:
    assert seconds < 60


@pytest.mark.parametrize("lock", LOCKS)
def test_one_thread_at_a_time(lock, tmp_path):
    inside = most = total = 0

    def work(_):
        nonlocal inside, most, total
        with lock(tmp_path / "lock", patient):
            inside += 1
            most = max(most, inside)
            time.sleep(0.0005)
            total += 1
            inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(80)))
    assert (most, total) == (1, 80)
    assert (tmp_path / "lock").exists() == (lock is held)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_process_that_is_killed_holds_nothing(lock, tmp_path):
    script = (
        "import sys, time; from pathlib import Path\n"
        f"from rasteret_sql.locks import {lock.__name__} as lock\n"
        "with lock(Path(sys.argv[1]), lambda _: None):\n    print('in', flush=True)\n    time.sleep(60)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        with pytest.raises(AssertionError, match="another"), lock(tmp_path / "lock", never):
            pass
        assert (tmp_path / "lock").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with lock(tmp_path / "lock", never):
        pass


@pytest.mark.parametrize("lock", LOCKS)
def test_it_is_free_after_an_error(lock, tmp_path):
    with pytest.raises(ZeroDivisionError), lock(tmp_path / "lock", never):
        raise ZeroDivisionError
    with lock(tmp_path / "lock", never):
        pass


@pytest.mark.parametrize("lock", LOCKS)
def test_who_waits_is_told_for_how_long_and_may_give_up(lock, tmp_path):
    told = []

    def give_up(seconds: float) -> None:
        told.append(seconds)
        if seconds > 0.1:
            raise TimeoutError

    with lock(tmp_path / "lock", never), ThreadPoolExecutor(1) as pool, pytest.raises(TimeoutError):
        pool.submit(lock(tmp_path / "lock", give_up).__enter__).result()
    assert told == sorted(told)
    assert len(told) > 2
    with lock(tmp_path / "lock", never):
        pass


FORKS = """
import os, sys
from pathlib import Path
from rasteret_sql.locks import {lock} as lock
def never(_): raise AssertionError("another one holds it")
path = Path(sys.argv[1])
reads, writes = os.pipe()
with lock(path, never):
    child = os.fork()
    if child == 0:
        os.read(reads, 1)
        os._exit(0)
with lock(path, never):
    print("taken again")
os.write(writes, b"x")
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("lock", LOCKS)
def test_a_process_forked_meanwhile_does_not_keep_it(lock, tmp_path):
    """Multiprocessing forks where it likes; the child has the file open, too."""
    command = [sys.executable, "-c", FORKS.format(lock=lock.__name__), str(tmp_path / "lock")]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout == b"taken again\n"


def test_a_file_that_its_holder_removed_is_not_the_lock_any_more(tmp_path):
    path = tmp_path / "deep" / "lock"
    order = []

    def second():
        with held_and_removed(path, patient):
            order.append("second")

    with held_and_removed(path, never):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
        path.unlink()
        with held_and_removed(path, patient):
            order.append("another file")
    thread.join()
    assert order[0] == "first"
    assert sorted(order) == ["another file", "first", "second"]
    assert not path.exists()
