"""Executors: what is shipped to them, the backends that they make, and what they lack."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import rasteret_sql
from rasteret_sql.hosts.spark import executor
from rasteret_sql.hosts.spark.errand import errand
from tests.hosts.spark import planted
from tests.hosts.spark.conftest import TINY
from tests.hosts.spark.planted import HOST, KEY
from tests.servers.range_server import RangeServer

SCENES = ["plain", "nodata", "masked", "floats"]
SQUARES = [
    f"POLYGON (({x} {y}, {x + side} {y}, {x + side} {y + side}, {x} {y + side}, {x} {y}))"
    for x, y, side in [(600000, 5099980, 20), (600010, 5099970, 10), (600020, 5099980, 10)]
]


def catalog(folder: Path, begin: str) -> Path:
    """The items of `tiny` with addresses that begin so."""
    items = json.loads(TINY.read_text(encoding="utf-8"))
    items["features"] = [item for item in items["features"] if item["id"] in SCENES]
    for item in items["features"]:
        item["assets"]["b"]["href"] = begin + item["assets"]["b"]["href"].removeprefix("./")
    path = folder / "items.json"
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def guarded(tmp_path_factory, executors_folder):
    """A workspace with the collection `guarded`, whose files the planted backend alone reads."""
    folder = tmp_path_factory.mktemp("guarded")
    rasteret_sql.build_from_stac(
        name="guarded",
        stac_api=catalog(folder, HOST),
        workspace_dir=folder,
        backend=planted.Planted(executors_folder, KEY),
    )
    return folder


@pytest.fixture
def key(executors_folder):
    (executors_folder / "KEY").write_text(KEY, encoding="utf-8")
    yield executors_folder
    (executors_folder / "KEY").unlink()


@pytest.fixture
def pickles(monkeypatch):
    """All that Spark pickles in this process from now on."""
    from pyspark.serializers import CloudPickleSerializer

    seen = []
    dumps = CloudPickleSerializer.dumps

    def recorded(self, value):
        data = dumps(self, value)
        seen.append(data)
        return data

    monkeypatch.setattr(CloudPickleSerializer, "dumps", recorded)
    return seen


def named_backend(spark, workspace, name):
    """The session with the functions, which read with the planted backend by this name: a session of its own."""
    from rasteret_sql.hosts.spark import register

    session = spark.newSession()
    register(
        session,
        workspace_dir=workspace,
        collections=["guarded"],
        backend=name,
        backends={name: "tests.hosts.spark.planted:backend"},
    )
    return session


def zones(session):
    return session.createDataFrame(pa.table({"zone": range(len(SQUARES)), "geometry": SQUARES}))


def statistics(session, **named):
    from rasteret_sql.hosts.spark import scenes, zonal_stats_table

    found = zonal_stats_table(
        scenes(session, "guarded"), zones(session), "b", stats=["count", "sum"], geom_crs=32632, **named
    )
    return found.select("scene_id", "zone", "count", "sum")


def wanted():
    """The rows of `statistics`, as DuckDB has them of files on this disk."""
    con = rasteret_sql.connect()
    files = [(scene, str(TINY.parent / f"{scene}.tif")) for scene in SCENES]
    values = ", ".join(f"('{path}')" for _, path in files)
    squares = pa.table({"zone": range(len(SQUARES)), "geometry": SQUARES})
    names = {path: scene for scene, path in files}
    rows = con.sql(
        f"WITH files AS (SELECT * FROM (VALUES {values}) t(id)) SELECT scene_id, zone, count, sum FROM "
        "zonal_stats_table(files, squares, 1, stats := ['count', 'sum'], geom_crs := 32632)"
    ).fetchall()
    assert squares.num_rows == 3
    return sorted((names[row[0]], *row[1:]) for row in rows)


def in_order(rows):
    return sorted(tuple(row) for row in rows)


def test_a_backend_is_made_on_the_executors_and_no_key_is_shipped(spark, guarded, key, pickles):
    session = named_backend(spark, guarded, "mine")
    frame = statistics(session)
    assert in_order(frame.collect()) == wanted()
    call = f"zonal_stat('plain', 'b', '{SQUARES[0]}', 'mean', geom_crs => 32632)"
    scalar = session.sql(f"SELECT {call} AS mean")
    assert [row.mean for row in scalar.collect()] == [3.5]

    plans = [one._jdf.queryExecution().explainString(mode) for one in (frame, scalar) for mode in modes(session)]
    functions = [data for data in pickles if b"read_pairs" in data or b"zonal_stat" in data]
    # What is searched has what it should have: the name, and not the key.
    assert any(b"tests.hosts.spark.planted:backend" in data for data in functions)
    assert all("zonal_stat" in plan or "MapInArrow" in plan for plan in plans)
    assert not [data for data in pickles if KEY.encode() in data]
    assert not [plan for plan in plans if KEY in plan]
    assert KEY.encode() in pickled_backend(key)


def modes(session):
    mode = session._jvm.org.apache.spark.sql.execution.ExplainMode
    return [mode.fromString(name) for name in ("extended", "formatted")]


def pickled_backend(folder):
    """The pickle that would be shipped, if the backend were in it."""
    from pyspark.serializers import CloudPickleSerializer

    return CloudPickleSerializer().dumps(planted.Planted(folder, KEY))


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        ("tests.hosts.spark.planted:backends", "cannot call: module 'tests.hosts.spark.planted' has no attribute"),
        ("no_such_module:backend", "cannot call: No module named 'no_such_module'"),
        ("tests.hosts.spark.planted:nothing", "gave a value of type str; expected a backend"),
    ],
)
def test_a_backend_that_an_executor_cannot_make_is_named(spark, guarded, backend, says):
    from rasteret_sql.hosts.spark import register

    session = spark.newSession()
    register(session, workspace_dir=guarded, collections=["guarded"], backend="bad", backends={"bad": backend})
    with pytest.raises(Exception, match="InvalidArgumentError: ") as caught:
        session.sql(f"SELECT zonal_stat('plain', 'b', '{SQUARES[0]}', 'mean')").collect()
    assert "backend 'bad'" in str(caught.value)
    assert says in str(caught.value)


def test_without_the_key_an_error_names_the_scene(spark, guarded, executors_folder):
    (executors_folder / "KEY").write_text("another", encoding="utf-8")
    session = named_backend(spark, guarded, "keyless")
    with pytest.raises(Exception, match="AccessDeniedError: ") as caught:
        session.sql(f"SELECT zonal_stat('plain', 'b', '{SQUARES[0]}', 'mean', geom_crs => 32632)").collect()
    assert 'scene "plain"' in str(caught.value)
    assert "another" not in str(caught.value)


@pytest.mark.parametrize("trouble", ["fails", "dies"])
def test_a_task_that_is_tried_again_gives_no_row_twice(spark, guarded, key, trouble):
    session = named_backend(spark, guarded, trouble)
    planted_trouble = key / f"{trouble}-masked.tif"
    planted_trouble.touch()
    # One partition: rows of other scenes have left the process when it gets into trouble.
    assert in_order(statistics(session, partitions=1).collect()) == wanted()
    assert not planted_trouble.exists()
    assert planted_trouble.with_suffix(".had").exists()


def test_an_executor_without_network_names_scene_and_server(spark, tmp_path):
    from rasteret_sql.hosts.spark import register

    with RangeServer(TINY.parent) as server:
        place = server.url
        rasteret_sql.build_from_stac(name="remote", stac_api=catalog(tmp_path, f"{place}/"), workspace_dir=tmp_path)
    session = spark.newSession()
    register(session, workspace_dir=tmp_path, collections=["remote"], settings={"retries": 0, "connect_timeout": 5})
    with pytest.raises(Exception, match="Error: ") as caught:
        session.sql(f"SELECT zonal_stat('plain', 'b', '{SQUARES[0]}', 'mean', geom_crs => 32632)").collect()
    assert 'scene "plain"' in str(caught.value)
    assert f"{place}/plain.tif" in str(caught.value)
    rows = session.sql(
        f"SELECT zonal_stat('plain', 'b', '{SQUARES[0]}', 'mean', geom_crs => 32632, on_error => 'null') AS mean"
    ).collect()
    assert [row.mean for row in rows] == [None]


WITHOUT = """
import pickle, sys
run = pickle.loads(sys.stdin.buffer.read())
try:
    run()
