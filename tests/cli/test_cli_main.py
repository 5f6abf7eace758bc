from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time

import pytest

from rasteret_sql.cli.main import main
from tests.cli.processes import SHELL, SLOW, environment
from tests.sampling import some


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def shell(home, tmp_path, monkeypatch, capsys):
    """Runs the command in this process, in a folder of its own."""
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)

    def run(*arguments, stdin: str = ""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            code = main(list(map(str, arguments)))
        except SystemExit as left:  # as argparse leaves after --help
            code = left.code or 0
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

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
    assert "no function has" in shell("-c", ".functions nosuch").stdout


def test_the_package_runs_as_a_module(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "rasteret_sql", "-f", "csv", "-c", "SELECT 1 AS a"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "a\n1\n")


def test_a_misspelt_argument_is_named_with_the_nearest(shell):
    done = shell("-c", "SELECT zonal_stats('s', 'b', 'POINT (1 1)', all_touch := true)")
    assert done.returncode == 1
    assert done.stderr.startswith('Binder Error: zonal_stats has no argument "all_touch"; did you mean "all_touched"?')
    assert "Candidate macros" not in done.stderr


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
    some(
        [
            (["nothing.sql"], "Error: the script nothing.sql cannot be read: No such file"),
            (["-c", ".nope"], "Error: there is no command .nope: did you mean"),
            (["-c", ".mode xml"], 'no output format "xml"'),
            (["-c", ".mode csv json"], ".mode is written .mode [FORMAT]"),
            (["-c", ".read"], ".read needs a file"),
            (["-d", "missing/folder/x.duckdb", "-c", "SELECT 1"], "missing/folder"),
            (["-o", "missing/folder/x.csv", "-c", "SELECT 1"], "missing/folder"),
        ],
        4,
    ),
)
def test_bad_words_get_a_message(shell, arguments, message):
    done = shell(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_what_is_no_text_is_told(home, locale):
    done = subprocess.run(
        SHELL,
        input=b"SELECT '\xff';\n",
        capture_output=True,
        env=environment(home) | {"LC_ALL": locale},
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: SQL is UTF-8 text, and this is not: ")


@pytest.mark.exhaustive
def test_quit_ends_without_an_error(shell):
    done = shell("-f", "csv", stdin="SELECT 1 AS a;\n.quit\nSELECT broken\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\n1\n", "")


@pytest.mark.exhaustive
def test_nobody_reads_any_more(home):
    command = f"{subprocess.list2cmdline(SHELL[:1])} -c '{SHELL[2]}' -f csv -c 'FROM range(3000000)' | head -n 1"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=environment(home), timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("range\n", "")


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
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
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "Interrupted\n"


@pytest.mark.parametrize("option", some(["--workspace", "-w", "--workspace-dir"], 3))
def test_options_may_stand_before_a_command(tmp_path, capsys, option):
    before = main([option, str(tmp_path / "w"), "--no-progress", "collections", "list", "--json"])
    assert before == 0
    assert capsys.readouterr().out == "[]\n"
    between = main(["collections", option, str(tmp_path / "w"), "--no-progress", "list", "--json"])
    assert between == 0
    assert capsys.readouterr().out == "[]\n"
    assert main([option, str(tmp_path / "w"), "doctor", "--json"]) == 0
    assert str(tmp_path / "w") in capsys.readouterr().out


def test_what_is_said_behind_a_command_wins(tmp_path, capsys):
    assert main(["-w", str(tmp_path / "a"), "doctor", "-w", str(tmp_path / "b"), "--json"]) == 0
    out = capsys.readouterr().out
    assert str(tmp_path / "b") in out
    assert str(tmp_path / "a") not in out
    assert main(["-w", str(tmp_path / "a"), "collections", "-w", str(tmp_path / "b"), "list"]) == 0
    assert str(tmp_path / "b") in capsys.readouterr().out


def test_an_option_that_a_command_does_not_know_is_named(capsys):
    assert main(["--format", "csv", "collections", "list"]) == 1
    assert "--format goes with SQL, not with `collections`" in capsys.readouterr().err


def test_an_error_of_the_system_has_no_number(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["-d", str(tmp_path / "file" / "x.duckdb"), "-c", "SELECT 1"]) == 1
    assert main(["-w", str(tmp_path / "file" / "w"), "-c", "FROM rasteret_collections()"]) in {0, 1}
    assert "[Errno" not in capsys.readouterr().err


def test_a_demo_that_cannot_write_says_where_it_can(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["demo", "--output", str(tmp_path / "file" / "demo")]) == 1
    told = capsys.readouterr().err
    assert f"cannot write to {tmp_path / 'file' / 'demo'}: Not a directory" in told
    assert "--output DIR" in told
