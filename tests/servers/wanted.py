"""Servers that may not be there: tests that need one are skipped, or fail where all servers are required."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from rasteret_sql.locks import held

REQUIRED = "RASTERET_TESTS_REQUIRE_SERVERS"
CACHE = "RASTERET_TESTS_CACHE"


def unavailable(reason: str) -> NoReturn:
    """Skip the test, or fail it where `RASTERET_TESTS_REQUIRE_SERVERS=1` says that every server has to be there."""
    if os.environ.get(REQUIRED, "") not in ("", "0"):
        pytest.fail(f"{reason}, and {REQUIRED} is set", pytrace=False)
    pytest.skip(reason)


def cache_directory() -> Path:
    """Where servers that are downloaded are kept: `RASTERET_TESTS_CACHE`, else a folder of the user's cache."""
    named = os.environ.get(CACHE)
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "rasteret-sql-tests"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rasteret-sql-tests"


@contextlib.contextmanager
def installing(name: str) -> Iterator[Path]:
    """The directory of a server that is installed once, by one process at a time."""
    directory = cache_directory()
    directory.mkdir(parents=True, exist_ok=True)
    with held(directory / f"{name}.lock", lambda _waited: None):
        yield directory / name
