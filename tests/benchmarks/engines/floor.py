"""The floor: what nothing but requests and decoding would cost. Offsets come from a file made beforehand.

Ranges of a file's tiles are merged over gaps of 64 KiB up to 1 MiB, 128 requests are in flight, and two threads decode
tiles (libdeflate, then the horizontal predictor) while other bodies arrive. `Floor(mask="scanline")` rasterises
polygons by even-odd crossings in numpy, `Floor(mask="rasterio")` by rasterio's geometry_mask.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import obstore
import rasterio
import rasterio.features
import shapely
from obstore.store import HTTPStore

from tests.benchmarks.contract import Context, Result
from tests.benchmarks.workloads import Task, Workload, tiles_of
from tests.benchmarks.world import PIXEL, SIZE, TILE, World

GAP = 64 << 10
LARGEST = 1 << 20
IN_FLIGHT = 128
ACROSS = SIZE // TILE

Tiles = npt.NDArray[np.uint16]


@dataclass(slots=True)
class Floor:
    """An engine that knows every offset."""

    mask: str = "scanline"
    context: Context | None = None
    workload: Workload | None = None
    tables: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """path → (offset, length) of each tile of the full resolution."""

    def prepare(self, context: Context) -> None:
        world = World(context.directory)
        tables = {}
        for scene in world.scenes:
            for band in ("B04", "B08"):
                with rasterio.open(world.file(scene, band)) as dataset:
                    tables[scene.path(band)] = [_tile_entry(dataset, index) for index in range(ACROSS * ACROSS)]
        (context.workspace / "floor.pickle").write_bytes(pickle.dumps(tables))

    def load(self, context: Context, workload: Workload) -> None:
        self.context, self.workload = context, workload
        self.tables = pickle.loads((context.workspace / "floor.pickle").read_bytes())

    def run(self) -> Result:
        assert self.workload is not None
        tasks = self.workload.tasks
        uses: dict[tuple[str, int], list[int]] = defaultdict(list)
        for number, task in enumerate(tasks):
            for tile in tiles_of(task.window):
                uses[task.scene.path(task.band), tile].append(number)
        answer = self.workload.answer
        if answer == "chip":
            chips = [np.empty((task.window[3], task.window[2]), np.uint16) for task in tasks]
            self._read(uses, lambda tile, index, number: _copy(tile, index, tasks[number].window, chips[number]))
            return chips
        if answer == "point":
            values = np.empty(len(tasks))
            self._read(uses, lambda tile, _, number: _sample(tile, tasks[number].window, values, number))
            return values
        left = min(task.window[0] for task in tasks)
        top = min(task.window[1] for task in tasks)
        right = max(task.window[0] + task.window[2] for task in tasks)
        bottom = max(task.window[1] + task.window[3] for task in tasks)
        area = (left, top, right - left, bottom - top)
        block = np.empty((area[3], area[2]), np.uint16)
        self._read({key: [0] for key in uses}, lambda tile, index, _: _copy(tile, index, area, block))
        inside = _scanline if self.mask == "scanline" else _geometry_mask
        means = np.empty(len(tasks))
        for number, task in enumerate(tasks):
            col, row, width, height = task.window
            part = block[row - top : row - top + height, col - left : col - left + width]
            means[number] = part[inside(task)].mean(dtype=np.float64)
        return means

    def result(self, answer: Any) -> Result:
        return answer  # type: ignore[no-any-return]

    def _read(self, uses: dict[tuple[str, int], list[int]], use: Callable[[Tiles, int, int], None]) -> None:
        """Fetch and decode each tile once, and hand it to the rows that want it."""
        assert self.context is not None
        store = HTTPStore.from_url(self.context.url, client_options={"allow_http": True})
        with ThreadPoolExecutor(2) as threads:
            asyncio.run(self._fetch(store, uses, use, threads))

    async def _fetch(
        self,
        store: Any,
        uses: dict[tuple[str, int], list[int]],
        use: Callable[[Tiles, int, int], None],
        threads: ThreadPoolExecutor,
    ) -> None:
        free = asyncio.Semaphore(IN_FLIGHT)
        decoding: list[Future[None]] = []
        own = threading.local()

        def decode(path: str, body: memoryview, start: int, tiles: list[int]) -> None:
            for tile in tiles:
                offset, length = self.tables[path][tile]
                # Into a buffer of each thread: without one deflate_decode guesses a size, and often starts again.
                if not hasattr(own, "tile"):
                    own.tile = np.empty((TILE, TILE), np.uint16)
                pixels = own.tile
                imagecodecs.deflate_decode(body[offset - start :][:length], out=pixels.view(np.uint8).reshape(-1))
                imagecodecs.delta_decode(pixels, axis=-1, out=pixels)
                for number in uses[path, tile]:
                    use(pixels, tile, number)

        async def request(path: str, start: int, end: int, tiles: list[int]) -> None:
            async with free:
                body = await obstore.get_range_async(store, path, start=start, end=end)
            decoding.append(threads.submit(decode, path, memoryview(body), start, tiles))

        await asyncio.gather(*(request(*merged) for merged in self._merge(uses)))
        for decoded in decoding:
            decoded.result()

    def _merge(self, uses: dict[tuple[str, int], list[int]]) -> list[tuple[str, int, int, list[int]]]:
        """(path, first byte, end, tiles) of each request."""
        requests: list[tuple[str, int, int, list[int]]] = []
        for (offset, length), path, tile in sorted(
            ((self.tables[path][tile], path, tile) for path, tile in uses), key=lambda entry: (entry[1], entry[0])
        ):
            if requests:
                last, start, end, tiles = requests[-1]
                if last == path and offset - end <= GAP and offset + length - start <= LARGEST:
                    requests[-1] = (path, start, offset + length, [*tiles, tile])
                    continue
            requests.append((path, offset, offset + length, [tile]))
        return requests


def _tile_entry(dataset: Any, index: int) -> tuple[int, int]:
    place = f"{index % ACROSS}_{index // ACROSS}"
    return tuple(int(dataset.get_tag_item(f"BLOCK_{what}_{place}", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))  # type: ignore[return-value]


def _copy(tile: Tiles, index: int, window: tuple[int, int, int, int], out: Tiles) -> None:
    """The part of a tile that lies in a window, into the window's pixels."""
    col, row, width, height = window
    tile_col, tile_row = index % ACROSS * TILE, index // ACROSS * TILE
    first_col, first_row = max(col, tile_col), max(row, tile_row)
    end_col, end_row = min(col + width, tile_col + TILE), min(row + height, tile_row + TILE)
    out[first_row - row : end_row - row, first_col - col : end_col - col] = tile[
        first_row - tile_row : end_row - tile_row, first_col - tile_col : end_col - tile_col
    ]


