"""Measure masked medians of NDVI beside peers: `python -m tests.benchmarks.composites [--runs 3] [--python PATH]`.

Two works: 12 local scenes of two UTM zones, 2000 × 2000 pixels of 10 m; and 365 scenes of one grid, 256 × 256 pixels,
from a server that waits 30 ms. Each has red and near infrared of 10 m and classes of 20 m, of which 3, 8 and 9 are
masked. Pixels are resampled by nearest. Engines take turns, each in a new process; given are medians of seconds and of
processor seconds of the call, and the peak memory of the process. Prints a Markdown table, and how many pixels of the
peers are ours: GDAL's nearest is off by up to an eighth of a pixel, and peers mask after it.

Peers: numpy over rasterio's WarpedVRT, scene by scene on eight threads; odc-stac, plain and with dask, where the Python
of `--python` has it (it need not have this package).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np

from tests.benchmarks.child import environment

MASKED = (3, 8, 9)
WORKS = {"local": (12, 2000), "year": (365, 256)}
"""Name → scenes, and pixels of the target on a side."""
ENGINES = ("ours", "rasterio", "odc", "odc-dask")
CENTRE = 742_000, 5_204_000
"""Of the target, in EPSG:32632."""


def make(folder: Path, work: str) -> None:
    """Write the scenes and their items."""
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.warp import transform

    scenes, _ = WORKS[work]
    size = {"local": 3072, "year": 512}[work]  # of a scene, on a side
    rng = np.random.default_rng(0)
    w, s, e, n = 11.9, 46.7, 12.5, 47.2  # around the target
    base = np.cumsum(rng.normal(0, 3, (size, size)), axis=1)
    features = []
    for number in range(scenes):
        epsg = 32632 + (number % 2 if work == "local" else 0)
        (x,), (y,) = transform("EPSG:32632", f"EPSG:{epsg}", [CENTRE[0]], [CENTRE[1]])
        west, north = round(x - size * 5, -1), round(y + size * 5, -1)
        assets = {}
        for band, pixel, dtype in (("B04", 10, "uint16"), ("B08", 10, "uint16"), ("SCL", 20, "uint8")):
            pixels = size * 10 // pixel
            if band == "SCL":
                blocks = rng.choice([4, 5, 8, 9, 3], p=[0.4, 0.2, 0.2, 0.1, 0.1], size=(pixels // 16, pixels // 16))
                data = blocks.repeat(16, 0).repeat(16, 1)
            else:
                data = (1500 + 800 * (band == "B08") + base + rng.normal(0, 40, (size, size))).clip(1, 9000)
            name = f"s{number}_{band}.tif"
            with rasterio.open(
                folder / name, "w", driver="GTiff", width=pixels, height=pixels, count=1, dtype=dtype, nodata=0,
                crs=f"EPSG:{epsg}", transform=from_origin(west, north, pixel, pixel), tiled=True,
                blockxsize=min(512, pixels), blockysize=min(512, pixels), compress="deflate",
                predictor=1 if band == "SCL" else 2,
            ) as file:  # fmt: skip
                file.write(data.astype(dtype), 1)
            assets[band] = {"href": name, "type": "image/tiff; application=geotiff; profile=cloud-optimized"}
            assets[band]["roles"] = ["data"]
        day = np.datetime64("2024-01-01") + number
        features.append({
            "type": "Feature", "stac_version": "1.0.0", "id": f"s{number}", "collection": "w", "links": [],
            "geometry": {"type": "Polygon", "coordinates": [[[w, s], [e, s], [e, n], [w, n], [w, s]]]},
            "bbox": [w, s, e, n],
            "properties": {"datetime": f"{day}T10:00:00Z", "proj:code": f"EPSG:{epsg}"}, "assets": assets,
        })  # fmt: skip
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def target(work: str) -> tuple[float, float, int]:
    """West and north of the target, in EPSG:32632, and its pixels of 10 m on a side."""
    side = WORKS[work][1]
    return CENTRE[0] - side * 5, CENTRE[1] + side * 5, side


def items(base: str, folder: Path) -> list[dict]:
    """The items with addresses that are whole."""
    found = json.loads((folder / "items.json").read_text())["features"]
    for one in found:
        for asset in one["assets"].values():
            asset["href"] = f"{base}/{asset['href']}"
    return found


def by_us(work: str, base: str, folder: Path) -> np.ndarray:
    import rasteret_sql

    west, north, side = target(work)
    con = rasteret_sql.connect(workspace_dir=folder / "workspace")
    con.execute(f"FROM rasteret_build_from_stac('{work}', '{base}/items.json')").fetchall()
    x, y = west + side * 10, north - side * 10
    area = f"POLYGON (({west} {y}, {x} {y}, {x} {north}, {west} {north}, {west} {y}))"
    call = (
        f"SELECT chip FROM read_mosaic(rasteret.{work}, '(B08 - B04) / (B08 + B04)', '{area}', geom_crs := 32632, "
        f"crs := 32632, resolution := 10, resampling := 'nearest', mask := 'SCL IN {MASKED}', method := 'median')"
    )
    begin()
    table = con.sql(call).to_arrow_table()
    pixels, valid = rasteret_sql.to_numpy(table["chip"][0])
    end()
    return np.where(valid, pixels, np.nan)[0]


def by_rasterio(work: str, base: str, folder: Path) -> np.ndarray:
    import rasterio
    from rasterio.transform import from_origin
    from rasterio.vrt import WarpedVRT

    west, north, side = target(work)
    grid = {"crs": "EPSG:32632", "transform": from_origin(west, north, 10, 10), "width": side, "height": side}

    def ndvi(one: dict) -> np.ndarray:
        bands = {}
        for name, asset in one["assets"].items():
            with rasterio.open(asset["href"]) as file, WarpedVRT(file, **grid) as vrt:
                bands[name] = vrt.read(1)
        red, near = bands["B04"].astype("float32"), bands["B08"].astype("float32")
        masked = np.isin(bands["SCL"], MASKED) | (red == 0) | (near == 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(masked, np.nan, (near - red) / (near + red))

    scenes = items(base, folder)
    begin()
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), ThreadPoolExecutor(8) as pool:
        stack = np.stack(list(pool.map(ndvi, scenes)))
    found: np.ndarray = np.nanmedian(stack, axis=0)
    end()
    return found


def by_odc(work: str, base: str, folder: Path, *, dask: bool) -> np.ndarray:
    import odc.stac
    import pystac
    from affine import Affine
    from odc.geo.geobox import GeoBox

    west, north, side = target(work)
    grid = GeoBox((side, side), Affine(10, 0, west, 0, -10, north), "EPSG:32632")
    scenes = [pystac.Item.from_dict(one) for one in items(base, folder)]
    bands = {"*": {"nodata": 0, "data_type": "uint16"}, "SCL": {"nodata": 0, "data_type": "uint8"}}
    how = {"chunks": {"time": 1, "x": side, "y": side}} if dask else {"pool": 32}
    begin()
    data = odc.stac.load(
        scenes, bands=["B04", "B08", "SCL"], geobox=grid, stac_cfg={"*": {"assets": bands}}, groupby="id",
        resampling="nearest", **how,
    )  # fmt: skip
    red, near = data.B04.astype("float32"), data.B08.astype("float32")
    kept = (data.B04 != 0) & (data.B08 != 0) & ~data.SCL.isin(MASKED)
    ndvi = ((near - red) / (near + red)).where(kept)
    if dask:
        ndvi = ndvi.chunk({"time": -1, "x": 500, "y": 500})
        found = ndvi.median("time").compute(num_workers=32)
    else:
        found = ndvi.median("time")
    end()
    return np.asarray(found.values)


_times: list[tuple[float, float]] = []


def begin() -> None:
    _times.append((time.perf_counter(), time.process_time()))


def end() -> None:
    _times.append((time.perf_counter(), time.process_time()))


def one(engine: str, work: str, base: str, folder: Path) -> None:
    """Run an engine in this process; tell its times and memory."""
    found = {
        "ours": by_us,
        "rasterio": by_rasterio,
        "odc": lambda *args: by_odc(*args, dask=False),
        "odc-dask": lambda *args: by_odc(*args, dask=True),
    }[engine](work, base, folder)
    np.save(folder / f"{engine}.npy", found)
    (wall, cpu), (wall_after, cpu_after) = _times
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": wall_after - wall, "cpu": cpu_after - cpu, "peak": peak}))


def measure(work: str, runs: int, python: str) -> None:
    from tests.servers.range_server import RangeServer

    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        make(folder, work)
        with RangeServer(folder, latency_ms=30) as server:
            base = str(folder) if work == "local" else server.url
            told: dict[str, list[dict]] = {}
            for _ in range(runs):
                for engine in ENGINES:
                    command = [python if engine.startswith("odc") else sys.executable, __file__, "--one", engine]
                    done = subprocess.run(
                        [*command, "--work", work, "--base", base, "--folder", directory],
                        capture_output=True, text=True, check=False, env=environment(),
                    )  # fmt: skip
                    if done.returncode:
                        print(f"{engine}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                        continue
                    told.setdefault(engine, []).append(json.loads(done.stdout.splitlines()[-1]))
        print(f"\n{work}: {WORKS[work][0]} scenes, {WORKS[work][1]} × {WORKS[work][1]} pixels\n")
        print("| engine | seconds | processor seconds | peak MB | pixels as ours |\n|---|---|---|---|---|")
        ours = np.load(folder / "ours.npy")
        for engine, rows in told.items():
            values = [median(row[name] for row in rows) for name in ("wall", "cpu", "peak")]
            theirs = np.load(folder / f"{engine}.npy")
            same = (np.isnan(ours) & np.isnan(theirs)) | (np.abs(ours - theirs) < 1e-6)
            print(f"| {engine} | {values[0]:.2f} | {values[1]:.2f} | {values[2]:.0f} | {same.mean():.1%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="a Python that has odc-stac")
    parser.add_argument("--work", choices=[*WORKS, "all"], default="all")
    parser.add_argument("--one", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--base", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        one(asked.one, asked.work, asked.base, asked.folder)
        return
    for work in WORKS if asked.work == "all" else [asked.work]:
        measure(work, asked.runs, asked.python)


if __name__ == "__main__":
    main()
