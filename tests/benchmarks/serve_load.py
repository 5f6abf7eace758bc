"""Load `rasteret-sql serve` with many clients at once: `python -m tests.benchmarks.serve_load [--seconds 60]`.

Each client has a connection of its own over Quack and asks one statement after the other: a series of one point, means
of one zone in all 68 scenes, scenes of a year in a view. Points and zones are other ones each time. Prints how long
statements took and how large the server grew; exits with 1 where a statement fails, an answer is not the one that the
first client got, or the server keeps growing. Needs the extra `quack`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import duckdb
import numpy as np

import rasteret_sql
from tests.cli.processes import SHELL, environment
from tests.hosts.hosting import build
from tests.hosts.test_quack import EXTENSIONS, extension_file

PLACES = 200
"""Points and zones that are asked for."""
MOST_GROWTH = 1.15
"""Largest size in the last third beside that in the second."""


def statements() -> dict[str, list[str]]:
    """Statements of each kind."""
    chance = random.Random(1)
    at = [(14.5530 + chance.random() * 0.009, 45.8675 + chance.random() * 0.006) for _ in range(PLACES)]
    zone = "POLYGON (({0} {1}, {2} {1}, {2} {3}, {0} {1}))"
    zones = [zone.format(x, y, x + 0.001, y + 0.0007) for x, y in at]
    return {
        "point": [
            f"SELECT max(sample_point(id, 'ndvi', 'POINT ({x} {y})')) FROM rasteret.meadows WHERE year = 2017"
            for x, y in at
        ],
        "zone": [f"SELECT avg(zonal_stat(id, 'ndvi', '{one}', 'mean')) FROM rasteret.meadows" for one in zones],
        "view": [f"SELECT count(*) FROM rasteret.meadows WHERE year = {2015 + n % 3}" for n in range(PLACES)],
    }


class Load:
    """Clients, and what they met."""

    def __init__(self, connect, asked: dict[str, list[str]]) -> None:
        self._connect = connect
        self._asked = asked
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.failures: list[str] = []
        self._answers: dict[str, object] = {}
        self._lock = threading.Lock()

    def client(self, number: int, until: float) -> None:
        """Ask until the time is over."""
        chance = random.Random(number)
        try:
            con = self._connect()
            while time.monotonic() < until and not self.failures:
                kind = chance.choice(["point", "zone", "zone", "view"])
                statement = chance.choice(self._asked[kind])
                begun = time.perf_counter()
                answer = con.execute("FROM remote.query($1)", [statement]).fetchall()
                took = time.perf_counter() - begun
                with self._lock:
                    self.seconds[kind].append(took)
                    if self._answers.setdefault(statement, answer) != answer:
                        self.failures.append(f"{statement}: {answer}, before {self._answers[statement]}")
            con.execute("DETACH remote")
            con.close()
        except duckdb.Error as error:
            self.failures.append(str(error))


def megabytes(pid: int) -> float:
    """Resident memory of a process."""
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=20)
    given = parser.parse_args()
    files = {name: extension_file(name) for name in EXTENSIONS}
    with tempfile.TemporaryDirectory() as work:
        home = Path(work)
        with rasteret_sql.connect(workspace_dir=home / "workspace") as con:
            con.execute(build("meadows", "sentinel2-eopatch-slovenia")).fetchall()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        words = ["serve", "--read-only", "--port", port, "-w", str(home / "workspace"), "--token-file", f"{home}/token"]
        served = subprocess.Popen([*SHELL, *words], env=environment(home), stdout=subprocess.PIPE, text=True)
        try:
            assert served.stdout is not None
            served.stdout.readline()
            token = (home / "token").read_text().strip()

            def connect() -> duckdb.DuckDBPyConnection:
                con = duckdb.connect(config={"extension_directory": f"{work}/client", "threads": 1})
                for name, file in files.items():
                    con.execute(f"INSTALL '{file}'; LOAD {name}")
                con.execute(f"CREATE SECRET (TYPE quack, TOKEN '{token}'); ATTACH 'quack:localhost:{port}' AS remote")
                return con

            connect().close()  # installs the extensions once
            load = Load(connect, statements())
            begun = time.monotonic()
            until = begun + given.seconds
            clients = [threading.Thread(target=load.client, args=(n, until), daemon=True) for n in range(given.clients)]
            for client in clients:
                client.start()
            sizes: list[tuple[float, float]] = []
            while any(client.is_alive() for client in clients):
                sizes.append((time.monotonic() - begun, megabytes(served.pid)))
                time.sleep(0.5)
                if time.monotonic() > until + 120:
                    load.failures.append("clients still wait for answers 120 s after the end")
                    break
            taken = time.monotonic() - begun
        finally:
            served.send_signal(signal.SIGTERM)
            code = served.wait(60)
    report(load, sizes, taken, given.seconds)
    if code:
        load.failures.append(f"the server ended with {code}")
    for failure in load.failures[:3]:
        print(failure, file=sys.stderr)
    # Threads that still wait for a server that is gone do not keep the process.
    sys.stdout.flush()
    os._exit(1 if load.failures else 0)


def report(load: Load, sizes: list[tuple[float, float]], taken: float, seconds: float) -> None:
    """Print the table, and add to the failures where the server kept growing."""
    print("| statement | number | p50 ms | p95 ms | longest ms |\n|---|---|---|---|---|")
    for kind, times in sorted(load.seconds.items()):
        p50, p95 = np.percentile(times, [50, 95]) * 1000
        print(f"| {kind} | {len(times):,} | {p50:.0f} | {p95:.0f} | {max(times) * 1000:.0f} |")
    thirds = [
        [size for at, size in sizes if seconds * n / 3 <= at < seconds * (n + 1) / 3] or [sizes[-1][1]]
        for n in range(3)
    ]
    number = sum(map(len, load.seconds.values()))
    print(f"{number:,} statements in {taken:.0f} s: {number / taken:.0f} a second, {len(load.failures)} failures")
    print("largest size of the server in each third, MB: " + ", ".join(f"{max(third):.0f}" for third in thirds))
    if max(thirds[2]) > MOST_GROWTH * max(thirds[1]):
        load.failures.append("the server keeps growing")


if __name__ == "__main__":
    main()
