"""Measure zones of many scenes over HTTP beside rasterio: `python -m tests.benchmarks.relations_over_http --reps 3`.

10,000 octagons of 60 to 300 m on 50 scenes of 4096 × 4096 pixels, band B04, behind 30 ms of latency; `--zones 5
--scenes 300` for few zones of many scenes. rasterio reads one scene after the other with 32 threads, but all scenes at
once where zones are few. Each thread has neighbouring zones and a dataset of its own, so that it reads few tiles and
each of them once; a zone is one window and its mask. Each repetition is a new process, and the programs take turns.
Prints a Markdown table of medians: seconds of the call alone, CPU seconds of its process, and what the server counts;
its bytes beside those of the tiles that zones touch.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.features
import rasterio.windows
import shapely

import rasteret_sql
from rasteret_sql.connection import session_for
from tests.benchmarks.child import ROOT, environment
from tests.benchmarks.engines.floor import _tile_entry
from tests.benchmarks.relations import EPSG, SCENES, Answer, octagons, register, scene_files
from tests.benchmarks.world import ORIGINS, PIXEL, SIZE, TILE, World, ensure_world
from tests.contract.scenes import forget, item, write_items
from tests.servers.range_server import RangeServer

LATENCY_MS = 30
THREADS = 32


def serve(world: World, directory: Path, scenes: int) -> None:
    """Put so many scenes into a directory: the nine files of the world, each under several names."""
    files = scene_files(world, SCENES)
    for n in range(scenes):
        (directory / f"s{n}.tif").symlink_to(files[n % len(files)])
    write_items(directory / "items.json", [item(f"s{n}", day=1 + n % 28, B04=f"s{n}.tif") for n in range(scenes)])


def by_table(server: RangeServer, workspace: Path, zones: npt.NDArray[np.object_], _scenes: int) -> Answer:
    con = rasteret_sql.connect(workspace_dir=workspace)
    con.execute(f"FROM rasteret_build_from_stac('b', '{server.url}/items.json')").fetchall()
    register(con, "z", zones)
    forget(con, server)
    assert not session_for(con).receipts.listed()
    begun = time.perf_counter()
    rows, total = con.execute(
        "SELECT count(mean), sum(mean) FROM zonal_stats_table(rasteret.b, z, 'B04', stats := ['mean'], "
        f"geom_crs := {EPSG})"
    ).fetchone()
    return time.perf_counter() - begun, rows, total


def by_rasterio(server: RangeServer, _workspace: Path, zones: npt.NDArray[np.object_], scenes: int) -> Answer:
    tile = (np.floor((shapely.get_coordinates(shapely.centroid(zones)) - ORIGINS[EPSG]) / (TILE * PIXEL))).astype(int)
    zones = zones[np.lexsort(tile.T)]
    borders = np.unique(np.linspace(0, len(zones), THREADS + 1).astype(int))
    server.reset()
    options = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif"}

    def means(address: str, begin: int, end: int) -> tuple[int, float]:
        count, total = 0, 0.0
        with rasterio.Env(**options), rasterio.open(f"/vsicurl/{address}") as source:
            whole = rasterio.windows.Window(0, 0, source.width, source.height)
            for zone in zones[begin:end]:
                window = rasterio.features.geometry_window(source, [zone]).intersection(whole)
                pixels = source.read(1, window=window)
                inside = rasterio.features.geometry_mask(
                    [zone], pixels.shape, source.window_transform(window), invert=True
                )
                valid = pixels[inside & (pixels != source.nodata)]
                if len(valid):
                    count += 1
                    total += float(valid.mean(dtype=np.float64))
        return count, total

    begun = time.perf_counter()
    rows, total = 0, 0.0
    with ThreadPoolExecutor(THREADS) as threads:
        at_once = 1 if len(zones) >= THREADS else scenes  # few zones leave threads for other scenes
        for first in range(0, scenes, at_once):
            work = [
                threads.submit(means, f"{server.url}/s{n}.tif", *span)
                for n in range(first, first + at_once)
                for span in pairwise(borders.tolist())
            ]
            for one in work:
                count, some = one.result()
                rows, total = rows + count, total + some
    return time.perf_counter() - begun, rows, total


PROGRAMS: dict[str, Callable[[RangeServer, Path, npt.NDArray[np.object_], int], Answer]] = {
    "zonal_stats_table": by_table,
    "rasterio, 32 threads": by_rasterio,
}


def touched_bytes(world: World, zones: npt.NDArray[np.object_], scenes: int) -> int:
    """Bytes of the stored tiles that zones touch, on all scenes."""
    west, north = ORIGINS[EPSG]
    across, side = SIZE // TILE, TILE * PIXEL
    row, col = np.divmod(np.arange(across * across), across)
    tiles = shapely.box(west + col * side, north - (row + 1) * side, west + (col + 1) * side, north - row * side)
    tree = shapely.STRtree(zones)
    touched = np.unique(tree.query(tiles, predicate="intersects")[0])
    sizes = []
    for file in scene_files(world, SCENES):
        with rasterio.open(file) as dataset:
            sizes.append(sum(_tile_entry(dataset, int(tile))[1] for tile in touched))
    return sum(sizes[n % len(sizes)] for n in range(scenes))


def main() -> None:
    args = _arguments()
    world = ensure_world()
    zones = octagons(args.zones)
    if args.one:
        with tempfile.TemporaryDirectory(prefix="rasteret-sql-benchmark-") as made:
            served, workspace = Path(made, "served"), Path(made, "workspace")
            served.mkdir()
            serve(world, served, args.scenes)
            with RangeServer(served, latency_ms=LATENCY_MS) as server:
                seconds, rows, total = PROGRAMS[args.one](server, workspace, zones, args.scenes)
                counts = server.counts()
        used = resource.getrusage(resource.RUSAGE_SELF)
        peak, cpu = used.ru_maxrss / 1024, used.ru_utime + used.ru_stime
        sys.stdout.write(json.dumps([seconds, rows, total, counts["requests"], counts["bytes"], peak, cpu]))
        return
    tiles = touched_bytes(world, zones, args.scenes)
    found: dict[str, list[list[float]]] = {program: [] for program in PROGRAMS}
    for _ in range(args.reps):
        for program, runs in found.items():
            command = [sys.executable, "-m", "tests.benchmarks.relations_over_http", "--one", program]
            command += ["--zones", str(args.zones), "--scenes", str(args.scenes)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment())
            runs.append(json.loads(done.stdout))
    columns = ("program", "pairs", "seconds", "CPU seconds", "requests", "bytes / tiles touched", "peak MB")
    sys.stdout.write(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n")
    for program, runs in found.items():
        seconds, rows, _, requests, size, peak, cpu = (median(side) for side in zip(*runs, strict=True))
        figures = f"{rows:.0f} | {seconds:.3g} | {cpu:.3g} | {requests:.0f} | {size / tiles:.2f} | {peak:.0f}"
        sys.stdout.write(f"| {program} | {figures} |\n")
    answers = [run[1:3] for runs in found.values() for run in runs]
    if not np.allclose(answers, answers[0], rtol=1e-9):
        sys.exit(f"the answers differ: {answers}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.relations_over_http", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--reps", type=int, default=3, help="new processes of each program")
    parser.add_argument("--zones", type=int, default=10_000)
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--one", choices=list(PROGRAMS), help="do one and print its figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
