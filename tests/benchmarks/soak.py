"""A soak: `python -m tests.benchmarks.soak [--requests 100000] [--share 0.06]`.

Reads one tile a request (but of files that had to be read as a whole), many calls at a time, from a range server: an
eighth of the requests undisturbed, and all of them with a share going wrong in every way that a store may fail. Prints
a table and what it says; exits with 1 where a check fails:

- every array equals the one that was written, in both runs;
- nothing is leaked: sockets, threads, memory;
- requests in flight never exceed the limit;
- a request of the disturbed run takes at most 1.3 times one of the other, plus what was waited for, divided by the
  requests in flight.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import rasterio
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.connection import session_for
from rasteret_sql.engine.cache import default_cache_bytes
from rasteret_sql.io.fetch import RetryPolicy
from rasteret_sql.io.loop import io_loop
from rasteret_sql.io.routed_backend import RoutedBackend
from rasteret_sql.io.settings import change_io_settings, io_settings
from tests.servers.range_protocol import Mix
from tests.servers.range_server import RangeServer

KINDS = (
    "429",
    "429/1",
    "503",
    "503/1",
    "reset",
    "reset-early",
    "stall-early",
    "stall",
    "slow",
    "truncate",
    "wrong-length",
    "long",
    "wrong-range",
    "ignore-range",
    "redirect",
    "redirect-nowhere",
    "403",
    "other-version",
)
"""Of faults, as `range_protocol` names them; 403 stands for credentials that expired, and are renewed."""
TIMEOUT = 1.0
LATENCY_MS = 20
TIMED_OUT = ("stall-early", "stall", "slow")
BUSY = ("429", "429/1", "503", "503/1")
ACROSS, TILE = 8, 64
"""A file has 8 × 8 tiles of 64 × 64 pixels."""
SLOWER = 1.3
"""Times the undisturbed run that the other may take for each request, beside what was waited for."""
CALM = 8
"""The undisturbed run, which tells how fast a request is and that nothing leaks without faults, has a part of them."""
_OWN_SOCKETS = 16
"""Sockets of a process that are no connections to the server: those of event loops, for one."""
_C = ctypes.CDLL(None)
_WHOLE_FILE_BYTES = 1 << 20
"""Files read as a whole are kept for a minute, up to four times so many bytes: more would look like a leak."""
_MOST_GROWTH = 64 << 20
"""Bytes by which memory may differ between the first and the last tenth of a run."""


class RenewingBackend(RoutedBackend):
    """Its credentials are new whenever they were refused, as a provider's are."""

    def renew(self, url: str) -> bool:
        return True


@dataclass(slots=True)
class Run:
    """One pass over so many tiles."""

    seconds: float = 0.0
    tiles: int = 0
    wrong: int = 0
    counts: dict[str, Any] = field(default_factory=dict)
    memory: list[int] = field(default_factory=list)
    """Resident bytes, now and then."""
    sockets: int = 0
    threads: int = 0
    left: int = 0
    """Requests that the limiter still counts, when all is done."""


def pixels(scene: int) -> np.ndarray:
    """What file number `scene` holds: (rows, cols) of bytes."""
    return np.random.default_rng(scene).integers(0, 256, (ACROSS * TILE, ACROSS * TILE), dtype="uint8")


def write_world(folder: Path, scenes: int) -> None:
    """The files, their header in front, and a list of items."""
    items = []
    for scene in range(scenes):
        name, size = f"s{scene:05}", ACROSS * TILE
        profile = {"driver": "GTiff", "width": size, "height": size, "count": 1, "dtype": "uint8", "tiled": True}
        place = {"crs": "EPSG:32632", "transform": from_origin(0, size, 1, 1), "blockxsize": TILE, "blockysize": TILE}
        with rasterio.open(folder / f"{name}.tif", "w", **profile, **place) as file:
            file.write(pixels(scene), 1)
        items.append(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": name, "links": [],
                "geometry": {"type": "Point", "coordinates": [9, 0]}, "bbox": [9, 0, 9, 0],
                "properties": {"datetime": "2024-01-01T00:00:00Z"},
                "assets": {"b": {"href": f"./{name}.tif", "type": "image/tiff"}},
            }
        )  # fmt: skip
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))


