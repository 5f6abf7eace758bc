from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.processes import SHELL, environment

SLOW = "SELECT sum(a.range * b.range) FROM range(10_000_000) a, range(10_000_000) b"


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def shell(home, tmp_path):
    def run(*arguments, stdin: str | None = None):
        return subprocess.run(
            [*SHELL, *map(str, arguments)],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(home),
            timeout=60,
            check=False,
        )

    return run


def test_statements_of_c(shell):
    done = shell("-c", "CREATE TABLE t AS SELECT 41 AS x; SELECT x + 1 AS answer FROM t")
    assert (done.returncode, done.stderr) == (0, "")
    assert "answer" in done.stdout
    assert "42" in done.stdout
    assert done.stdout.count("┌") == 1


def test_our_functions_are_there(shell):
    done = shell("-f", "json", "-c", "SELECT name FROM rasteret_functions() WHERE name = 'read_chip'")
    assert json.loads(done.stdout) == [{"name": "read_chip"}]
    assert "zonal_stats(" in shell("-c", ".functions zonal").stdout


def test_the_first_failure_ends_it(shell):
    done = shell("--format", "csv", "-c", "SELECT 1 AS a; SELECT nope(); SELECT 3 AS c")
    assert done.returncode == 1
    assert done.stdout == "a\n1\n"
    assert done.stderr.startswith("Catalog Error: ")
    assert "Traceback" not in done.stderr


def test_one_message_for_an_error_of_ours(shell):
    done = shell("-c", "FROM rasteret_build('no/such-dataset', name := 'x')")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "no/such-dataset" in done.stderr
    for noise in ("Traceback", "UDF", "At:", "LINE", "Invalid Input"):
        assert noise not in done.stderr


def test_files_run_in_one_connection(shell, tmp_path):
    (tmp_path / "one.sql").write_text("CREATE TABLE t AS SELECT 1 AS a;")
    (tmp_path / "two.sql").write_text("-- more\nINSERT INTO t VALUES (2);\nFROM t ORDER BY a")
    done = shell("-f", "csv", "one.sql", "two.sql", "-c", "SELECT sum(a) AS s FROM t")
    assert (done.returncode, done.stdout) == (0, "a\n1\n2\ns\n3\n")


def test_an_error_in_a_file_says_where(shell, tmp_path):
    (tmp_path / "a.sql").write_text("SELECT 1;\n\n-- here\nSELECT\n  nope();\n")
    done = shell("a.sql")
    assert done.returncode == 1
    assert done.stderr.startswith("a.sql:4: Catalog Error")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.sql"], "Error: the script nothing.sql cannot be read: No such file"),
        (["-c", ".nope"], "Error: there is no command .nope: did you mean"),
        (["-c", ".mode xml"], 'no output format "xml"'),
        (["-c", ".mode csv json"], ".mode is written .mode [FORMAT]"),
        (["-c", ".read"], ".read needs a file"),
        (["-d", "missing/folder/x.duckdb", "-c", "SELECT 1"], "missing/folder"),
        (["-o", "missing/folder/x.csv", "-c", "SELECT 1"], "missing/folder"),
    ],
)
def test_bad_words_get_a_message(shell, arguments, message):
    done = shell(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_is_not_a_script(shell):
    assert shell("-d", "x.duckdb", "-c", "CREATE TABLE t AS SELECT 7 AS seven").returncode == 0
    assert "--database x.duckdb" in shell("x.duckdb").stderr
    assert shell("-d", "x.duckdb", "-f", "csv", "-c", "FROM t").stdout == "seven\n7\n"


def test_what_is_piped_in_runs_as_it_comes(home):
    with subprocess.Popen(
        [*SHELL, "--format", "csv"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(home), text=True
    ) as process:
        process.stdin.write("SELECT 1\nAS a;\n")
        process.stdin.flush()
        assert [process.stdout.readline() for _ in range(2)] == ["a\n", "1\n"]
        rest, _ = process.communicate("SELECT 2 AS b", timeout=60)
    assert rest == "b\n2\n"
    assert process.returncode == 0


def test_quit_ends_without_an_error(shell):
    done = shell("-f", "csv", stdin="SELECT 1 AS a;\n.quit\nSELECT broken\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\n1\n", "")


def test_nobody_reads_any_more(home):
    command = f"{subprocess.list2cmdline(SHELL[:1])} -c '{SHELL[2]}' -f csv -c 'FROM range(3000000)' | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=environment(home), timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("range\n", "")


def test_parquet_into_a_pipe(home, tmp_path):
    done = subprocess.run(
        [*SHELL, "-f", "parquet", "-c", "SELECT 5 AS five"], capture_output=True, env=environment(home), check=True
    )
    assert done.stdout[:4] == done.stdout[-4:] == b"PAR1"


def test_help_and_version(shell):
    assert "examples:" in shell("--help").stdout
    assert "--output" in shell("demo", "--help").stdout
    version = shell("--version")
    assert re.fullmatch(r"rasteret-sql \S+ \(DuckDB \S+\)\n", version.stdout)


def test_timer(shell):
    done = shell("--timer", "-c", "SELECT 1")
    assert re.fullmatch(r"\d+\.\d{3} s\n", done.stderr)


def test_ctrl_c_ends_a_statement_of_c(home):
    with subprocess.Popen(
        [*SHELL, "-c", ".help", "-c", SLOW],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(home),
        text=True,
    ) as process:
        assert process.stdout.readline()
        time.sleep(0.5)
        start = time.perf_counter()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert time.perf_counter() - start < 3
    assert process.returncode == 130
    assert errors == "Interrupted\n"


class Terminal:
    """A shell at a terminal."""

    def __init__(self, home: Path) -> None:
        self.main, side = pty.openpty()
        self.process = subprocess.Popen(
            SHELL,
            stdin=side,
            stdout=side,
            stderr=side,
            env=environment(home) | {"TERM": "xterm"},
            start_new_session=True,
        )
        os.close(side)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.main, text.encode())

    def expect(self, text: str, seconds: float = 20) -> str:
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"{text!r} did not come, but {self.seen[-2000:]!r}"
            if select.select([self.main], [], [], min(left, 0.2))[0]:
                data = os.read(self.main, 65536).decode(errors="replace")
                if "\x1b[6n" in data:  # the prompt asks where the cursor is
                    os.write(self.main, b"\x1b[1;1R")
                self.seen += data
        before, _, self.seen = self.seen.partition(text)
        return before

    def close(self) -> int:
        try:
            return self.process.wait(timeout=20)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.main)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
def test_a_terminal(home):
    terminal = Terminal(home)
    terminal.expect("rasteret>")
    terminal.type("SELECT 41 + 1 AS\rthe_answer;\r")
    terminal.expect("└")
    terminal.expect("rasteret>")
    terminal.type("SELECT nope();\r")
    terminal.expect("Catalog Error")
    terminal.expect("rasteret>")
    terminal.type(SLOW + ";\r")
    time.sleep(1)
    start = time.perf_counter()
    os.killpg(terminal.process.pid, signal.SIGINT)
    terminal.expect("Interrupted")
    assert time.perf_counter() - start < 2
    terminal.expect("rasteret>")
    terminal.type("SELECT 'still' || ' here';\r")
    terminal.expect("still here")
    terminal.expect("rasteret>")
    terminal.type("\x04")
    assert terminal.close() == 0
    history = home / ".local" / "state" / "rasteret_sql" / "history"
    if sys.platform == "linux":
        assert "the_answer" in history.read_text()
