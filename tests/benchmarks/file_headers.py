"""Measure `rasteret_files` over many local TIFFs beside rasterio: `python -m tests.benchmarks.file_headers [--reps 5]`.

1,000 tiled files with overviews, their pages in the cache of the system; all of one layout, or of `--layouts`. Each
repetition is a new process for each program, and the programs take turns. The time is that of the call alone, the
second time that the process makes it with files that it has not read before: the first call loads what is needed. Their
answers are compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.benchmarks.child import ROOT, environment

COUNT = 1000
WARM = 20
"""Files of another folder, for the first call."""

OURS = """
import rasteret_sql
con = rasteret_sql.connect(workspace_dir=sys.argv[1] + '/workspace')
con.execute("SET enable_progress_bar = false")

def read(folder):
    return con.execute(
        "SELECT parse_filename(path), width, height, bands, dtype, crs, nodata[1], overviews, transform[1],"
        " transform[3] FROM rasteret_files($1) ORDER BY 1", [folder]
    ).fetchall()
"""
RASTERIO = """
import os, rasterio
from concurrent.futures import ThreadPoolExecutor
from rasterio.warp import transform_bounds
pool = ThreadPoolExecutor(8)

def one(path):
    with rasterio.open(path) as file:
        profile = file.profile
        t = profile['transform']
        {box}
        return (os.path.basename(path), profile['width'], profile['height'], profile['count'], profile['dtype'],
                str(profile['crs']), profile['nodata'], file.overviews(1), t.a, t.c)

def read(folder):
    return list({each}(one, sorted(os.path.join(folder, name) for name in os.listdir(folder))))
"""
BOX = "transform_bounds(file.crs, 'OGC:CRS84', *file.bounds)"
"""The extent in longitude and latitude, which `rasteret_files` gives."""
PROGRAMS = {
    "rasteret_files": OURS,
    "rasterio.open": RASTERIO.format(box="", each="map"),
    "rasterio.open, box in lon/lat": RASTERIO.format(box=BOX, each="map"),
    "the same on 8 threads": RASTERIO.format(box=BOX, each="pool.map"),
}
MEASURE = """
read(sys.argv[1] + '/warm')
wall, cpu = time.perf_counter(), time.process_time()
rows = read(sys.argv[1] + '/files')
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, rows], default=str))
"""


def make(folder: Path, layouts: int = 1) -> None:
    """Write the files, each at another place: those of a layout are of one size."""
    import numpy as np
    import rasterio
    from rasterio.transform import from_origin

    pixels = np.random.default_rng(1).integers(0, 4000, (512, 512 + layouts), "uint16")
    for name, count in (("warm", WARM), ("files", COUNT)):
        (folder / name).mkdir()
        for number in range(count):
            width = 512 + number % layouts
            with rasterio.open(
                folder / name / f"{number:04}.tif", "w", driver="COG", width=width, height=512, count=1, dtype="uint16",
                crs="EPSG:32633", transform=from_origin(400_000 + 5120 * number, 5_100_000, 10, 10), nodata=0,
                blocksize=256, compress="deflate",
            ) as file:  # fmt: skip
                file.write(pixels[:, :width], 1)


def measure(program: str, folder: Path) -> tuple[float, float, list[list[object]]]:
    """Seconds and processor seconds of the call, and its rows."""
    text = f"import json, sys, time\n{program}{MEASURE}"
    done = subprocess.run(
        [sys.executable, "-c", text, str(folder)],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    wall, cpu, rows = json.loads(done.stdout)
    return wall, cpu, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=5, help="repetitions (5)")
    parser.add_argument("--layouts", type=int, default=1, help="sizes of files (1)")
    given = parser.parse_args()
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        make(folder, given.layouts)
        for _ in range(given.reps):
            answers = []
            for name, program in PROGRAMS.items():
                wall, cpu, rows = measure(program, folder)
                measured[name].append((wall, cpu))
                answers.append(rows)
            if not all(len(rows) == COUNT and rows == answers[0] for rows in answers):
                raise SystemExit(f"answers differ: {[rows[:1] for rows in answers]}")
    print("| program | seconds | CPU seconds |\n|---|---|---|")
    for name, values in measured.items():
        wall, cpu = (median(column) for column in zip(*values, strict=True))
        print(f"| {name} | {wall:.3f} | {cpu:.3f} |")


if __name__ == "__main__":
    main()
