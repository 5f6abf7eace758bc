"""Time, processor time and memory of a start beside those of what it stands on; prints ratios and judges nothing.

    python tests/benchmarks/start.py [--runs 15]

Each run starts every program once in a fresh interpreter, one after the other, so that other work on the machine
meets all of them. Given are medians, and the median over the runs of the ratio to the base in the same run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from tests.benchmarks.child import environment

BASE = "import duckdb, numpy, pyarrow"
PROGRAMS = {
    BASE: BASE,
    "import rasteret_sql": "import rasteret_sql",
    "rasteret_sql.connect()": "import rasteret_sql; con = rasteret_sql.connect()",
    "rasteret-sql -c 'SELECT 1'": "from rasteret_sql.cli.main import main; main(['-c', 'SELECT 1'])",
}


def measure(program: str, home: str) -> tuple[float, float, float]:
    """Seconds from start to end of a process, seconds of processors, and MiB of its largest resident set."""
    start = time.perf_counter()
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, env=environment(HOME=home), cwd=home, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{program} ended with {process.returncode}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15, help="runs of each program (15)")
    runs = parser.parse_args().runs
    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in PROGRAMS}
    with tempfile.TemporaryDirectory() as home:
        for number in range(runs + 1):
            for name, program in PROGRAMS.items():
                one = measure(program, home)
                if number:  # the first one reads files from disk and compiles modules
                    measured[name].append(one)
    print(f"{'':30}{'ms':>8}{'ratio':>8}{'cpu ms':>8}{'ratio':>8}{'MiB':>8}{'ratio':>8}")
    for name, values in measured.items():
        line = f"{name:30}"
        for position, unit in ((0, 1000), (1, 1000), (2, 1)):
            pairs = zip(values, measured[BASE], strict=True)
            ratio = statistics.median(one[position] / base[position] for one, base in pairs)
            line += f"{unit * statistics.median(one[position] for one in values):8.0f}{ratio:8.2f}"
        print(line)


if __name__ == "__main__":
    main()
