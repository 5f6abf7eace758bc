"""The search itself: it finds a credential in each kind of file and output, and knows which there are."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import os
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from urllib.parse import quote

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.sampling import some
from tests.secrets.plugin import Recorder
from tests.secrets.searching import Search
from tests.servers import earthdata, s3, signed_files
from tests.servers.secrets import SHARED, constants, inputs, planted, secret, secrets

WORD = "only-for-this-test/+="


def parquet(file: Path, *, codec="zstd", **columns) -> None:
    pq.write_table(pa.table(columns), file, compression=codec)


def database(file: Path, *statements: str) -> None:
    with duckdb.connect(str(file)) as con:
        for statement in statements:
            con.execute(statement)


def arrow(file: Path, codec: str) -> None:
    table = pa.table({"a": [WORD] * 100})
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.OSFile(str(file), "wb") as out, pa.ipc.new_file(out, table.schema, options=options) as writer:
        writer.write_table(table)


WRITERS = {
    "text": lambda f: f.write_text(f"a {WORD} b"),
    "json": lambda f: f.write_text(json.dumps({"a": [WORD]})),
    "percent": lambda f: f.write_text(f"https://h/?a={quote(WORD, safe='')}"),
    "utf-16": lambda f: f.write_bytes(b"\xff\xfe" + f"é {WORD}".encode("utf-16-le")),
    **{
        f"base64-{n}": lambda f, n=n: f.write_bytes(base64.b64encode(b"u" * n + b":" + WORD.encode() + b"x" * n))
        for n in range(3)
    },
    "gzip": lambda f: f.write_bytes(gzip.compress(WORD.encode() * 9)),
    "zlib": lambda f: f.write_bytes(zlib.compress(WORD.encode() * 9)),
    "zstd": lambda f: f.write_bytes(pa.compress(WORD.encode() * 9, "zstd", asbytes=True)),
    "parquet": lambda f: parquet(f, a=[WORD] * 1000),
    "parquet-snappy": lambda f: parquet(f, codec="snappy", a=[WORD] * 1000),
    "parquet-binary": lambda f: parquet(f, a=[b"\0" + WORD.encode()] * 1000),
    "parquet-nested": lambda f: parquet(f, a=[{"b": [{"href": f"https://h/?x={WORD}"}]}] * 1000),
    "parquet-metadata": lambda f: pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"k": WORD}), f),
    "arrow": lambda f: arrow(f, "zstd"),
    "database": lambda f: database(f, f"CREATE TABLE t AS SELECT '{WORD}' || i AS a FROM range(99999) x(i)"),
    "database-nested": lambda f: database(
        f, f"CREATE SCHEMA s; CREATE TABLE s.\"t \"\" u\" AS SELECT [{{'a': '{WORD}'}}]"
    ),
    "database-view": lambda f: database(f, f"CREATE VIEW v AS SELECT '{WORD}' AS a"),
    "database-macro": lambda f: database(f, f"CREATE MACRO m() AS '{WORD}'"),
    WORD.replace("/", "-")[:16] + "-name": lambda f: f.write_text("nothing"),
}


@pytest.mark.parametrize("kind", some(WRITERS, 4))
def test_each_kind_of_file(tmp_path, kind):
    folder = planted(tmp_path / "folder")  # the search of the whole run is not to find it, too
    (folder / "deep").mkdir(parents=True)
    wanted = {WORD if not kind.endswith("-name") else kind[:16]}
    assert Search(wanted).folder(folder) == []
    WRITERS[kind](folder / "deep" / f"{kind}.x")
    found = Search(wanted).folder(folder)
    assert found
    assert str(folder / "deep" / f"{kind}.x") in found[0]
    assert WORD not in str(found)
    assert Search({"another-credential"}).folder(folder) == []
    assert Search(wanted, {str(folder / "deep")}).folder(folder) == []
    assert Search(wanted, {str(folder / "deep" / f"{kind}.x")}).folder(folder) == []


def test_each_way_of_saying_it(tmp_path, capsys):
    recorder = Recorder(tmp_path)
    recorder.start()
    try:
        logging.getLogger("rasteret_sql.deep.below").debug("a %s", WORD + "1")
        with pytest.raises(ValueError, match="shown"):
            try:
                {}[WORD + "2"]
            except KeyError as error:
                raise ValueError("shown") from error
        print(WORD + "3")
        capsys.readouterr()
        subprocess.run([sys.executable, "-c", f"print({WORD + '4'!r})"], capture_output=True, check=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn(WORD + "5", stacklevel=1)
        recorder.pytest_warning_recorded(caught[0])
    finally:
        recorder.stop()
    said = "".join(file.read_text() for file in planted_outputs(tmp_path))
    assert [n for n in range(1, 6) if f"{WORD}{n}" in said] == [1, 2, 3, 4, 5]


def planted_outputs(folder: Path) -> list[Path]:
    return [planted(file) for file in folder.glob("output-*")]


def test_the_credentials_of_the_servers_are_known():
    known = {earthdata.PASSWORD, s3.SECRET_KEY, s3.ACCESS_KEY, signed_files.ACCOUNT_PASSWORD}
    assert known <= constants()
    assert known <= secrets()


def test_what_is_noted_while_tests_run_is_shared(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.setenv(SHARED, str(planted(tmp_path / "run")))
    assert secret(WORD) == WORD
    script = f"from tests.servers.secrets import planted, secret; secret({WORD + 'child'!r}); planted('/x/y')"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).resolve().parents[2])
    assert {WORD, WORD + "child"} <= secrets()
    assert inputs() == {"/x/y"}


RUN = """
from pathlib import Path
def test_it(tmp_path): (tmp_path / "file.txt").write_text({text})
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize(("workers", "leaks"), [("-n2", True), ("-n0", False)])
def test_a_run_that_leaks_fails(tmp_path, workers, leaks):
    """As a whole run, with and without workers."""
    project = planted(tmp_path / "project")
    project.mkdir()
    text = "__import__('tests.servers.s3', fromlist=['x']).SECRET_KEY" if leaks else "'nothing'"
    (project / "test_one.py").write_text(RUN.format(text=text))
    (project / "conftest.py").write_text('pytest_plugins = ["tests.secrets.plugin"]\n')
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", workers, "-q", "-p", "no:cacheprovider", f"--rootdir={project}",
         f"--basetemp={planted(tmp_path / 'temp')}", str(project)],
        cwd=project, env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert "1 passed" in done.stdout
    assert done.returncode == (1 if leaks else 0), done.stdout
    assert ("credentials were written or printed" in done.stdout) is leaks
    assert ("none found" in done.stdout) is not leaks
