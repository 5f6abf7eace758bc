"""Warnings read alike in every host: one line, no code of ours."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest

from rasteret_sql.warning import RasteretWarning, warn


def test_a_host_prints_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from rasteret_sql.warning import warn; warn('scene \"a\" has no place')"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stderr == 'rasteret_sql:1: RasteretWarning: scene "a" has no place\n'


def test_every_one_is_shown_not_only_the_first():
    with pytest.warns(RasteretWarning) as told:
        warn("again")
        warn("again")
    assert [str(one.message) for one in told] == ["again", "again"]


def test_all_can_be_taken_away_by_the_name_of_the_package():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", module="rasteret_sql")
        warn("not seen")
    assert told == []
