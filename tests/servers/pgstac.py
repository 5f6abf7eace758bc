"""A STAC API on PostgreSQL (stac-fastapi-pgstac), in processes of its own, as a fixture.

It needs PostgreSQL with PostGIS (Debian: postgresql-15 postgresql-15-postgis-3) and the extra `pgstac`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers.process import free_port

_MODULES = ("pypgstac", "stac_fastapi", "uvicorn")
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/opt/postgresql*/bin", "/opt/homebrew/opt/postgresql*/bin")


@dataclass(frozen=True, slots=True)
class PgStac:
    """A running API."""

    url: str
    environment: dict[str, str]

    def load(self, kind: str, documents: Iterable[dict[str, Any]]) -> None:
        """Put collections or items into the database; those of the same id are replaced.

        Args:
            kind: `collections` or `items`.
            documents: STAC.
        """
        with tempfile.NamedTemporaryFile("w", suffix=".ndjson") as file:
            file.writelines(json.dumps(document) + "\n" for document in documents)
            file.flush()
            _pypgstac(self.environment, "load", kind, file.name, "--method", "upsert")


def missing() -> str | None:
    """What is not installed, None where all is there."""
    absent = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if absent:
        return f"the packages {', '.join(absent)} are not installed (extra `pgstac`)"
    if _postgres() is None:
        return "PostgreSQL with PostGIS is not installed (Debian: postgresql-15 postgresql-15-postgis-3)"
    if os.geteuid() == 0 and _runuser() is None:
        return "root cannot start PostgreSQL without `runuser`, which is not there"
    return None


def _runuser() -> str | None:
    """The program, which lies where the PATH of a user need not lead."""
    return shutil.which("runuser", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


@contextlib.contextmanager
def serve_pgstac() -> Iterator[PgStac]:
    """Make a database in a temporary directory, serve it, and end both afterwards."""
    programs = _postgres()
    assert programs is not None
    directory = Path(tempfile.mkdtemp(prefix="pgstac-"))
    as_owner: list[str] = []
    if os.geteuid() == 0:  # which PostgreSQL does not run as
        shutil.chown(directory, "postgres")
        as_owner = [_runuser() or "runuser", "-u", "postgres", "--"]
    port = free_port()
    environment = {
        **os.environ,
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGUSER": "postgres",
        "PGPASSWORD": "none",
        "PGDATABASE": "stac",
    }

    def postgres(program: str, *arguments: str) -> None:
        command = [*as_owner, str(programs / program), *arguments]
        subprocess.run(command, check=True, cwd=directory, stdout=subprocess.DEVNULL, timeout=120)

    data = directory / "data"
    postgres("initdb", "-D", str(data), "-A", "trust", "-U", "postgres")
    # Without fsync: nothing here has to survive.
    options = f"-p {port} -k {directory} -c listen_addresses=127.0.0.1 -c fsync=off"
    postgres("pg_ctl", "-D", str(data), "-o", options, "-l", str(directory / "log"), "-w", "start")
    api: subprocess.Popen[bytes] | None = None
    try:
        postgres("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "stac")
        _pypgstac(environment, "migrate")
        api_port = free_port()
        command = [sys.executable, "-m", "uvicorn", "--factory", "stac_fastapi.pgstac.app:create_app"]
        with (directory / "api.log").open("wb") as log:
            api = subprocess.Popen([*command, "--port", str(api_port)], env=environment, stdout=log, stderr=log)
        url = f"http://127.0.0.1:{api_port}"
        _wait_for(url, api, directory / "api.log")
        yield PgStac(url, environment)
    finally:
        if api is not None:
            api.terminate()
            api.wait(timeout=20)
        postgres("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def pgstac() -> Iterator[PgStac]:
    """One such API for the tests of a worker; tests are skipped, with the reason, where it cannot be had."""
    absent = missing()
    if absent is not None:
        pytest.skip(absent)
    with serve_pgstac() as server:
        yield server


def _postgres() -> Path | None:
    """Directory of the programs of a PostgreSQL that has PostGIS: a server without it is common."""
    there = [path for pattern in _PLACES for path in Path("/").glob(pattern.lstrip("/")) if (path / "initdb").exists()]
    first = shutil.which("initdb")
    candidates = [Path(first).resolve().parent] if first else []  # resolved, since a link may stand alone
    return next((path for path in [*candidates, *sorted(there, reverse=True)] if _has_postgis(path)), None)


def _has_postgis(programs: Path) -> bool:
    config = programs / "pg_config"
    if not config.exists():
        return False
    shared = subprocess.run([config, "--sharedir"], check=True, capture_output=True, text=True, timeout=20).stdout
    return (Path(shared.strip()) / "extension" / "postgis.control").exists()


def _pypgstac(environment: dict[str, str], *arguments: str) -> None:
    program = Path(sys.executable).with_name("pypgstac")
    done = subprocess.run(
        [program, *arguments], check=False, env=environment, capture_output=True, text=True, timeout=180
    )
    if done.returncode:
        raise RuntimeError(f"pypgstac {' '.join(arguments)} failed: {done.stderr[-2000:]}")


def _wait_for(url: str, api: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and api.poll() is None:
        with contextlib.suppress(OSError), opener.open(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the API did not start: {log.read_text('utf-8', 'replace')[-2000:]}")
