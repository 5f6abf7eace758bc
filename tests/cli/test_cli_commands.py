"""Dot commands that say how results are written, and that ask about the latest statement."""

from __future__ import annotations

import base64
import json

import imagecodecs
import numpy as np
import pyarrow.parquet as pq
import pytest

import rasteret_sql
from rasteret_sql.cli.main import main
from rasteret_sql.cli.terminal_pictures import drawn
from rasteret_sql.reading.chip_column import Chip
from tests.hosts.hosting import SAHARA, SQUARE, build
from tests.sampling import some

OPEN = "SELECT count(*) FROM rasteret.bay"
READ = f"SELECT read_chip('{SAHARA}', 'B04', '{SQUARE}') AS chip, 1 AS n"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    made = tmp_path_factory.mktemp("workspace")
    rasteret_sql.connect(workspace_dir=made).execute(build("bay")).fetchall()
    return made


@pytest.fixture
def shell(tmp_path, capsys, monkeypatch, workspace):
    """Statements and commands, a line each → what they print, and what is said of errors."""
    monkeypatch.chdir(tmp_path)

    def run(*lines, code=0):
        (tmp_path / "s.sql").write_text("\n".join(lines))
        assert main(["-w", str(workspace), "s.sql"]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return run


@pytest.mark.exhaustive
def test_lines_have_a_field_of_a_struct_each(shell):
    text = shell(".mode line", "SELECT 1 AS a, {'mean': 2.5, 'n': NULL} AS stats, 'x\ny' AS long;", "SELECT 2 AS b;")
    assert text == "         a = 1\nstats.mean = 2.5\n   stats.n = NULL\n      long = x\n             y\n\nb = 2\n"


@pytest.mark.exhaustive
def test_lines_of_several_rows_and_of_none(shell):
    assert shell(".mode line", "FROM range(2);") == "range = 0\n\nrange = 1\n"
    assert shell(".mode line", "FROM range(0);") == ""
    assert shell(".mode line", "SELECT 1 AS a, 2 AS a;") == "a = 1\na = 2\n"


@pytest.mark.exhaustive
def test_chips_are_words_in_lines_and_markdown(shell):
    text = shell(".mode line", f"{OPEN};", f"{READ};")
    assert "chip = chip 1×" in text
    assert "| chip 1×" in shell(".mode markdown", f"{OPEN};", f"{READ};")


def test_markdown(shell):
    text = shell(
        ".mode markdown",
        "SELECT 'a|b' AS \"x|y\", 1.5 AS n, NULL::INTEGER AS z, 'p\nq' AS t;",
        "SELECT 1 AS a WHERE false;",
    )
    head = "| x\\|y | n | z | t |\n| --- | ---: | ---: | --- |\n"
    assert text == f"{head}| a\\|b | 1.5 |  | p<br>q |\n\n| a |\n| ---: |\n"


def test_controls_do_not_reach_the_terminal(shell):
    for mode in ("line", "markdown"):
        text = shell(f".mode {mode}", "SELECT chr(27) || '[31m' AS a;")
        assert "\x1b" not in text
        assert "\\x1b[31m" in text or "\\\\x1b[31m" in text


def test_once_writes_the_next_result_by_the_ending_of_the_file(shell, tmp_path):
    text = shell(
        ".once a.csv", "SELECT 1 AS a;", "SELECT 2 AS b;", ".once c.md", "SELECT 3 AS c;", ".once d", "SELECT 4 AS d;"
    )
    assert "b" in text
    assert "c" not in text.replace("│", "").split()
    assert (tmp_path / "a.csv").read_text() == "a\n1\n"
    assert (tmp_path / "c.md").read_text() == "| c |\n| ---: |\n| 3 |\n"
    assert "4" in (tmp_path / "d").read_text()
    shell(".once e.parquet", "SELECT 5 AS e;")
    assert pq.read_table(tmp_path / "e.parquet").to_pylist() == [{"e": 5}]


def test_output_writes_all_results_until_it_stands_alone(shell, tmp_path):
    text = shell(".output a.csv", "SELECT 1 AS a;", "SELECT 2 AS a;", ".output", ".mode csv", "SELECT 3 AS a;")
    assert text == "a\n3\n"
    assert (tmp_path / "a.csv").read_text() == "a\n1\na\n2\n"
    shell(".output b.json", "SELECT 1 AS a;", ".output c.json", "SELECT 2 AS a;")
    assert [json.loads((tmp_path / name).read_text()) for name in ("b.json", "c.json")] == [[{"a": 1}], [{"a": 2}]]


def test_a_failure_leaves_the_files_as_they_were(shell, tmp_path):
    (tmp_path / "a.csv").write_text("before")
    for command in (".once a.csv", ".output a.csv"):
        shell(command, "SELECT error('x') AS a;", code=1)
        assert (tmp_path / "a.csv").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "s.sql"]


