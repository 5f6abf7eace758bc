"""Locks a file for one writer at a time, among threads and processes; the system frees it when the holder dies."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rasteret_sql.callbacks import POLL_SECONDS


@contextmanager
def held(path: Path, on_wait: Callable[[float], None]) -> Iterator[None]:
    """Hold the lock at `path` until the block ends; its directory must be there.

    Args:
        path: The lock's own file, which stays.
        on_wait: Called with the seconds waited so far while another holds it; raises to give up.
    """
    with path.open("a+b") as file:
        started = time.monotonic()
        while not _take(file):
            on_wait(time.monotonic() - started)
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            # Closing it would not do if this process was forked meanwhile: the child has the file open, too.
            _free(file)


@contextmanager
def held_and_removed(path: Path, on_wait: Callable[[float], None]) -> Iterator[None]:
    """As `held`, and the file is gone when nobody holds it any more; its directory is made where it is not there."""
    started = time.monotonic()
    while True:
        with _opened(path) as file:
            if _take(file):
                if _is_at(file, path):
                    try:
                        yield
                    finally:
                        with suppress(PermissionError):  # Windows does not remove what another one has open
                            path.unlink(missing_ok=True)
                    return
                continue  # its last holder removed it while we opened it
        on_wait(time.monotonic() - started)
        time.sleep(POLL_SECONDS)


def _opened(path: Path) -> IO[bytes]:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("a+b")
        except (FileNotFoundError, FileExistsError):
            # Another one that made the directory, and did not need it, removed it again just then.
            if _is_something_else(path.parent):
                raise


def _is_something_else(directory: Path) -> bool:
    """True where no directory is at its place but another thing; one look, since it may be removed between two."""
    try:
        mode = directory.lstat().st_mode
    except FileNotFoundError:
        return False
    return not (directory.is_dir() if stat.S_ISLNK(mode) else stat.S_ISDIR(mode))


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _free(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _free(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
