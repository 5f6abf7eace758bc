"""What rasterio reads from the files on disk: every timed answer is compared with it, pixel by pixel."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import rasterio
import rasterio.features
from rasterio.windows import Window

from tests.benchmarks.contract import Result
from tests.benchmarks.workloads import Task, Workload
from tests.benchmarks.world import World


def write_expected(world: World, workload: Workload, workspace: Path) -> None:
    """Read a workload with rasterio and keep the answer for the processes of this run."""
    (workspace / f"expected-{workload.name}.pickle").write_bytes(pickle.dumps(_answer(world, workload)))


def check(workload: Workload, workspace: Path, result: Result) -> None:
    """Raise where a result is not what rasterio reads.

    Chips and points are equal; means agree within 1e-9 of their value, since sums may be taken in another order.
    """
    expected = pickle.loads((workspace / f"expected-{workload.name}.pickle").read_bytes())
    if len(result) != len(expected):
        raise AssertionError(f"{workload.name}: {len(result)} answers for {len(expected)} tasks")
    for number, (mine, theirs) in enumerate(zip(result, expected, strict=True)):
        if workload.answer == "mean":
            same = bool(np.isclose(mine, theirs, rtol=1e-9, atol=0))
        else:
            mine, theirs = np.asarray(mine), np.asarray(theirs)  # noqa: PLW2901
            same = mine.shape == theirs.shape and bool(np.array_equal(mine, theirs))
        if not same:
            raise AssertionError(f"{workload.name} task {number} ({workload.tasks[number].scene.id}): pixels differ")


def _answer(world: World, workload: Workload) -> list[object]:
    answers: dict[int, object] = {}
    by_file: dict[Path, list[int]] = {}
    for number, task in enumerate(workload.tasks):
        by_file.setdefault(world.file(task.scene, task.band), []).append(number)
    for path, numbers in by_file.items():
        with rasterio.open(path) as dataset:
            for number in numbers:
                answers[number] = _read(dataset, workload.tasks[number], workload.answer)
    return [answers[number] for number in range(len(workload.tasks))]


def _read(dataset: rasterio.DatasetReader, task: Task, answer: str) -> object:
    window = Window(*task.window)
    data = dataset.read(1, window=window)
    if answer == "chip":
        return data
    if answer == "point":
        return float(data[0, 0])
    inside = rasterio.features.geometry_mask([task.geom], data.shape, dataset.window_transform(window), invert=True)
    return float(data[inside].mean(dtype=np.float64))