def _sample(tile: Tiles, window: tuple[int, int, int, int], values: npt.NDArray[np.float64], number: int) -> None:
    values[number] = tile[window[1] % TILE, window[0] % TILE]


def _geometry_mask(task: Task) -> npt.NDArray[np.bool_]:
    col, row, width, height = task.window
    left, top = task.scene.origin
    transform = rasterio.transform.from_origin(left + col * PIXEL, top - row * PIXEL, PIXEL, PIXEL)
    return rasterio.features.geometry_mask([task.geom], (height, width), transform, invert=True)  # type: ignore[no-any-return]


def _scanline(task: Task) -> npt.NDArray[np.bool_]:
    """True where a pixel's centre is inside: each crossing of a row's centre line flips all pixels to its right."""
    col, row, width, height = task.window
    left, top = task.scene.origin
    corners = shapely.get_coordinates(task.geom)
    x = (corners[:, 0] - left) / PIXEL - col
    y = (top - corners[:, 1]) / PIXEL - row
    x0, x1, y0, y1 = x[:-1], x[1:], y[:-1], y[1:]
    first = np.ceil(np.minimum(y0, y1) - 0.5).astype(int).clip(0, height)
    end = np.ceil(np.maximum(y0, y1) - 0.5).astype(int).clip(0, height)
    counts = end - first
    edge = np.repeat(np.arange(len(counts)), counts)
    line = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    crossing = x0[edge] + (line + 0.5 - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
    column = np.ceil(crossing - 0.5).astype(int).clip(0, width)
    flips = np.bincount(line * (width + 1) + column, minlength=height * (width + 1)).reshape(height, width + 1)
    return (np.cumsum(flips[:, :width], axis=1) & 1).astype(bool)
