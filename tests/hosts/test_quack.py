"""The stock `duckdb` shell, attached over Quack to a connection that this process serves.

The shell, the extensions and duckdb itself must be of one version (PyPI has them for 1.5.5): see the extra `quack`.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

import rasteret_sql
from tests.hosts.hosting import SAHARA, SQUARE, build

EXTENSIONS = ("httpfs", "quack")


def extension_file(name: str) -> Path:
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    if spec is None or spec.origin is None:
        pytest.skip(f"the package duckdb-extension-{name} is not installed (extra `quack`)")
    file = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not file.exists():
        pytest.skip(f"duckdb-extension-{name} has no extension for DuckDB {duckdb.__version__} (extra `quack`)")
    return file


def shell_program() -> str:
    beside = Path(sys.executable).parent / "duckdb"
    program = str(beside) if beside.exists() else shutil.which("duckdb")
    if program is None:
        pytest.skip("the shell `duckdb` is not installed (package duckdb-cli, extra `quack`)")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[0]
    if version != f"v{duckdb.__version__}":
        pytest.skip(f"the shell is {version}, DuckDB here is v{duckdb.__version__} (extra `quack`)")
    return program


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, Callable[[str], list[dict[str, str]]]]]:
    """A connection that is served, and a shell that asks it and gives the rows of its last statement."""
    files = [extension_file(name) for name in EXTENSIONS]
    program = shell_program()
    extensions = tmp_path / "extensions"
    con = rasteret_sql.connect(workspace_dir=tmp_path / "workspace", config={"extension_directory": str(extensions)})
    for name, file in zip(EXTENSIONS, files, strict=True):
        con.execute(f"INSTALL '{file}'")
        con.execute(f"LOAD {name}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"quack:localhost:{free.getsockname()[1]}"
    con.execute(f"CALL quack_serve('{address}', token = 'secret')").fetchall()

    def ask(statement: str) -> list[dict[str, str]]:
        script = (
            f".output /dev/null\nSET extension_directory = '{extensions}'; LOAD httpfs; LOAD quack; "
            f"CREATE SECRET (TYPE quack, TOKEN 'secret'); ATTACH '{address}' AS remote;\n"
            f".output\n.mode csv\n{statement};\n"
        )
        done = subprocess.run(
            [program, "-bail"],
            input=script,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return list(csv.DictReader(io.StringIO(done.stdout)))

    yield con, ask
    con.execute(f"CALL quack_stop('{address}')").fetchall()
    con.close()


def test_the_stock_shell_reads_a_chip_and_a_view(served):
    con, ask = served
    con.execute(build("bay")).fetchall()
    con.execute('CREATE VIEW clear AS SELECT id, status FROM rasteret.bay WHERE "eo:cloud_cover" < 50')
    call = f"read_chip(id, 'B04', '{SQUARE}')"
    expected = con.execute(
        f"SELECT {call}.width, md5({call}.data), chip_stats({call}).mean FROM rasteret.bay"
    ).fetchall()
    remote = (
        f"SELECT c.width AS w, md5(c.data) AS h, chip_stats(c).mean AS m FROM (SELECT {call} AS c FROM rasteret.bay)"
    )
    quoted = remote.replace("'", "''")
    rows = ask(f"FROM remote.query('{quoted}')")
    assert [(int(row["w"]), row["h"], float(row["m"])) for row in rows] == expected
    assert ask("FROM remote.query('SELECT id FROM rasteret.bay')") == [{"id": SAHARA}]
    assert ask("FROM remote.clear") == [{"id": SAHARA, "status": "ok"}]


def test_the_stock_shell_builds_a_collection_and_sees_errors(served):
    con, ask = served
    statement = build("made").replace("FROM", "SELECT id FROM", 1).replace("'", "''")
    assert ask(f"FROM remote.query('{statement}')") == [{"id": SAHARA}]
    assert con.execute("SELECT id FROM rasteret.made").fetchall() == [(SAHARA,)]
    with pytest.raises(RuntimeError, match='unknown band "B99"'):
        ask(f"FROM remote.query('SELECT read_chip(''{SAHARA}'', ''B99'').width')")
