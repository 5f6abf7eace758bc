"""Reads files of this machine at positions: at once from memory, else in a few threads; a store costs more."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from rasteret_sql.io.backend import FileFacts

_THREADS = 8
"""Enough to keep a disk's queue busy."""
_AT_ONCE: int | None = getattr(os, "RWF_NOWAIT", None)
"""Linux reads what it has in memory and nothing else."""


_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
"""A pipe to which nobody writes is opened at once, too, and then has no positions to read at."""


class LocalFiles:
    """Reads parts of files. A file is opened for each read, so that one replaced meanwhile is never half old."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rasteret-file")

    async def read(self, path: str, start: int, length: int) -> bytes:
        """`length` bytes from `start`; fewer only where the file ends."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, read_part, path, start, length)

    async def read_known(self, path: str, start: int, length: int) -> tuple[bytes, FileFacts]:
        """The same, and what the file system says of the file."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, read_known, path, start, length)

    async def read_starts(self, paths: Sequence[str], length: int) -> list[tuple[bytes, FileFacts] | None]:
        """The first bytes of some files, one after the other in one thread; None of one that cannot be read."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _read_starts, paths, length)


def _read_starts(paths: Sequence[str], length: int) -> list[tuple[bytes, FileFacts] | None]:
    found: list[tuple[bytes, FileFacts] | None] = []
    for path in paths:
        try:
            found.append(read_known(path, 0, length))
        except OSError:  # who asks for it alone is told why
            found.append(None)
    return found


def _opened(path: str) -> int:
    if "\0" in path:  # Python says only that the value is wrong
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    return os.open(path, _READ)


def read_part(path: str, start: int, length: int) -> bytes:
    """`length` bytes of a file from `start`, fewer only where it ends."""
    descriptor = _opened(path)
    try:
        return _pread(descriptor, start, length)
    finally:
        os.close(descriptor)


def read_at_hand(path: str, start: int, into: memoryview) -> FileFacts | None:
    """Fill a buffer from a file if the system has these bytes in memory; waits for no disk.

    Returns:
        What the file system says of the file. None: they are to be read by others, who tell what is wrong.
    """
    if _AT_ONCE is None:
        return None
    try:
        descriptor = _opened(path)
    except OSError:
        return None
    try:
        return _facts(descriptor) if os.preadv(descriptor, [into], start, _AT_ONCE) == len(into) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def read_known(path: str, start: int, length: int) -> tuple[bytes, FileFacts]:
    """The same, with size and time of change of the file that the bytes are of."""
    descriptor = _opened(path)
    try:
        data = _pread(descriptor, start, length)
        return data, _facts(descriptor)
    finally:
        os.close(descriptor)


def _facts(descriptor: int) -> FileFacts:
    """Size and time of change of a file; asked for after a read, so that they are not older than its bytes."""
    stat = os.fstat(descriptor)
    modified = datetime.fromtimestamp(stat.st_mtime_ns // 1000 / 1e6, UTC).replace(tzinfo=None)
    return FileFacts(stat.st_size, None, modified)


def _pread(descriptor: int, start: int, length: int) -> bytes:
    data = os.pread(descriptor, length, start)
    while len(data) < length and (more := os.pread(descriptor, length - len(data), start + len(data))):
        data += more  # a signal or a network file system may cut a read short
    return data
