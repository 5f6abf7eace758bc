"""Every recipe of docs/cookbook.md runs, from the top to the end, and prints what the page shows."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.test_readme import ROOT, run

PAGE = (ROOT / "docs" / "cookbook.md").read_text("utf-8")
BLOCK = re.compile(r"<!-- test: (\w+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE)


def shown_after(language: str) -> str:
    """What the page shows for all blocks of a language."""
    pairs = zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True)
    return "".join(then[1] for (kind, _), then in pairs if kind == language and then[0] == "output")


def test_every_recipe_is_tested():
    assert PAGE.count("\n```") == 2 * len(BLOCKS)
    assert len(re.findall(r"^## ", PAGE, re.MULTILINE)) > 30


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """An empty folder where the statements of the page were run."""
    place = tmp_path_factory.mktemp("cookbook")
    (place / "home").mkdir()
    (place / "all.sql").write_text("\n".join(text for kind, text in BLOCKS if kind == "sql"))
    (place / "printed").write_text(run(place, "rasteret-sql", "all.sql"))
    return place


@pytest.mark.exhaustive
def test_statements_print_what_is_shown(place):
    assert (place / "printed").read_text() == shown_after("sql")
    assert (place / "july.png").read_bytes().startswith(b"\x89PNG")
    assert (place / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.exhaustive
def test_python_prints_what_is_shown(place):
    (place / "all.py").write_text("\n".join(text for kind, text in BLOCKS if kind == "python"))
    assert run(place, sys.executable, "all.py") == shown_after("python")
