"""Promise D42: the example that queries an AEF-like index with DuckDB runs, and gives what the files hold."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import environment

ROOT = Path(__file__).parents[2]


@pytest.mark.exhaustive
def test_the_aef_example_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "aef_duckdb_query.py")],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=environment(tmp_path), timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "2 files of 2023 meet the area"
    assert lines[1] == "2 scenes of 64 bands"
    assert lines[-1] == "pixels (1, 3, 17, 18) of int8"
    assert done.stderr == ""
