"""Run the benchmark: `python -m tests.benchmarks.run --reps 9 --workloads W1,W2 --engines floor,rasterio`.

A range server in its own process adds 30 ms to each request. Each repetition is a new process; engines take turns, so
that what disturbs the machine disturbs all of them. Prints a Markdown table and what it says about the targets; exits
with 1 where an engine failed, pixels differed, or `--strict` is given and a target is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.benchmarks.child import ROOT, environment
from tests.benchmarks.engines.registry import ENGINES
from tests.benchmarks.expected import write_expected
from tests.benchmarks.report import findings, table
from tests.benchmarks.workloads import NAMES, workload
from tests.benchmarks.world import World, ensure_world
from tests.servers.range_server import RangeServer

Row = dict[str, float]


def main() -> None:
    args = _arguments()
    world = ensure_world()
    with (
        tempfile.TemporaryDirectory(prefix="rasteret-sql-benchmark-") as workspace,
        RangeServer(world.directory, latency_ms=args.latency_ms, bandwidth=args.bandwidth) as server,
    ):
        rows, errors = measure(
            world, Path(workspace), server.url, engines=args.engines, workloads=args.workloads, reps=args.reps
        )
    method = f"{args.latency_ms:g} ms latency, " + (
        f"{args.bandwidth / 1e6:g} MB/s a connection" if args.bandwidth else "no bandwidth cap"
    )
    said, missed = findings(rows)
    lines = [f"{args.reps} repetitions, {method}", "", *table(rows), "", *said, *errors]
    sys.stdout.write("\n".join(lines) + "\n")
    if args.json:
        args.json.write_text(json.dumps({f"{w}/{e}": r for (w, e), r in rows.items()}, indent=1))
    if errors or (args.strict and missed):
        sys.exit(1)


def measure(
    world: World, workspace: Path, url: str, *, engines: list[str], workloads: list[str], reps: int
) -> tuple[dict[tuple[str, str], list[Row]], list[str]]:
    """All repetitions: (workload, engine) → rows, and what went wrong."""
    common = ["--url", url, "--world", str(world.directory), "--workspace", str(workspace)]
    errors: list[str] = []
    for name in workloads:
        write_expected(world, workload(name), workspace)
    ready = []
    for name in engines:
        done = _worker(name, "prepare", common)
        if done.returncode:
            errors.append(f"{name} could not prepare: {_end(done.stderr)}")
        else:
            ready.append(name)
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for name in workloads:
        able = list(ready)
        for repetition in range(reps):
            turn = repetition % max(1, len(able))
            for chosen in able[turn:] + able[:turn]:
                done = _worker(chosen, name, common)
                if done.returncode:
                    errors.append(f"{chosen} failed at {name}: {_end(done.stderr)}")
                    able.remove(chosen)
                else:
                    rows[name, chosen].append(json.loads(done.stdout))
    return rows, errors


def _worker(engine: str, name: str, common: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks.worker", engine, name, *common]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, env=environment()
    )


def _end(text: str) -> str:
    """The last lines of a traceback: DuckDB's messages have several."""
    return " / ".join(line.strip() for line in text.strip().splitlines()[-4:]) or "no message"


def _arguments() -> argparse.Namespace:
    def names(known: tuple[str, ...] | list[str]):
        def parse(text: str) -> list[str]:
            given = text.split(",")
            if unknown := [name for name in given if name not in known]:
                raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
            return given

        return parse

    parser = argparse.ArgumentParser(description="rasteret_sql and its peers on the same work in one run")
    parser.add_argument("--reps", type=int, default=9)
    parser.add_argument("--workloads", type=names(NAMES), default=list(NAMES))
    parser.add_argument("--engines", type=names(list(ENGINES)), default=list(ENGINES))
    parser.add_argument("--latency-ms", type=float, default=30)
    parser.add_argument("--bandwidth", type=float, help="bytes a second of each connection")
    parser.add_argument("--json", type=Path, help="write every repetition there")
    parser.add_argument("--strict", action="store_true", help="a missed target is a failure")
    return parser.parse_args()


if __name__ == "__main__":
    main()