except RuntimeError as error:
    print(error)
"""


def said_elsewhere(work, packages, tmp_path):
    """What a pickled function says in a Python that has these packages only."""
    from pyspark.serializers import CloudPickleSerializer

    for package in packages:
        (tmp_path / package.name).symlink_to(package)
    done = subprocess.run(
        [sys.executable, "-S", "-c", WITHOUT],
        input=CloudPickleSerializer().dumps(work),
        capture_output=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
    )
    return done.stdout.decode()


def test_an_executor_without_the_package_says_what_to_install(tmp_path):
    packages = [Path(pytest.importorskip(name).__file__).parent for name in ("pyspark", "py4j")]
    said = said_elsewhere(errand("scalar", function="zonal_stat"), packages, tmp_path)
    assert said.startswith(f"the Python of the executors ({sys.executable} on ")
    assert "cannot import rasteret_sql: No module named 'rasteret_sql'" in said
    assert f"Install the wheel rasteret-sql=={rasteret_sql.__version__} there" in said


def test_another_version_on_an_executor_is_named(monkeypatch):
    monkeypatch.setattr("rasteret_sql.hosts.spark.errand.__version__", "0.0.1")
    with pytest.raises(RuntimeError, match=r"and the driver has 0\.0\.1: install the same version in both"):
        errand("scalar")()


def test_the_garbage_collector_passes_over_modules_once_they_are_imported(monkeypatch):
    monkeypatch.setattr(executor, "_settled", {"modules": 0})
    before = gc.get_freeze_count()
    try:
        executor._settle()
        assert gc.get_freeze_count() > before + 10_000
        gc.unfreeze()
        executor._settle()  # there is nothing new
        assert gc.get_freeze_count() == 0
        monkeypatch.setitem(sys.modules, "imported_by_a_task", executor)
        executor._settle()
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


@pytest.mark.parametrize(("deterministic", "nodes"), [(False, 1), (True, 2)])
def test_a_call_in_a_filter_runs_once(spark, workspace, deterministic, nodes):
    from rasteret_sql.hosts.spark import register, scenes

    session = spark.newSession()
    register(session, workspace_dir=workspace, collections=["tiny"], deterministic=deterministic)
    scenes(session, "tiny").createOrReplaceTempView("tiny")
    frame = session.sql(
        f"SELECT id, mean FROM (SELECT id, zonal_stat(id, 'b', '{SQUARES[0]}', 'mean', geom_crs => 32632, "
        "on_error => 'null') AS mean FROM tiny) WHERE mean > 3"
    )
    plan = frame._jdf.queryExecution().executedPlan().toString()
    # Where Spark takes it for deterministic, it has a second node that runs it for what the filter lets through.
    assert plan.count("ArrowEvalPython") == nodes
    assert {"plain": 3.5, "masked": 4.0}.items() <= {row.id: row.mean for row in frame.collect()}.items()
