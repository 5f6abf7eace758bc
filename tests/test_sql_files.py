"""Runs every `tests/sql/**/*.test`; the form is told in `tests/sql_runner.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import pytest

import rasteret_sql
from rasteret_sql.connection import session_for
from tests.sampling import exhaustive
from tests.servers.range_server import RangeServer
from tests.sql_runner import Host, Skipped, run_file

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "sql"
DATA = ROOT / "examples" / "data"


class _Served:
    """A range server over the example data, started by the first `${SERVER}`."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._server: RangeServer | None = None

    def url(self) -> str:
        if self._server is None:
            self._server = self._stack.enter_context(RangeServer(DATA))
        return self._server.url

    def traffic(self) -> tuple[int, int]:
        if self._server is None:
            return 0, 0
        counts = self._server.counts()
        return counts["requests"], counts["bytes"]


def _rows(connection: duckdb.DuckDBPyConnection, function: str) -> int:
    private = function if function.startswith("__") else f"__rasteret_{function}"
    return session_for(connection).receipts.rows(private)


@pytest.fixture
def served() -> Iterator[_Served]:
    with ExitStack() as stack:
        yield _Served(stack)


def _files() -> Iterator[Any]:
    """All files; those that begin with the line `# exhaustive` have that mark."""
    for path in sorted(FOLDER.rglob("*.test")):
        with path.open(encoding="utf-8") as file:
            yield exhaustive(path) if file.readline() == "# exhaustive\n" else path


def test_there_are_files():
    assert list(FOLDER.rglob("*.test"))


@pytest.mark.filterwarnings("ignore:.*neither files nor item say the CRS:RuntimeWarning")
@pytest.mark.parametrize("path", list(_files()), ids=lambda path: path.relative_to(FOLDER).with_suffix("").as_posix())
def test_sql_file(path, tmp_path, served):
    host = Host(
        connect=lambda: rasteret_sql.connect(workspace_dir=tmp_path / "workspace"),
        variables={"DATA": str(DATA), "TINY": str(FOLDER / "data"), "TMP": str(tmp_path), "SERVER": served.url},
        traffic=served.traffic,
        udf_rows=_rows,
    )
    try:
        run_file(path, host)
    except Skipped as reason:
        pytest.skip(str(reason))
