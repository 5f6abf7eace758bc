"""Measure map tiles beside titiler: `python -m tests.benchmarks.tiles --python PATH [--runs 3]`.

100 tiles at zoom 12 of a collection: two dates of four scenes that overlap, 4096 × 4096 pixels of 10 m as COGs, from a
server that waits 30 ms before each answer. `rasteret-sql view` and titiler (two workers of uvicorn, in the Python of
`--python`, which need not have this package) take turns, each time new processes, whose index is warm: one tile
elsewhere was asked for of each worker. The client asks for as many tiles at a time as a browser does (6), or one by
one. Given are milliseconds a tile, and processor seconds of the server for all tiles. titiler's `MAX_THREADS` is its
default, or 1: then it reads one scene of a tile after the other, and those alone that it needs.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from urllib.parse import quote

import numpy as np

from tests.benchmarks.child import environment

CACHE = Path(tempfile.gettempdir()) / "rasteret-sql-benchmark-tiles-1"
EPSG = 32632
WEST, NORTH, STEP = 600_000.0, 5_260_000.0, 36_000.0
"""Corner of the first scene, and the distance of neighbours: they are 40,960 m wide."""
ZOOM = 12
PORTS = (18_471, 18_472)
TOKEN = "a-token-of-the-benchmark"
ENGINES = {"rasteret-sql view": None, "titiler": "", "titiler, MAX_THREADS=1": "1"}
EXPRESSIONS = {"B04": "B04"}


def make(folder: Path) -> None:
    """Write the scenes and their items, once."""
    from pyproj import Transformer

    from tests.benchmarks import world

    if (folder / "items.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    to_lonlat = Transformer.from_crs(EPSG, 4326, always_xy=True)
    scenes, features = [], []
    for number in range(8):
        date, place = divmod(number, 4)
        origin = WEST + place % 2 * STEP, NORTH - place // 2 * STEP
        at = datetime(2024, 6, 1, 10, tzinfo=UTC) + timedelta(days=date, seconds=place)
        scene = world.Scene(f"S{number}", EPSG, at.isoformat(), 0.0, 5000 + number)
        scenes.append((scene, origin))
        side = world.SIZE * world.PIXEL
        box = to_lonlat.transform_bounds(origin[0], origin[1] - side, origin[0] + side, origin[1])
        w, s, e, n = box
        features.append({
            "type": "Feature", "stac_version": "1.0.0", "id": scene.id, "collection": "tiles", "links": [],
            "geometry": {"type": "Polygon", "coordinates": [[[w, s], [e, s], [e, n], [w, n], [w, s]]]},
            "bbox": list(box), "properties": {"datetime": at.isoformat(), "proj:code": f"EPSG:{EPSG}"},
            "assets": {"B04": {"href": scene.path("B04"), "type": "image/tiff", "roles": ["data"]}},
        })  # fmt: skip

    def write(job: tuple[world.Scene, tuple[float, float]]) -> None:
        scene, origin = job
        world.write_band(folder, scene, "B04", origin)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, scenes))
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def tiles() -> list[tuple[int, int]]:
    """Columns and rows of the tiles, from the middle outwards as map clients ask."""
    from pyproj import Transformer

    from tests.geo.tiles_of_places import tile_at

    middle = WEST + (STEP + 40_960) / 2, NORTH - (STEP + 40_960) / 2
    centre = tile_at(*Transformer.from_crs(EPSG, 4326, always_xy=True).transform(*middle), ZOOM)
    found = [(centre.x + across, centre.y + down) for across in range(-5, 5) for down in range(-5, 5)]
    return sorted(found, key=lambda at: np.hypot(at[0] - centre.x + 0.5, at[1] - centre.y + 0.5))


@contextmanager
def serving(engine: str, url: str, folder: Path, scratch: Path, python: str):
    """Start a server; gives the port, the path of a tile, and the processes whose time counts."""
    if engine == "rasteret-sql view":
        variables = environment()
        workspace = scratch / "workspace"
        told = json.loads((folder / "items.json").read_text())
        for one in told["features"]:
            one["assets"]["B04"]["href"] = f"{url}/{one['assets']['B04']['href']}"
        (scratch / "items.json").write_text(json.dumps(told))
        build = [sys.executable, "-m", "rasteret_sql", "-w", str(workspace), "collections", "build", "t", "--stac-api"]
        subprocess.run([*build, str(scratch / "items.json")], check=True, env=variables, capture_output=True)
        (scratch / "token").write_text(TOKEN)
        command = [sys.executable, "-m", "rasteret_sql", "view", "t", "-w", str(workspace), "--port", str(PORTS[0])]
        command += ["--token-file", str(scratch / "token"), "--no-browser"]
        path = f"/tiles/t/{{}}.png?expr={quote(EXPRESSIONS['B04'])}&stretch=1000,3000&token={TOKEN}"
        port, workers = PORTS[0], 1
    else:
        told = json.loads((folder / "items.json").read_text())["features"]
        items = [
            {"bbox": one["bbox"], "assets": {"B04": f"{url}/{one['assets']['B04']['href']}"}, "at": one["properties"]}
            for one in told
        ]
        items.sort(key=lambda one: one["at"]["datetime"], reverse=True)
        (scratch / "titiler.json").write_text(json.dumps(items))
        variables = environment(TILES_ITEMS=str(scratch / "titiler.json"))
        if ENGINES[engine]:
            variables["MAX_THREADS"] = ENGINES[engine]
        command = [python, "-m", "uvicorn", "titiler_app:app", "--app-dir", str(Path(__file__).parent)]
        command += ["--workers", "2", "--port", str(PORTS[1]), "--log-level", "warning", "--no-access-log"]
        path = "/mosaic/tiles/WebMercatorQuad/{}.png?url=B04&rescale=1000,3000"
        port, workers = PORTS[1], 2
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, path, workers)
        yield port, path, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int, path: str, workers: int) -> None:
    """Ask for a tile far from those that count until all workers have given one, or very likely."""
    x, y = tiles()[0]
    far = path.format(f"{ZOOM + 4}/{(x - 4) * 16}/{(y - 4) * 16}")
    deadline, answered = time.monotonic() + 90, 0
    while answered < (12 if workers > 1 else 2):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", far)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            assert answer.status in (200, 404), answer.status
            answered += 1
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and those that it started."""
    ticks, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
        for thread in Path(f"/proc/{one}/task").iterdir():
            waiting += map(int, (thread / "children").read_text().split())
    return ticks / os.sysconf("SC_CLK_TCK")


