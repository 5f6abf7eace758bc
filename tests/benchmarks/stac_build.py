"""A build from a STAC API: `python -m tests.benchmarks.stac_build`.

10 000 items with one asset each, a COG of its own; every request of the API and of the file server takes 30 ms, and 50
headers are read at a time. The servers run in processes of their own. What is printed: wall time of the whole build,
requests for headers, and how long the same build takes when it is cached.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import rasteret_sql
from tests.servers.range_server import RangeServer
from tests.servers.stac_api import StacApiServer

ROOT = Path(__file__).resolve().parents[2]
SCENE = ROOT / "tests" / "sql" / "data" / "plain.tif"
LATENCY = 0.03
TARGET_SECONDS = 9.5


def serve(pipe: Connection, url: str, number: int, latency: float) -> None:
    """A STAC API in this process, until the other end says so."""
    with StacApiServer([item(url, n) for n in range(number)], latency=latency) as api:
        pipe.send(api.url)
        pipe.recv()


def item(url: str, number: int) -> dict[str, object]:
    """One STAC item."""
    west = 10 + number % 100 / 100
    corners = [[west, 50], [west + 0.01, 50], [west + 0.01, 50.01], [west, 50.01], [west, 50]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"scene-{number:05d}",
        "collection": "scenes",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "bbox": [west, 50, west + 0.01, 50.01],
        "properties": {
            "datetime": f"2024-{number % 12 + 1:02d}-{number % 28 + 1:02d}T10:30:00Z",
            "eo:cloud_cover": number % 100,
            "platform": "bench-1",
        },
        "assets": {"red": {"href": f"{url}/{number}.tif", "type": "image/tiff; application=geotiff"}},
        "links": [],
    }


def measure(number: int, concurrent: int) -> dict[str, float]:
    """Build once, then again from the cache."""
    folder = Path(tempfile.mkdtemp())
    files = folder / "files"
    files.mkdir()
    first = files / "0.tif"
    shutil.copyfile(SCENE, first)
    for n in range(1, number):
        os.link(first, files / f"{n}.tif")
    try:
        with RangeServer(files, latency_ms=1000 * LATENCY) as server:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, server.url, number, LATENCY), daemon=True)
            process.start()
            api = ours.recv()
            begun = time.perf_counter()
            arguments = {
                "name": "bench",
                "stac_api": api,
                "collection": "scenes",
                "max_concurrent": concurrent,
                "workspace_dir": folder / "ws",
            }
            built = rasteret_sql.build_from_stac(**arguments)
            seconds = time.perf_counter() - begun
            counts = server.counts()
            assert len(built) == number
            begun = time.perf_counter()
            rasteret_sql.build_from_stac(**arguments)
            cached = time.perf_counter() - begun
            ours.send("done")
            process.join(10)
        return {
            "items": number,
            "seconds": round(seconds, 2),
            "target": TARGET_SECONDS,
            "header requests": counts["requests"],
            "most in flight": counts["max_in_flight"],
            "cached seconds": round(cached, 3),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--concurrent", type=int, default=50)
    given = parser.parse_args()
    print(json.dumps(measure(given.items, given.concurrent), indent=2))


if __name__ == "__main__":
    main()
