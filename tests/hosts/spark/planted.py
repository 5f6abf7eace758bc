"""Makes a backend on executors that reads with a key, and gets into trouble once where a test plants some.

A file `KEY` in the folder of the environment's variable has the key. A file such as `dies-two.tif` there is trouble for
the first read of `two.tif`: whoever takes it away has it.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.hosts.hosting import ROOT

FOLDER = "RASTERET_TESTS_SPARK_FOLDER"
"""The variable of the folder."""
HOST = "https://planted.test/"
"""Begins the addresses of its files, which nobody else can read."""
KEY = "AKIA-planted-key-of-executors"


class Planted:
    """Reads the tiny images by addresses below `HOST`, with a key."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._key = key

    def get_range(self, url: str, start: int, length: int) -> bytes:
        """Read a part of a file."""
        if self._key != KEY:
            raise PermissionError("the key is wrong")
        file = url.removeprefix(HOST)
        if self._has("dies", file):
            os._exit(17)
        if self._has("fails", file):
            raise PermissionError("planted: failed once")
        return (ROOT / "tests" / "sql" / "data" / file).read_bytes()[start : start + length]

    def get_ranges(self, url: str, ranges: list[tuple[int, int]]) -> list[bytes]:
        """Read parts of a file."""
        return [self.get_range(url, start, length) for start, length in ranges]

    def _has(self, trouble: str, file: str) -> bool:
        """True for the one that takes trouble away."""
        planted = self._folder / f"{trouble}-{file}"
        try:
            planted.rename(planted.with_suffix(".had"))
        except FileNotFoundError:
            return False
        return True


def backend() -> Planted:
    """Make it with the key that this machine has."""
    folder = Path(os.environ[FOLDER])
    return Planted(folder, (folder / "KEY").read_text(encoding="utf-8"))


def nothing() -> str:
    """Give what is no backend."""
    return "a text"