def ask(port: int, path: str, at_once: int) -> tuple[list[float], dict[tuple[int, int], bytes]]:
    """Ask for all tiles; gives the milliseconds of each, and the pictures."""
    due: queue.SimpleQueue = queue.SimpleQueue()
    for one in tiles():
        due.put(one)
    times: list[float] = []
    pictures = {}

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            try:
                x, y = due.get_nowait()
            except queue.Empty:
                return
            begun = time.perf_counter()
            connection.request("GET", path.format(f"{ZOOM}/{x}/{y}"))
            answer = connection.getresponse()
            pictures[x, y] = answer.read()
            times.append((time.perf_counter() - begun) * 1000)
            assert answer.status == 200, pictures[x, y]

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == len(tiles())
    return times, pictures


def compare(ours: dict, theirs: dict) -> float:
    """Mean difference of the grey of our pictures to theirs, in levels."""
    import imagecodecs

    off = []
    for at, png in ours.items():
        one, other = (imagecodecs.png_decode(each) for each in (png, theirs[at]))
        one, other = ((each if each.ndim == 2 else each[..., 0]).astype(int) for each in (one, other))
        off.append(np.abs(one - other).mean())
    return float(np.mean(off))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="a Python that has titiler-mosaic and uvicorn")
    parser.add_argument("--engine", choices=ENGINES, help="only one of them")
    asked = parser.parse_args()
    from tests.servers.range_server import RangeServer

    make(CACHE)
    told: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    shown: dict[str, dict] = {}
    with RangeServer(CACHE, latency_ms=30) as server:
        for _ in range(asked.runs):
            for at_once in (6, 1):
                for engine in [asked.engine] if asked.engine else ENGINES:
                    with (
                        tempfile.TemporaryDirectory() as scratch,
                        serving(engine, server.url, CACHE, Path(scratch), asked.python) as (port, path, pid),
                    ):
                        server.reset()
                        before = cpu_seconds(pid)
                        times, shown[engine] = ask(port, path, at_once)
                        used = cpu_seconds(pid) - before
                        counts = server.counts()
                        row = *np.percentile(times, [50, 95]), used, counts["requests"], counts["bytes"] / 1e6
                        told.setdefault((engine, at_once), []).append(row)
                        print(engine, at_once, [round(float(one), 2) for one in row], file=sys.stderr)
    print("| server | at a time | p50 ms | p95 ms | CPU s | requests | MB |\n|---|---|---|---|---|---|---|")
    for (engine, at_once), rows in told.items():
        p50, p95, cpu, requests, size = (median(each) for each in zip(*rows, strict=True))
        print(f"| {engine} | {at_once} | {p50:.0f} | {p95:.0f} | {cpu:.1f} | {requests:.0f} | {size:.1f} |")
    for engine, pictures in shown.items():
        if engine.startswith("titiler") and "rasteret-sql view" in shown:
            print(f"{engine}: mean difference {compare(shown['rasteret-sql view'], pictures):.2f} levels of 255")


if __name__ == "__main__":
    main()
