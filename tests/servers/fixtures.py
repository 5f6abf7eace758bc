"""Fixtures that start real servers; import them in a conftest, or load with `-p tests.servers.fixtures`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.azure import azure_server
from tests.servers.google import google_server
from tests.servers.range_server import RangeServer
from tests.servers.s3 import s3_server

__all__ = ["azure_server", "google_server", "range_server", "s3_server"]


@pytest.fixture
def range_server(tmp_path: Path) -> Iterator[RangeServer]:
    """A range server over an empty directory, `range_server.directory`, without latency."""
    directory = tmp_path / "served"
    directory.mkdir()
    with RangeServer(directory) as server:
        yield server
