"""docs/tutorial.md runs from the top to the end, and prints and draws what the page shows."""

from __future__ import annotations

import re

import imagecodecs
import numpy as np
import pytest

from tests.pages import Page
from tests.test_readme import ROOT

PAGE = Page("tutorial.md")


def test_every_block_is_tested():
    PAGE.require_all_marked()
    assert [kind for kind, _ in PAGE.blocks].count("sql") >= 10
    assert 25 <= sum(map(int, re.findall(r"^## .*\((\d+) minutes\)", PAGE.text, re.MULTILINE))) <= 35


@pytest.mark.exhaustive
def test_it_prints_and_draws_what_is_shown(tmp_path):
    pytest.importorskip("PIL", reason="the tutorial's picture has labels, which need pillow")
    assert PAGE.run_sql(tmp_path, "-w", "workspace") == PAGE.shown_after("sql")
    assert PAGE.run_python(tmp_path) == PAGE.shown_after("python")
    drawn = imagecodecs.png_decode((tmp_path / "seasons.png").read_bytes())
    shown = imagecodecs.png_decode((ROOT / "docs" / "images" / "tutorial.png").read_bytes())
    assert drawn.shape == shown.shape
    assert np.array_equal(drawn[:220], shown[:220])  # letters below are drawn by the pillow that is installed
    assert len((tmp_path / "months.csv").read_text().splitlines()) == 1 + 2 * 30
