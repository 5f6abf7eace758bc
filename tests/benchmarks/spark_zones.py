"""Measure zones on Spark beside a plain connection: `python -m tests.benchmarks.spark_zones --reps 5`.

20,000 zones on twelve local scenes of 4096 × 4096 pixels, band B04, mean. Spark has a cluster on this machine, of one
worker or two, each with one core, one executor and one process of Python; the plain connection is bound to as many.
Each repetition is a new process; the engines take turns, and their answers must agree. Prints a Markdown table of
medians: seconds of the call alone (sessions, tables and a small call come before), processor seconds of all processes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from tests.benchmarks.relations import EPSG, answer, connected, octagons, register
from tests.benchmarks.world import World, ensure_world

ROOT = Path(__file__).resolve().parents[2]
ENGINES = ("plain, 1 core", "plain, 2 cores", "Spark, 1 worker", "Spark, 2 workers")
FIRST = 200
"""Zones of the first call, on one scene."""
NAMED = f"stats := ['mean'], geom_crs := {EPSG}"


def plain(world: World, workspace: Path, zones: int, scenes: int, cores: int) -> dict[str, float]:
    """A connection that has so many cores."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    con = connected(world, workspace, scenes)
    con.execute(f"SET threads = {cores}")
    register(con, "few", octagons(FIRST))
    register(con, "z", octagons(zones))
    one = "(SELECT * FROM s ORDER BY id LIMIT 1)"
    con.execute(f"WITH one AS {one} SELECT count(*) FROM zonal_stats_table(one, few, 'B04', {NAMED})").fetchall()
    wall, rows, total, cpu = answer(con, f"SELECT count(*), sum(mean) FROM zonal_stats_table(s, z, 'B04', {NAMED})")
    return {"wall": wall, "cpu": cpu, "rows": rows, "sum": total}


def spark(world: World, workspace: Path, zones: int, scenes: int, workers: int) -> dict[str, float]:
    """A cluster of so many workers."""
    connected(world, workspace, scenes).close()
    session = cluster(workers, workspace)
    try:
        return on_spark(session, workspace, zones, scenes, workers)
    finally:
        session.stop()


def cluster(workers: int, workspace: Path) -> Any:
    """A session over workers of this machine."""
    from pyspark.sql import SparkSession

    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": "1g",
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        "spark.local.dir": str(workspace / "local"),
        "spark.sql.warehouse.dir": str(workspace / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master(f"local-cluster[{workers},1,2048]").appName("zones")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    return session


def on_spark(session: Any, workspace: Path, zones: int, scenes: int, workers: int) -> dict[str, float]:
    """The call on a session."""
    from pyspark.sql import functions as sql

    from rasteret_sql.hosts.spark import register as register_functions
    from rasteret_sql.hosts.spark import scenes as scenes_of
    from rasteret_sql.hosts.spark import zonal_stats_table

    register_functions(session, workspace_dir=workspace, collections=["b"])
    chosen = scenes_of(session, "b").orderBy("id").limit(scenes).localCheckpoint()

    def frame(count: int) -> Any:
        table = pa.table({"n": np.arange(count), "geom": shapely.to_wkb(octagons(count))})
        return session.createDataFrame(table).repartition(workers).localCheckpoint()

    def run(of_scenes: Any, of_zones: Any) -> Any:
        rows = zonal_stats_table(of_scenes, of_zones, "B04", stats=["mean"], geom_crs=EPSG)
        return rows.agg(sql.count("*"), sql.sum("mean")).collect()[0]

    few, all_zones = frame(FIRST), frame(zones)
    for _ in range(workers):  # each has opened its collection then
        run(chosen, few)
    begun, worked = time.perf_counter(), worked_by_all()
    rows, total = run(chosen, all_zones)
    return {"wall": time.perf_counter() - begun, "cpu": worked_by_all() - worked, "rows": rows, "sum": total}


def worked_by_all() -> float:
    """Processor seconds of this process and those below it so far."""
    parents: dict[int, tuple[int, float]] = {}
    tick = os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        # Those of children that have ended, too.
        parents[int(folder.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / tick)
    ours = {os.getpid()}
    while more := {one for one, (parent, _) in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(parents[one][1] for one in ours if one in parents)


def measured(engine: str, zones: int, scenes: int) -> dict[str, float]:
    """One repetition, in this process."""
    kind, _, cores = engine.partition(", ")
    work: Callable[..., dict[str, float]] = {"plain": plain, "Spark": spark}[kind]
    with tempfile.TemporaryDirectory(prefix="spark-zones-") as workspace:
        return work(ensure_world(), Path(workspace), zones, scenes, int(cores.split()[0]))


def main() -> None:
    """Run the engines in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--zones", type=int, default=20_000)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--one", choices=ENGINES, help="run this one here, and print JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given.one, given.zones, given.scenes)))
        return
    ensure_world()
    found: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
    sizes = ["--zones", str(given.zones), "--scenes", str(given.scenes)]
    for repetition in range(given.reps):
        for engine in ENGINES:
            load = os.getloadavg()[0]
            command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.spark_zones", "--one", engine, *sizes]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, cwd=ROOT)
            found[engine].append(json.loads(done.stdout))
            print(f"{repetition} {engine}: {found[engine][-1]}, load {load:.1f}", file=sys.stderr, flush=True)
    answers = {(int(one["rows"]), round(one["sum"], 1)) for runs in found.values() for one in runs}
    assert len(answers) == 1, answers
    print("| engine | seconds | processor seconds | rows a second |\n|---|---|---|---|")
    for engine, runs in found.items():
        wall, cpu = (median(one[name] for one in runs) for name in ("wall", "cpu"))
        print(f"| {engine} | {wall:.1f} | {cpu:.1f} | {runs[0]['rows'] / wall:,.0f} |")


if __name__ == "__main__":
    main()
