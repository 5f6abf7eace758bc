"""The five workloads, as data: what is read, for every engine the same.

| W | what | floor's requests | floor's MB |
|---|---|---|---|
| W1 | one 2 km area, 12 scenes × 2 bands | 24 | 13.8 |
| W2 | 50 scattered chips of 256 × 256 pixels | 65 | 33.2 |
| W3 | one whole band of 4096 × 4096 | 22 | 20.0 |
| W4 | 1000 points over 12 scenes, 569 tiles | 246 | 178.3 |
| W5 | means of 200 polygons in one band, 15 tiles | 7 | 4.7 |

The seeds were searched for so that places fall on as many tiles as in the measurements that are compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from pyproj import Transformer

from tests.benchmarks.world import CENTRE, PIXEL, SCENES, SIZE, TILE, Scene

SEEDS = {"W2": 101, "W4": 113, "W5": 0}


@dataclass(frozen=True, slots=True)
class Task:
    """One row of a workload: a geometry read from one band of one scene."""

    scene: Scene
    band: str
    geom: shapely.Geometry | None
    """In `crs`; None for the whole image."""
    crs: str | None
    window: tuple[int, int, int, int]
    """(col_off, row_off, width, height) of the pixels that the geometry's bounds touch."""

    @property
    def wkt(self) -> str | None:
        """The geometry with every digit of its coordinates."""
        return None if self.geom is None else shapely.to_wkt(self.geom, rounding_precision=17)


@dataclass(frozen=True, slots=True)
class Workload:
    """A named list of rows and what is wanted of each."""

    name: str
    answer: str
    """`chip`: pixels of the window; `point`: the pixel below a point; `mean`: mean of the pixels inside a polygon."""
    tasks: tuple[Task, ...]


def window_of(scene: Scene, bounds: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    """The window of the pixels that bounds in the scene's CRS touch."""
    left, top = scene.origin
    west, south, east, north = bounds
    col, row = math.floor((west - left) / PIXEL), math.floor((top - north) / PIXEL)
    return col, row, math.ceil((east - left) / PIXEL) - col, math.ceil((top - south) / PIXEL) - row


def tiles_of(window: tuple[int, int, int, int]) -> list[int]:
    """Indices of the tiles of a 4096² band that a window touches, row-major."""
    col, row, width, height = window
    rows = range(row // TILE, (row + height - 1) // TILE + 1)
    cols = range(col // TILE, (col + width - 1) // TILE + 1)
    return [r * (SIZE // TILE) + c for r in rows for c in cols]


def _w1() -> tuple[Task, ...]:
    lon, lat = Transformer.from_crs(32632, 4326, always_xy=True).transform(*CENTRE)
    area = shapely.box(lon - 0.0116, lat - 0.0083, lon + 0.0116, lat + 0.0083)
    tasks = []
    for scene in SCENES:
        transformer = Transformer.from_crs("EPSG:4326", scene.crs, always_xy=True)
        local = shapely.transform(area, transformer.transform, interleaved=False)
        window = window_of(scene, local.bounds)
        tasks += [Task(scene, band, area, "EPSG:4326", window) for band in ("B04", "B08")]
    return tuple(tasks)


def _w2(seed: int, count: int = 50, size: int = 256) -> tuple[Task, ...]:
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(count):
        scene = SCENES[rng.integers(len(SCENES))]
        col, row = (int(v) for v in rng.integers(0, SIZE - size, 2))
        left, top = scene.origin
        # A tenth of a pixel inside of the chip's edges: rounding on the way cannot add a row or column.
        inset = PIXEL / 10
        x, y, side = left + col * PIXEL, top - row * PIXEL, size * PIXEL
        box = shapely.box(x + inset, y - side + inset, x + side - inset, y - inset)
        tasks.append(Task(scene, "B04", box, scene.crs, (col, row, size, size)))
    return tuple(tasks)


def _w3() -> tuple[Task, ...]:
    return (Task(SCENES[0], "B04", None, None, (0, 0, SIZE, SIZE)),)


def _w4(seed: int, count: int = 1000) -> tuple[Task, ...]:
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(count):
        scene = SCENES[rng.integers(len(SCENES))]
        col, row = (int(v) for v in rng.integers(0, SIZE, 2))
        left, top = scene.origin
        point = shapely.Point(left + (col + 0.5) * PIXEL, top - (row + 0.5) * PIXEL)
        tasks.append(Task(scene, "B04", point, scene.crs, (col, row, 1, 1)))
    return tuple(tasks)


def _w5(seed: int, count: int = 200) -> tuple[Task, ...]:
    """Polygons of 12 to 32 corners and some 30 pixels across, in a block of 4 × 4 tiles less one corner."""
    rng = np.random.default_rng(seed)
    scene = SCENES[0]
    left, top = scene.origin
    tasks: list[Task] = []
    while len(tasks) < count:
        corners = int(rng.integers(12, 33))
        col, row = rng.uniform(2 * TILE + 32, 6 * TILE - 32, 2)
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = rng.uniform(8, 28, corners)
        x = left + (col + radii * np.cos(angles)) * PIXEL
        y = top - (row + radii * np.sin(angles)) * PIXEL
        polygon = shapely.Polygon(np.column_stack([x, y]))
        window = window_of(scene, polygon.bounds)
        if polygon.is_valid and 2 * (SIZE // TILE) + 2 not in tiles_of(window):
            tasks.append(Task(scene, "B04", polygon, scene.crs, window))
    return tuple(tasks)


def workload(name: str) -> Workload:
    """A workload by name."""
    if name == "W1":
        return Workload(name, "chip", _w1())
    if name == "W2":
        return Workload(name, "chip", _w2(SEEDS["W2"]))
    if name == "W3":
        return Workload(name, "chip", _w3())
    if name == "W4":
        return Workload(name, "point", _w4(SEEDS["W4"]))
    if name == "W5":
        return Workload(name, "mean", _w5(SEEDS["W5"]))
    raise ValueError(f"no workload {name!r}: there are {', '.join(NAMES)}")


NAMES = ("W1", "W2", "W3", "W4", "W5")
