"""Replaces a directory as a whole: writes it beside its place, makes it durable, moves it in one step."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InterruptedQueryError
from rasteret_sql.locks import held_and_removed

_TEMPORARY = ".tmp"
_ASIDE = f".old{_TEMPORARY}"
"""Ends the name of what stood at the target, on systems that cannot swap."""
_STALE_SECONDS = 3600.0
_EXCHANGE = 2
_AT_FDCWD = -100


@contextmanager
def published(target: Path) -> Iterator[Path]:
    """Give an empty directory beside `target`; when the block ends well it becomes `target`, else it is removed.

    A process killed inside the block leaves only a hidden `.….tmp` directory, which nothing reads. The next `writing`
    of the same target removes it, and without that a later call does once it is old. Of two processes that publish the
    same target the last one wins.
    """
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(target)
    temporary = target.parent / f".{target.name[:180]}.{os.getpid()}-{secrets.token_hex(4)}{_TEMPORARY}"
    temporary.mkdir()
    try:
        yield temporary
        _make_durable(temporary)
        _move(temporary, target)
    finally:
        # After a swap this is what stood at the target before.
        shutil.rmtree(temporary, ignore_errors=True)
    _sync(target.parent)


def restore(target: Path) -> None:
    """Put back what a process that was killed between two renames moved aside, on a system that cannot swap.

    Only for one that no other process can be publishing now.
    """
    target = target.resolve()
    if target.exists() or not target.parent.is_dir():
        return
    for left in target.parent.iterdir():
        if left.name.startswith(f".{target.name[:180]}.") and left.name.endswith(_ASIDE):
            left.rename(target)
            return


def _make_durable(directory: Path) -> None:
    for root, _, files in os.walk(directory, topdown=False):
        for name in files:
            path = Path(root, name)
            # What is linked from elsewhere was made durable there.
            if path.stat().st_nlink == 1:
                _sync(path)
        _sync(Path(root))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move(temporary: Path, target: Path) -> None:
    while True:
        try:
            # Succeeds where nothing, or an empty directory, is in the way.
            os.rename(temporary, target)  # noqa: PTH104 (Path.rename hides which of the two it did)
        except OSError:
            if not target.exists():
                raise
        else:
            return
        if _exchange(temporary, target):
            return
        # Systems without an atomic swap: readers find nothing for the time of one rename.
        aside = temporary.with_name(temporary.name.removesuffix(_TEMPORARY) + _ASIDE)
        try:
            os.rename(target, aside)  # noqa: PTH104
        except FileNotFoundError:
            continue
        try:
            os.rename(temporary, target)  # noqa: PTH104
        except OSError:
            if not target.exists():
                os.rename(aside, target)  # noqa: PTH104
            continue
        shutil.rmtree(aside, ignore_errors=True)
        return


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories atomically; False where the system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        return bool(libc.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, ctypes.c_uint(_EXCHANGE)) == 0)
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        return bool(libc.renamex_np(first, second, ctypes.c_uint(_EXCHANGE)) == 0)
    return False


def _remove_stale(target: Path) -> None:
    """Remove what killed builds of this target left, once no process can still be writing it."""
    for left in _leftovers(target):
        if _is_stale(left, _process_of(left, target)):
            shutil.rmtree(left, ignore_errors=True)


def _leftovers(target: Path) -> list[Path]:
    """Temporary directories of a target."""
    target = target.resolve()
    found = target.parent.glob(f".*{_TEMPORARY}")
    return [left for left in found if _process_of(left, target)]


def _process_of(left: Path, target: Path) -> int:
    """Number of the process that made a temporary directory of this target, 0 if it is not one."""
    prefix = f".{target.name[:180]}."
    process = left.name.removeprefix(prefix).split("-", 1)[0]
    return int(process) if left.name.startswith(prefix) and process.isdigit() else 0


def _is_stale(directory: Path, process: int) -> bool:
    try:
        newest = max(entry.stat().st_mtime for entry in (directory, *directory.rglob("*")))
    except OSError:
        return False  # someone else removes it now
    if time.time() - newest < _STALE_SECONDS:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return process == os.getpid()


@contextmanager
def writing(target: Path, what: str, cancelled: Cancelled | None) -> Iterator[None]:
    """Be the only one that builds, changes or drops the collection at `target`; others wait for their turn.

    Raises:
        InterruptedQueryError: `cancelled` said so while waiting.
    """

    def wait(_seconds: float) -> None:
        if cancelled is not None and cancelled():
            raise InterruptedQueryError(f"{what} was interrupted while another one works on the same collection")

    wait(0.0)
    was_there = target.parent.is_dir()
    try:
        with held_and_removed(target.parent / f".{target.name}.lock", wait):
            restore(target)
            for left in _leftovers(target):  # who made them held the lock, and is dead
                shutil.rmtree(left, ignore_errors=True)
            yield
    finally:
        if not was_there:
            with suppress(OSError):  # there is something in it now
                target.parent.rmdir()
