"""Every recipe of docs/cookbook.md runs, from the top to the end, and prints what the page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import Page

PAGE = Page("cookbook.md")


def test_every_recipe_is_tested():
    PAGE.require_all_marked()
    assert len(re.findall(r"^## ", PAGE.text, re.MULTILINE)) > 30


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder where the statements of the page were run."""
    place = tmp_path_factory.mktemp("cookbook")
    (place / "printed").write_text(PAGE.run_sql(place))
    return place


@pytest.mark.exhaustive
def test_statements_print_what_is_shown(place):
    assert (place / "printed").read_text() == PAGE.shown_after("sql")
    assert (place / "july.png").read_bytes().startswith(b"\x89PNG")
    assert (place / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.exhaustive
def test_python_prints_what_is_shown(place):
    assert PAGE.run_python(place) == PAGE.shown_after("python")
