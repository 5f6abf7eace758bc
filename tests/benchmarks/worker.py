"""One repetition in a process of its own: imports, connect and load, then the clock, then the check.

Prints one JSON line: wall and CPU seconds, memory, and what the server counted between start and stop of the clock.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.benchmarks.contract import Context
from tests.benchmarks.engines.registry import engine
from tests.benchmarks.expected import check
from tests.benchmarks.workloads import workload


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("engine")
    parser.add_argument("workload", help="a workload, or `prepare`")
    parser.add_argument("--url", required=True)
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--workspace", type=Path, required=True)
    args = parser.parse_args()
    context = Context(args.url, args.world, args.workspace)
    chosen = engine(args.engine)
    if args.workload == "prepare":
        chosen.prepare(context)
        return
    work = workload(args.workload)
    chosen.load(context, work)
    _control(args.url, "reset")
    gc.collect()  # what imports left is not the work, and would be collected in some engine's turn
    before, cpu = _peak_mb(), time.process_time()
    start = time.perf_counter()
    answer = chosen.run()
    wall = time.perf_counter() - start
    cpu = time.process_time() - cpu
    counts = _control(args.url, "counts")
    peak = _peak_mb()
    check(work, args.workspace, chosen.result(answer))
    row = {
        "wall": wall,
        "cpu": cpu,
        "peak_mb": peak,
        "delta_mb": peak - before,
        "requests": counts["requests"],
        "bytes": counts["bytes"],
        "in_flight": counts["max_in_flight"],
    }
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()
    # The row is out: how a peer's threads end with the interpreter is not what is measured.
    os._exit(0)


def _control(url: str, what: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(f"{url}/-/{what}", data=b"null", method="POST"), timeout=30) as answer:
        return dict(json.load(answer))


def _peak_mb() -> float:
    """Peak resident memory; where the kernel tells it, of this program alone and not of the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line[:6] == "VmHWM:")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
