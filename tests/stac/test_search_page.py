"""Every block of docs/search.md runs, and the page names every operator."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

import rasteret_sql
from rasteret_sql.stac.query import COMPARISONS
from tests.sampling import some

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "search.md").read_text("utf-8")
BLOCKS = {
    name: (language, text)
    for name, language, text in re.findall(
        r"<!-- test: ([\w-]+) -->\n```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("name", "found"), some([("sql", [2, 2]), ("object", [2])], 2))
def test_sql_blocks(folder, name, found):
    con = rasteret_sql.connect(workspace_dir=folder / "workspace")
    statements = [part for part in BLOCKS[name][1].split(";\n") if part.strip()]
    assert [len(con.execute(statement).fetchall()) for statement in statements] == found
    con.close()


def test_blocks_of_looking(folder):
    con = rasteret_sql.connect(workspace_dir=folder / "workspace")
    assert len(con.execute(BLOCKS["look"][1]).fetchall()) == 5
    for statement in (BLOCKS["sql"][1], BLOCKS["scenes"][1]):
        rows = con.execute(statement).fetchall()
    assert len(rows) == 2
    con.close()


def test_python_block(folder):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(BLOCKS["python"][1], "search.md", "exec"), {})
    assert out.getvalue() == "2 2\n"


def test_blocks_and_operators_are_all_there():
    assert list(BLOCKS) == ["sql", "object", "python", "look", "scenes"]
    assert len(re.findall(r"^```\w", PAGE, re.MULTILINE)) == len(BLOCKS)
    assert all(re.search(rf"\b{name}\b", PAGE) for name in COMPARISONS)
