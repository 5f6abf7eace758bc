"""async-geotiff over obstore's HTTP store, every window at once; the store of its own reader is no faster."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio.features
from async_geotiff import GeoTIFF, Window
from obstore.store import HTTPStore

from tests.benchmarks.contract import Context, Result
from tests.benchmarks.workloads import Task, Workload
from tests.benchmarks.world import TILE


@dataclass(slots=True)
class AsyncGeotiff:
    """An engine over async-geotiff; it reads headers inside the clock, having no index."""

    context: Context | None = None
    workload: Workload | None = None

    def prepare(self, context: Context) -> None:
        """It keeps no index."""

    def load(self, context: Context, workload: Workload) -> None:
        self.context, self.workload = context, workload

    def run(self) -> Result:
        return asyncio.run(self._run())

    def result(self, answer: Any) -> Result:
        return answer  # type: ignore[no-any-return]

    async def _run(self) -> Result:
        assert self.context is not None
        assert self.workload is not None
        tasks = self.workload.tasks
        store = HTTPStore.from_url(self.context.url, client_options={"allow_http": True})
        paths = list(dict.fromkeys(task.scene.path(task.band) for task in tasks))
        opened = await asyncio.gather(*(GeoTIFF.open(path, store=store) for path in paths))
        files = dict(zip(paths, opened, strict=True))
        if self.workload.answer == "point":
            return await _points(files, tasks)
        if self.workload.answer == "mean":
            return await _means(files, tasks)
        arrays = await asyncio.gather(
            *(files[task.scene.path(task.band)].read(window=Window(*task.window)) for task in tasks)
        )
        return [array.data[0] for array in arrays]


async def _points(files: dict[str, GeoTIFF], tasks: tuple[Task, ...]) -> Result:
    """Each tile once."""
    places = [(t.scene.path(t.band), t.window[0] // TILE, t.window[1] // TILE) for t in tasks]
    wanted = list(dict.fromkeys(places))
    tiles = await asyncio.gather(*(files[path].fetch_tile(col, row) for path, col, row in wanted))
    data = {place: tile.array.data[0] for place, tile in zip(wanted, tiles, strict=True)}
    return np.array(
        [data[p][t.window[1] % TILE, t.window[0] % TILE] for p, t in zip(places, tasks, strict=True)], float
    )


async def _means(files: dict[str, GeoTIFF], tasks: tuple[Task, ...]) -> Result:
    """One read of the polygons' common window, as its users would write it."""
    left = min(t.window[0] for t in tasks)
    top = min(t.window[1] for t in tasks)
    right = max(t.window[0] + t.window[2] for t in tasks)
    bottom = max(t.window[1] + t.window[3] for t in tasks)
    area = await files[tasks[0].scene.path(tasks[0].band)].read(window=Window(left, top, right - left, bottom - top))
    means = np.empty(len(tasks))
    for number, task in enumerate(tasks):
        col, row, width, height = task.window
        part = area.data[0, row - top : row - top + height, col - left : col - left + width]
        shifted = area.transform * type(area.transform).translation(col - left, row - top)
        outside = rasterio.features.geometry_mask([task.geom], part.shape, shifted)
        means[number] = part[~outside].mean(dtype=np.float64)
    return means