def test_maxrows(shell):
    text = shell(".maxrows 2", "FROM range(100);", ".maxrows")
    assert text.count("│") < 30
    assert "100 rows, 2 shown" in text
    assert text.endswith("2\n")


def test_schema(shell, tmp_path):
    text = shell(".mode csv", 'CREATE TABLE t (a INTEGER, "b c" GEOMETRY);', ".schema T", ".schema")
    assert (
        text
        == 'column_name,column_type\na,INTEGER\nb c,GEOMETRY\nsql\n"CREATE TABLE t(a INTEGER, ""b c"" GEOMETRY);"\n'
    )
    assert "eo:cloud_cover,DOUBLE" in shell(".mode csv", ".once x.csv", f"{OPEN};", ".schema bay")


def test_explain(shell):
    assert "RANGE" in shell(".explain FROM range(3) WHERE range > 'it''s'::INT")
    assert "RANGE" in shell(".mode csv", ".once x.csv", "FROM range(3);", ".mode table", ".explain")


def test_receipt(shell, capsys, workspace):
    assert shell(".receipt") == "no statement has read, built or searched anything yet\n"
    text = shell(".once x.csv", f"{OPEN};", ".once y.csv", f"SELECT chip.width FROM ({READ});", ".receipt")
    assert text.startswith("read_chip: ")
    assert " requests, " in text
    named = f"read_chip('{SAHARA}', 'B04', '{SQUARE}', collection := 'bay').width"
    assert main(["-w", str(workspace), "-c", f".receipt on\nSELECT {named};\n.receipt off\nSELECT {named};"]) == 0
    assert capsys.readouterr().err.count("read_chip: ") == 1


def test_view(shell):
    lines = shell(".once x.csv", f"{OPEN};", ".once y.csv", f"{READ};", ".view", ".view CHIP 1").splitlines()
    assert len(lines) > 20
    assert lines[: len(lines) // 2] == lines[len(lines) // 2 :]
    assert set("".join(lines)) <= set(" ░▒▓█")


@pytest.mark.parametrize(
    ("lines", "says"),
    some(
        [
            ([".once"], ".once needs a file"),
            ([".once nowhere/a.csv"], "there is no folder nowhere"),
            ([".maxrows 0"], ".maxrows is a number of rows, 1 or more, not 0"),
            ([".maxrows many"], "not many"),
            ([".schema nothing"], "nothing does not exist"),
            ([".explain"], ".explain needs a statement"),
            ([".receipt maybe"], ".receipt is on or off"),
            ([".view"], "none was run yet"),
            (["CREATE TABLE t (a INT);", ".view"], "which gave no rows; run a SELECT first"),
            (["SELECT 1;", ".view"], "has no column of chips; select read_chip"),
            ([f"{OPEN};", f"{READ};", ".view n"], "has no chips n; Known: chip"),
            ([f"{OPEN};", f"{READ};", ".view 0"], ".view is written"),
        ],
        4,
    ),
)
def test_what_commands_say_of_bad_input(shell, lines, says):
    assert says in shell(*lines, code=1)


def decoded(png):
    return imagecodecs.png_decode(base64.b64decode(png))


def test_pictures_as_terminals_take_them():
    pixels = np.array([[[0, 255], [255, 0], [9, 9]]], np.uint8)
    valid = np.array([[[True, True], [True, False], [True, True]]])
    chip = Chip(pixels, valid, ("b",), None, None, None)
    blocks = drawn(chip, is_terminal=True, variables={"TERM": "xterm-256color"})
    white, black, grey = "2;255;255;255", "2;0;0;0", "2;9;9;9"
    assert blocks.split("\n")[:2] == [
        f"\x1b[38;{black};48;{white}m▀\x1b[0;38;{white}m▀\x1b[0m",
        f"\x1b[0;38;{grey}m▀\x1b[0;38;{grey}m▀\x1b[0m",
    ]
    kitty = drawn(chip, is_terminal=True, variables={"TERM": "xterm-kitty"})
    assert kitty.startswith("\x1b_Ga=T,f=100,m=0;")
    assert decoded(kitty[len("\x1b_Ga=T,f=100,m=0;") : kitty.index("\x1b\\")]).shape[:2] == (3, 2)
    iterm = drawn(chip, is_terminal=True, variables={"TERM_PROGRAM": "iTerm.app"})
    assert decoded(iterm[iterm.index(":") + 1 : iterm.index("\x07")]).shape[:2] == (3, 2)
    assert drawn(chip, is_terminal=True, variables={"TERM": "xterm-kitty", "TMUX": "1"}) == blocks
    assert drawn(chip, is_terminal=False, variables={}) == drawn(chip, is_terminal=True, variables={"NO_COLOR": "1"})
