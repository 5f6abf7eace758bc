"""What a person sees at a terminal: results stay on the screen though progress bars were drawn."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.processes import SHELL, SLOW, environment
from tests.sampling import exhaustive, some
from tests.servers.range_server import RangeServer

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals", allow_module_level=True)

from tests.cli.terminal import Terminal

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"


@pytest.fixture(scope="module")
def slow():
    """The example data on a server that takes its time, so that every statement outlasts the delay of the bars."""
    with RangeServer(DATA, latency_ms=250) as server:
        yield f"{server.url}/catalog/catalog.json"


def shell(folder, *arguments):
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return Terminal([*SHELL, "-w", str(folder / "workspace"), *arguments], environment(home), folder)


def drawn(terminal):
    """Whether a bar was drawn at all: without one these tests show nothing."""
    return "headers" in terminal.written.decode()


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("table", ["┌────────┐", "│ scenes │", "│ int64  │", "├────────┤", "│      6 │", "└────────┘"]),
        exhaustive(("csv", ["scenes", "6"])),
        exhaustive(("json", ["[", '{"scenes":6}', "]"])),
    ],
)
def test_the_answer_of_a_long_statement_stays(tmp_path, slow, form, expected):
    sql = f"FROM rasteret_build_from_stac('naip', '{slow}', 'naip') SELECT count(*) AS scenes"
    with shell(tmp_path, "-f", form, "-c", sql) as terminal:
        assert terminal.finish() == 0
    assert drawn(terminal)
    assert [line.strip() for line in terminal.lines()] == expected


@pytest.mark.exhaustive
def test_rows_that_come_while_the_bar_lives_stay(tmp_path, slow):
    build = f"FROM rasteret_build_from_stac('naip', '{slow}', 'naip', max_concurrent := 1) SELECT id;"
    with shell(tmp_path, "-f", "csv", "-c", build + "SELECT 42 AS later;") as terminal:
        assert terminal.finish() == 0
    assert drawn(terminal)
    lines = terminal.lines()
    assert lines[0] == "id"
    assert sorted(lines[1:7]) == sorted(path.name for path in (DATA / "catalog" / "naip").iterdir() if path.is_dir())
    assert lines[7:] == ["later", "42"]


@pytest.mark.exhaustive
def test_a_warning_is_one_line_and_stays(tmp_path, slow):
    sql = (
        f"FROM rasteret_build_from_stac('x', '{slow}', 'naip', band_index_map := {{'far': 9, 'Red': 0}}) "
        "SELECT count(*) AS n;"
    )
    with Terminal(
        [*SHELL, "-w", str(tmp_path / "w"), "-f", "csv", "-c", sql],
        environment(tmp_path) | {"PYTHONWARNINGS": "default"},
        tmp_path,
    ) as terminal:
        assert terminal.finish() == 0
    lines = terminal.lines()
    assert lines[0].startswith("Warning: "), lines
    assert "RuntimeWarning" not in "\n".join(lines)
    assert "warn(" not in "\n".join(lines)
    assert lines[-2:] == ["n", "6"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("word", some(["exit;", "exit", ".quit", "quit;"], 4))
def test_the_prompt_is_left(tmp_path, word):
    with shell(tmp_path) as terminal:
        terminal.wait_for("rasteret>")
        terminal.type(f"{word}\r")
        assert terminal.finish() == 0


def test_a_session_at_the_prompt(tmp_path):
    with shell(tmp_path) as terminal:
        terminal.wait_for("rasteret>")
        terminal.type("SELECT 41 + 1 AS\rthe_answer;\r")
        terminal.wait_for("└")
        terminal.type("SELECT nope();\r")
        terminal.wait_for("Catalog Error")
        terminal.type(f"{SLOW};\r")
        terminal.wait_for("b;")
        terminal.interrupt_until("Interrupted")  # the statement itself would take hours
        terminal.type("SELECT 'still' || ' here';\r")
        terminal.wait_for("still here")
        terminal.wait_for_prompt()  # before it, Ctrl-D is for the terminal, not for the prompt
        terminal.type("\x04")
        assert terminal.finish() == 0
    history = tmp_path / "home" / ".local" / "state" / "rasteret_sql" / "history"
    if sys.platform == "linux":
        assert "the_answer" in history.read_text()
