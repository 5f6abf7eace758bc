"""rasterio, alone and with 32 threads, with the GDAL settings that its users are advised to take.

HEAD requests stay on: without them GDAL asks for whole files. Each thread keeps its own handles, as GDAL demands.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import rasterio
import rasterio.features
from rasterio.windows import Window

from tests.benchmarks.contract import Context, Result
from tests.benchmarks.workloads import Task, Workload, tiles_of
from tests.benchmarks.world import SIZE, TILE

SETTINGS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "0.1",
}

A, B = TypeVar("A"), TypeVar("B")


@dataclass(slots=True)
class Gdal:
    """An engine over rasterio."""

    threads: int = 1
    context: Context | None = None
    workload: Workload | None = None

    def prepare(self, context: Context) -> None:
        """GDAL keeps no index."""

    def load(self, context: Context, workload: Workload) -> None:
        self.context, self.workload = context, workload

    def run(self) -> Result:
        assert self.workload is not None
        assert self.context is not None
        tasks, context = self.workload.tasks, self.context
        handles = threading.local()

        def dataset(task: Task) -> Any:
            opened = handles.__dict__.setdefault("opened", {})
            address = context.address(task)
            if address not in opened:
                opened[address] = rasterio.open(address)
            return opened[address]

        with rasterio.Env(**SETTINGS):
            if self.workload.answer == "point":
                return self._points(tasks, dataset)
            if self.workload.answer == "mean":
                return self._means(tasks, dataset)
            if len(tasks) == 1 and self.threads > 1:
                return [self._by_tile(tasks[0], dataset)]
            return self._each(lambda task: dataset(task).read(1, window=Window(*task.window)), tasks)

    def result(self, answer: Any) -> Result:
        return answer  # type: ignore[no-any-return]

    def _each(self, call: Callable[[A], B], values: Iterable[A]) -> list[B]:
        if self.threads == 1:
            return [call(value) for value in values]

        def within(value: A) -> B:
            with rasterio.Env(**SETTINGS):
                return call(value)

        with ThreadPoolExecutor(self.threads) as pool:
            return list(pool.map(within, values))

    def _points(self, tasks: tuple[Task, ...], dataset: Callable[[Task], Any]) -> Result:
        """Points of one tile are read together, tile after tile."""
        groups: dict[tuple[str, int], list[int]] = defaultdict(list)
        for number, task in enumerate(tasks):
            groups[task.scene.id, tiles_of(task.window)[0]].append(number)
        values = np.empty(len(tasks))

        def sample(numbers: list[int]) -> None:
            for number in numbers:
                task = tasks[number]
                values[number] = dataset(task).read(1, window=Window(*task.window))[0, 0]

        self._each(sample, [groups[key] for key in sorted(groups)])
        return values

    def _means(self, tasks: tuple[Task, ...], dataset: Callable[[Task], Any]) -> Result:
        """Polygons of one tile are read together, so that GDAL's caches serve them."""
        groups: dict[int, list[int]] = defaultdict(list)
        for number, task in enumerate(tasks):
            groups[tiles_of(task.window)[0]].append(number)
        means = np.empty(len(tasks))

        def read(numbers: list[int]) -> None:
            for number in numbers:
                means[number] = _mean(dataset(tasks[number]), tasks[number])

        self._each(read, [groups[key] for key in sorted(groups)])
        return means

    def _by_tile(self, task: Task, dataset: Callable[[Task], Any]) -> Any:
        out = np.empty((SIZE, SIZE), np.uint16)

        def read(index: int) -> None:
            row, col = divmod(index, SIZE // TILE)
            window = Window(col * TILE, row * TILE, TILE, TILE)
            out[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE] = dataset(task).read(1, window=window)

        self._each(read, range((SIZE // TILE) ** 2))
        return out


def _mean(dataset: Any, task: Task) -> float:
    window = Window(*task.window)
    data = dataset.read(1, window=window)
    outside = rasterio.features.geometry_mask([task.geom], data.shape, dataset.window_transform(window))
    return float(data[~outside].mean(dtype=np.float64))
