"""Read the works of `arrays.py`, each engine in a process of its own, which imports no other one.

    python tests/benchmarks/array_engines.py ENGINE FOLDER URL [later]

`FOLDER/work.json` says what is read. Before the clock starts imports are done, collections are open and were shown, and
GDAL has opened a file in memory; no file of the work was asked for. `later` measures a second call: before, the areas
were read that lie beside those of the work, with tiles of their own. Prints a JSON line:
seconds, processor seconds and peak memory, and what the server counted; the pixels go into `FOLDER/ENGINE.npy`, shape
(areas, scenes, bands, rows, columns), or (rows, columns) of a mean.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Read = tuple[Callable[[], Any], Callable[[Any], np.ndarray]]
"""What the clock measures, and what makes one array of its result afterwards."""
THREADS = 32
"""Of peers that read one thing in each."""


class Work:
    """What is read."""

    def __init__(self, folder: Path, url: str) -> None:
        said = json.loads((folder / "work.json").read_text())
        self.folder, self.url, self.kind = folder, url, said["kind"]
        self.bands: list[str] = said["bands"]
        self.crs: int = said["crs"]
        self.areas: list[tuple[float, float, float, float]] = [tuple(area) for area in said["areas"]]
        """In `crs`; multiples of `resolution`."""
        self.resolution: float = said["resolution"]
        self.is_preview: bool = said["is_preview"]
        """True: the area is the whole of each scene."""
        items = json.loads((folder / "items.json").read_text())["features"]
        for one in items:
            for asset in one["assets"].values():
                asset["href"] = f"{url}/{asset['href']}"
        self.items: list[dict[str, Any]] = items

    def move(self, pixels: int) -> None:
        """Move the areas to the east."""
        by = pixels * self.resolution
        self.areas = [(west + by, south, east + by, north) for west, south, east, north in self.areas]

    def size(self, area: tuple[float, float, float, float]) -> tuple[int, int]:
        """Rows and columns."""
        return round((area[3] - area[1]) / self.resolution), round((area[2] - area[0]) / self.resolution)

    def addresses(self) -> list[str]:
        """Of the files, scene by scene."""
        return [item["assets"][band]["href"] for item in self.items for band in self.bands]

    def stacked(self, chips: list[np.ndarray]) -> np.ndarray:
        """Chips of each area, scene and band, in this order."""
        rows, cols = chips[0].shape
        return np.stack(chips).reshape(len(self.areas), len(self.items), len(self.bands), rows, cols)


def ours(work: Work) -> Read:
    import dask.array  # noqa: F401 - xarray does so at its first dataset, if it is installed
    import xarray  # noqa: F401

    import rasteret_sql

    collection = rasteret_sql.load("arrays", workspace_dir=work.folder / "workspace")
    repr(collection)  # as a notebook shows it
    named: dict[str, Any] = {"geometry_crs": work.crs, "resolution": work.resolution}

    def arrays() -> np.ndarray:
        grid = {"geometry_crs": work.crs, "shape": work.size(work.areas[0])} if work.is_preview else named
        return collection.get_numpy(work.areas, work.bands, **grid)

    def of_arrays(found: np.ndarray) -> np.ndarray:
        found = found.reshape(len(work.items), len(work.areas), len(work.bands), *found.shape[-2:])
        return found.swapaxes(0, 1)

    def dataset() -> Any:
        return collection.get_xarray(work.areas, work.bands, target_crs=work.crs, **named)

    def of_dataset(found: Any) -> np.ndarray:
        return np.stack([found[band].values for band in work.bands], axis=2).swapaxes(0, 1)

    def mean() -> np.ndarray:
        chunks = {"time": 1, "y": 1024, "x": 1024}
        found = collection.get_xarray(work.areas, work.bands, target_crs=work.crs, chunks=chunks, **named)
        return np.asarray(found[work.bands[0]][:, 0].mean("time").compute(num_workers=THREADS))

    return {"mean": (mean, np.asarray), "dataset": (dataset, of_dataset), "arrays": (arrays, of_arrays)}[work.kind]


def odc(work: Work) -> Read:
    import dask  # noqa: F401
    import odc.stac
    import pystac
    from affine import Affine
    from odc.geo.geobox import GeoBox

    items = [pystac.Item.from_dict(one) for one in work.items]
    said = {"*": {"assets": {"*": {"nodata": 0, "data_type": "uint16"}}}}
    how: dict[str, Any] = {"bands": work.bands, "stac_cfg": said, "groupby": "id", "resampling": "bilinear"}

    def grid(area: tuple[float, float, float, float]) -> GeoBox:
        place = Affine(work.resolution, 0, area[0], 0, -work.resolution, area[3])
        return GeoBox(work.size(area), place, f"EPSG:{work.crs}")

    def dataset() -> list[Any]:
        return [odc.stac.load(items, geobox=grid(area), pool=THREADS, **how) for area in work.areas]

    def of_dataset(found: list[Any]) -> np.ndarray:
        return np.stack([np.stack([one[band].values for band in work.bands], axis=1) for one in found])

    def mean() -> np.ndarray:
        chunks = {"time": 1, "y": 1024, "x": 1024}
        found = odc.stac.load(items, geobox=grid(work.areas[0]), chunks=chunks, **how)
        return np.asarray(found[work.bands[0]].mean("time").compute(num_workers=THREADS))

    return (mean, np.asarray) if work.kind == "mean" else (dataset, of_dataset)


def one_by_one(work: Work) -> Read:
    import rasterio
    import rasterio.enums
    from rasterio.transform import from_origin
    from rasterio.vrt import WarpedVRT

    bilinear = {"resampling": rasterio.enums.Resampling.bilinear}

    def chip(area: tuple[float, float, float, float], address: str) -> np.ndarray:
        rows, cols = work.size(area)
        place = from_origin(area[0], area[3], work.resolution, work.resolution)
        with (
            rasterio.open(address) as file,
            WarpedVRT(file, crs=f"EPSG:{work.crs}", transform=place, width=cols, height=rows, **bilinear) as vrt,
        ):
            return vrt.read(1)

    def read() -> list[np.ndarray]:
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
            return [chip(area, address) for area in work.areas for address in work.addresses()]

    return read, work.stacked


def rio_tiler(work: Work) -> Read:
    import rasterio
    from rasterio.crs import CRS
    from rio_tiler.io import Reader

    crs = CRS.from_epsg(work.crs)

    def part(area: tuple[float, float, float, float], address: str) -> np.ndarray:
        rows, cols = work.size(area)
        with Reader(address) as file:
            found = file.part(
                area, dst_crs=crs, bounds_crs=crs, width=cols, height=rows,
                resampling_method="bilinear", reproject_method="bilinear",
            )  # fmt: skip
        return found.array.data[0]

    def preview(address: str) -> np.ndarray:
        with Reader(address) as file:
            return file.preview(max_size=max(work.size(work.areas[0]))).array.data[0]

    def read() -> list[np.ndarray]:
        calls: list[Callable[[], np.ndarray]]
        calls = [partial(part, area, address) for area in work.areas for address in work.addresses()]
        if work.is_preview:
            calls = [partial(preview, address) for address in work.addresses()]
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda call: call(), calls))

    return read, work.stacked


def rasteret(work: Work) -> Read:
    import rasteret as package
    import shapely
    from rasteret.fetch import cog

    cog._OBSTORE_CLIENT_OPTIONS["allow_http"] = True  # the server is here
    collection = package.load(work.folder / "export")
    repr(collection)
    areas = [shapely.box(*area) for area in work.areas]
    target = {"target_crs": work.crs} if work.kind == "dataset" else {}

    def read() -> Any:
        if work.kind == "dataset":
            return collection.get_xarray(areas, work.bands, geometry_crs=work.crs, progress=False, **target)
        return collection.get_numpy(areas, work.bands, geometry_crs=work.crs, progress=False)

    return read, lambda found: np.asarray(found[work.bands[0]].values if work.kind == "dataset" else found)


def floor(work: Work) -> Read:
    """Fetches and decodes the tiles of the windows that the areas need, and computes nothing from them."""
    from pyproj import Transformer

    from tests.benchmarks.contract import Context
    from tests.benchmarks.engines.floor import Floor
    from tests.benchmarks.workloads import Task, Workload, window_of
    from tests.benchmarks.world import SCENES

    engine = Floor()
    tasks = []
    for area in work.areas:
        for scene in SCENES:
            box = Transformer.from_crs(work.crs, scene.epsg, always_xy=True).transform_bounds(*area, densify_pts=21)
            grown = 0 if scene.epsg == work.crs else 20  # the pixels that bilinear needs around
            window = window_of(scene, (box[0] - grown, box[1] - grown, box[2] + grown - 1, box[3] + grown - 1))
            tasks += [Task(scene, band, None, None, window) for band in work.bands]
    engine.load(Context(work.url, work.folder, work.folder), Workload("arrays", "chip", tuple(tasks)))

    return engine.run, lambda _: np.empty(0)


ENGINES: dict[str, Callable[[Work], Read]] = {
    "ours": ours,
    "odc-stac": odc,
    "rasterio": one_by_one,
    "rio-tiler": rio_tiler,
    "rasteret": rasteret,
    "floor": floor,
}


def wake_gdal() -> None:
    """Let GDAL load its drivers."""
    import rasterio
    from rasterio.transform import from_origin

    place = from_origin(0, 0, 10, 10)
    with rasterio.MemoryFile() as memory:
        with memory.open(driver="GTiff", width=1, height=1, count=1, dtype="uint8", transform=place):
            pass
        memory.open().close()


def _control(url: str, what: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(f"{url}/-/{what}", data=b"null", method="POST"), timeout=30) as answer:
        return json.load(answer) or {}


def _peak_mb() -> float:
    """Peak resident memory of this program alone, and not of the one that started it."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def main() -> None:
    engine, folder, url = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    work = Work(folder, url)
    if engine in ("odc-stac", "rasterio", "rio-tiler"):
        wake_gdal()
    if "later" in sys.argv and engine != "floor":  # which keeps nothing
        aside = work.size(work.areas[0])[1] // 512 * 512 + 1024
        work.move(aside)
        ENGINES[engine](work)[0]()
        work.move(-aside)
    read, as_array = ENGINES[engine](work)
    _control(url, "reset")
    gc.collect()  # what imports left is not the work
    wall, cpu = time.perf_counter(), time.process_time()
    found = read()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak, counts = _peak_mb(), _control(url, "counts")
    np.save(folder / f"{engine}.npy", as_array(found))
    told = {"wall": wall, "cpu": cpu, "peak": peak, "requests": counts["requests"], "mb": counts["bytes"] / 1e6}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    os._exit(0)  # how the threads of a peer end is not measured


if __name__ == "__main__":
    main()
