"""The workloads are the ones of the reference measurements, and the floor reads what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import report
from tests.benchmarks.engines.floor import _geometry_mask, _scanline
from tests.benchmarks.workloads import NAMES, tiles_of, workload

TILES = {"W1": 42, "W2": 106, "W3": 64, "W4": 570, "W5": 15}


@pytest.mark.parametrize("name", NAMES)
def test_workloads_touch_as_many_tiles(name: str) -> None:
    tasks = workload(name).tasks
    tiles = {(task.scene.id, task.band, tile) for task in tasks for tile in tiles_of(task.window)}
    assert len(tiles) == TILES[name]
    assert [task.window for task in tasks] == [task.window for task in workload(name).tasks]


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # rasterio with affine 3
def test_the_floor_rasterises_as_gdal_does() -> None:
    tasks = workload("W5").tasks
    assert all(np.array_equal(_scanline(task), _geometry_mask(task)) for task in tasks)


def test_findings_name_what_is_missed() -> None:
    rep = {
        "wall": 0.1,
        "requests": 24.0,
        "bytes": 13.8e6,
        "cpu": 0.1,
        "peak_mb": 100.0,
        "delta_mb": 1.0,
        "in_flight": 9,
    }
    rows = {("W1", "floor"): [rep], ("W1", "ours-sql"): [{**rep, "wall": 0.2, "bytes": 20e6}]}
    said, missed = report.findings(rows)
    assert missed
    assert [line.split()[1] for line in said] == ["ok", "MISSED", "MISSED"]
    assert "| W1 | ours-sql | 0.200 |" in report.table(rows)[3]


@pytest.mark.benchmark
@pytest.mark.timeout(900)
def test_the_floor_is_the_floor() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.run", "--reps", "1", "--engines", "floor"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MISSED" not in done.stdout