def soak(
    con: duckdb.DuckDBPyConnection, server: RangeServer, scenes: int, *, requests: int, mix: Mix | None, calls: int
) -> Run:
    """Read tiles, `calls` queries at a time, until the server was asked so often."""
    run, lock = Run(), threading.Lock()
    expected = [pixels(scene) for scene in range(scenes)]
    server.mix(mix)
    server.reset()
    stop = threading.Event()

    def tile_numbers() -> Iterator[int]:
        number = 0
        while not stop.is_set():
            yield number
            number += 1

    numbers = tile_numbers()

    def work() -> None:
        cursor = con.cursor()
        while not stop.is_set():
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            # A tile of every scene: requests of one file do not merge.
            tile = number % (ACROSS * ACROSS)
            row, col = divmod(tile, ACROSS)
            top, left = ACROSS * TILE - row * TILE, col * TILE
            box = f"{{'xmin': {left}, 'ymin': {top - TILE}, 'xmax': {left + TILE}, 'ymax': {top}}}"
            rows = cursor.execute(
                f"SELECT id, read_chip(id, 'b', {box}, geom_crs := 'EPSG:32632').data FROM rasteret.soak"
            ).fetchall()
            part = np.s_[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
            wrong = sum(data != expected[int(name[1:])][part].tobytes() for name, data in rows)
            with lock:
                run.tiles += len(rows)
                run.wrong += wrong + (len(rows) != scenes)
                run.memory.append(resident())
                if server.counts()["requests"] >= requests:
                    stop.set()

    begun = time.monotonic()
    with ThreadPoolExecutor(calls) as pool:
        for future in [pool.submit(work) for _ in range(calls)]:
            future.result()
    run.seconds = time.monotonic() - begun
    run.counts = server.counts()
    server.mix(None)
    gc.collect()
    run.sockets, run.threads = open_sockets(), threading.active_count()
    run.left = io_loop().limiter.in_flight
    return run


def resident() -> int:
    """Bytes of memory that this process has, without what the allocator of glibc only keeps for later."""
    if hasattr(_C, "malloc_trim"):
        _C.malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_sockets() -> int:
    """Sockets of this process."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += os.readlink(entry).startswith("socket:")  # noqa: PTH115
        except OSError:  # closed meanwhile
            continue
    return count


def waited(faults: dict[str, int]) -> dict[str, float]:
    """Seconds that requests waited, by what for, at the least that each kind of fault asks for."""
    policy = RetryPolicy()
    busy = sum(faults.get(kind, 0) for kind in BUSY)
    quick = sum(faults.values()) - busy - faults.get("403", 0) - faults.get("redirect", 0)
    return {
        "timeouts": TIMEOUT * sum(faults.get(kind, 0) for kind in TIMED_OUT),
        "Retry-After and backoff of busy answers": policy.busy_wait * 1.125 * busy,
        "backoff of the others": policy.first_wait * 0.75 * quick,
    }


TOO_SLOW = "took"
"""How a problem begins that is one of time alone, which other work on the machine changes."""


def report(calm: Run, rough: Run, limit: int, least: int) -> tuple[list[str], list[str]]:
    """Lines of the report, and what failed."""
    faults: dict[str, int] = rough.counts["faults"]
    waits = waited(faults)
    calm_seconds = calm.seconds * rough.counts["requests"] / calm.counts["requests"]
    allowed = SLOWER * calm_seconds + sum(waits.values()) / limit
    lines = [
        "| run | seconds | requests | tiles | wrong | in flight | sockets | threads | MB, first and last tenth |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    failed = []
    for name, run in (("undisturbed", calm), ("disturbed", rough)):
        first, last = tenths(run.memory)
        lines.append(
            f"| {name} | {run.seconds:.1f} | {run.counts['requests']} | {run.tiles} | {run.wrong} | "
            f"{run.counts['max_in_flight']} | {run.sockets} | {run.threads} | {first >> 20}, {last >> 20} |"
        )
        if run.wrong or not run.tiles:
            failed.append(f"{name}: {run.wrong} of {run.tiles} arrays are wrong")
        if run.counts["max_in_flight"] > limit:
            failed.append(f"{name}: {run.counts['max_in_flight']} requests in flight, more than {limit}")
        if last - first > _MOST_GROWTH:
            failed.append(f"{name}: memory grew from {first >> 20} to {last >> 20} MB")
    lines += ["", "faults: " + ", ".join(f"{kind} {faults.get(kind, 0)}" for kind in KINDS)]
    failed += [f"only {faults.get(kind, 0)} faults of kind {kind}" for kind in KINDS if faults.get(kind, 0) < least]
    lines += [
        "waited for, summed over requests: " + ", ".join(f"{what} {seconds:.0f} s" for what, seconds in waits.items()),
        f"allowed: {SLOWER} × {calm_seconds:.1f} s + {sum(waits.values()):.0f} s / {limit} = {allowed:.1f} s",
        f"taken: {rough.seconds:.1f} s",
    ]
    if rough.seconds > allowed:
        failed.append(f"{TOO_SLOW} {rough.seconds:.1f} s, more than {allowed:.1f} s")
    for name, run in (("undisturbed", calm), ("disturbed", rough)):
        if run.sockets > limit + _OWN_SOCKETS:
            failed.append(f"{name}: {run.sockets} sockets are open, more than the {limit} that are kept for requests")
        if run.left:
            failed.append(f"{name}: {run.left} requests are still counted as in flight")
    if rough.threads > calm.threads + 8:
        failed.append(f"{rough.threads} threads run, {calm.threads} did before")
    return lines, failed


def tenths(values: Sequence[int]) -> tuple[int, int]:
    """Medians of the first and the last tenth, after a warm-up of a tenth."""
    tenth = max(1, len(values) // 10)
    return int(np.median(values[tenth : 2 * tenth] or values)), int(np.median(values[-tenth:]))


def perform(requests: int, share: float, scenes: int, calls: int, least: int) -> tuple[list[str], list[str]]:
    """Both runs, after a short one that opens connections."""
    before = io_settings()
    change_io_settings(request_timeout=TIMEOUT, whole_file_bytes=_WHOLE_FILE_BYTES)
    limit = io_settings().max_requests
    try:
        with tempfile.TemporaryDirectory(prefix="rasteret-sql-soak-") as name:
            folder = Path(name)
            (folder / "served").mkdir()
            write_world(folder / "served", scenes)
            with RangeServer(folder / "served") as server:
                server.settings(is_logging=False, latency_ms=LATENCY_MS)
                with rasteret_sql.connect(workspace_dir=folder / "ws", backend=RenewingBackend()) as con:
                    cache = session_for(con).engine.cache
                    cache.resize(0)  # so that each tile is a request
                    con.execute(f"FROM rasteret_build_from_stac('soak', '{server.url}/items.json')").fetchall()
                    soak(con, server, scenes, requests=max(requests // 20, 1), mix=None, calls=calls)
                    calm = soak(con, server, scenes, requests=max(requests // CALM, 1), mix=None, calls=calls)
                    mix = Mix(share, list(KINDS))
                    rough = soak(con, server, scenes, requests=requests, mix=mix, calls=calls)
                    cache.resize(default_cache_bytes())
        return report(calm, rough, limit, least)
    finally:
        change_io_settings(request_timeout=before.request_timeout, whole_file_bytes=before.whole_file_bytes)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000, help="how often the server is asked while it fails")
    parser.add_argument("--share", type=float, default=0.06, help="of requests that go wrong")
    parser.add_argument("--scenes", type=int, default=1000, help="files, of 64 tiles each")
    parser.add_argument("--calls", type=int, default=8, help="queries at a time")
    parser.add_argument("--least", type=int, default=300, help="faults of each kind that there have to be")
    parser.add_argument("--judge-time", action="store_true", help="fail where it took too long; for a quiet machine")
    given = parser.parse_args()
    lines, failed = perform(given.requests, given.share, given.scenes, given.calls, given.least)
    if not given.judge_time:
        failed = [problem for problem in failed if not problem.startswith(TOO_SLOW)]
    sys.stdout.write("\n".join([*lines, "", *(failed or ["all checks passed"]), ""]))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
