"""Measure zones on Spark beside a plain connection: `python -m tests.benchmarks.spark_zones --reps 5`.

20,000 zones on local scenes of 4096 × 4096 pixels, band B04, mean. Spark has a cluster on this machine, of one worker
or two, each with one core, one executor and one process of Python; the plain connection is bound to as many. Calls come
one after the other, each over files that nobody has read: a small one, that is not shown, twelve scenes, twelve, 36.
Spark then passes as many rows as twelve scenes give through a function that hands them back, which is what it takes
without us. Each repetition is a new process; the engines take turns, and their answers must agree. Prints a Markdown
table of medians: seconds, and processor seconds of all processes.
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

from tests.benchmarks.child import ROOT, environment
from tests.benchmarks.relations import EPSG, answer, connected, octagons, register
from tests.benchmarks.world import World, ensure_world

ENGINES = ("plain, 1 core", "plain, 2 cores", "Spark, 1 worker", "Spark, 2 workers")
FIRST = 200
"""Zones of the first call."""
CALLS = {"first": 12, "again": 12, "larger": 36}
"""Scenes of the calls that are shown."""
NAMED = f"stats := ['mean'], geom_crs := {EPSG}"
Measured = dict[str, dict[str, float]]


def parts() -> dict[str, list[str]]:
    """The scenes of each call."""
    begin, found = 0, {}
    for name, count in {"small": 12, **CALLS}.items():
        found[name] = [f"S{number:04d}" for number in range(begin, begin + count)]
        begin += count
    return found


def plain(world: World, workspace: Path, zones: int, cores: int) -> Measured:
    """A connection that has so many cores."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    con = connected(world, workspace, sum(map(len, parts().values())))
    con.execute(f"SET threads = {cores}")
    register(con, "few", octagons(FIRST))
    register(con, "z", octagons(zones))
    found = {}
    for name, ids in parts().items():
        con.execute(f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT * FROM s WHERE id IN {tuple(ids)}")
        of = "few" if name == "small" else "z"
        wall, rows, total, cpu = answer(
            con, f"SELECT count(*), sum(mean) FROM zonal_stats_table(chosen, {of}, 'B04', {NAMED})"
        )
        found[name] = {"wall": wall, "cpu": cpu, "rows": rows, "sum": total}
    return found


def spark(world: World, workspace: Path, zones: int, workers: int) -> Measured:
    """A cluster of so many workers."""
    connected(world, workspace, sum(map(len, parts().values()))).close()
    session = cluster(workers, workspace)
    try:
        return on_spark(session, workspace, zones, workers)
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


def on_spark(session: Any, workspace: Path, zones: int, workers: int) -> Measured:
    """The calls on a session."""
    from pyspark.sql import functions as sql

    from rasteret_sql.hosts.spark import register as register_functions
    from rasteret_sql.hosts.spark import scenes as scenes_of
    from rasteret_sql.hosts.spark import zonal_stats_table

    register_functions(session, workspace_dir=workspace, collections=["b"])

    def frame(count: int) -> Any:
        table = pa.table({"n": np.arange(count), "geom": shapely.to_wkb(octagons(count))})
        return session.createDataFrame(table).repartition(workers).localCheckpoint()

    def measured(rows: Any) -> dict[str, float]:
        begun, worked = time.perf_counter(), worked_by_all()
        count, total = rows.agg(sql.count("*"), sql.sum("mean")).collect()[0]
        return {"wall": time.perf_counter() - begun, "cpu": worked_by_all() - worked, "rows": count, "sum": total}

    few, all_zones = frame(FIRST), frame(zones)
    found = {}
    for name, ids in parts().items():
        chosen = scenes_of(session, "b").where(sql.col("id").isin(ids)).localCheckpoint()
        of = few if name == "small" else all_zones
        found[name] = measured(zonal_stats_table(chosen, of, "B04", stats=["mean"], geom_crs=EPSG))

    def same(batches: Any) -> Any:
        yield from batches

    ids = (
        session.createDataFrame([(one,) for one in parts()["first"]], "scene_id string")
        .repartition(8)
        .localCheckpoint()
    )
    pairs = ids.crossJoin(sql.broadcast(all_zones)).withColumn("mean", sql.col("n").cast("double"))
    for _ in range(3):  # the last one counts: it is compiled by then
        found["identity"] = measured(pairs.mapInArrow(same, pairs.schema))
    return found


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


def measured(engine: str, zones: int) -> Measured:
    """One repetition, in this process."""
    kind, _, cores = engine.partition(", ")
    work: Callable[..., Measured] = {"plain": plain, "Spark": spark}[kind]
    with tempfile.TemporaryDirectory(prefix="spark-zones-") as workspace:
        return work(ensure_world(), Path(workspace), zones, int(cores.split()[0]))


def main() -> None:
    """Run the engines in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--zones", type=int, default=20_000)
    parser.add_argument("--one", choices=ENGINES, help="run this one here, and print JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given.one, given.zones)))
        return
    ensure_world()
    found: dict[str, list[Measured]] = {engine: [] for engine in ENGINES}
    for repetition in range(given.reps):
        for engine in ENGINES:
            load = os.getloadavg()[0]
            command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.spark_zones"]
            command += ["--one", engine, "--zones", str(given.zones)]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, cwd=ROOT, env=environment()
            )
            found[engine].append(json.loads(done.stdout))
            print(f"{repetition} {engine}: {found[engine][-1]}, load {load:.1f}", file=sys.stderr, flush=True)
    for call in CALLS:
        answers = {(int(one[call]["rows"]), round(one[call]["sum"])) for runs in found.values() for one in runs}
        assert len(answers) == 1, answers
    print("| engine | call | rows | seconds | processor seconds |\n|---|---|---|---|---|")
    for engine, runs in found.items():
        for call in runs[0]:
            if call != "small":
                wall, cpu = (median(one[call][name] for one in runs) for name in ("wall", "cpu"))
                print(f"| {engine} | {call} | {runs[0][call]['rows']:,} | {wall:.1f} | {cpu:.1f} |")


if __name__ == "__main__":
    main()
