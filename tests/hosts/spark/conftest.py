"""A Spark session over two executors for all tests of Spark, which need the extra `spark` and Java."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rasteret_sql
from tests.hosts.hosting import ROOT
from tests.hosts.spark.planted import FOLDER

TINY = ROOT / "tests" / "sql" / "data" / "tiny.json"
MASTER = os.environ.get("RASTERET_TESTS_SPARK_MASTER", "local-cluster[2,1,2048]")
"""Where the tests of Spark run: two executors with a process of their own each, unless another place is said."""


_SHORT_RUNS = "-XX:TieredStopAtLevel=1"


def pytest_collection_modifyitems(items):
    # Of what Spark and Java do; all others are errors.
    for item in items:
        if "hosts/spark" in item.path.as_posix():
            for kind in ("FutureWarning", "ResourceWarning", "DeprecationWarning", "PendingDeprecationWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))


def missing() -> str:
    """Why there can be no Spark here; empty where there can be."""
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed (extra `spark`)"
    java = Path(os.environ["JAVA_HOME"]) / "bin" / "java" if "JAVA_HOME" in os.environ else shutil.which("java")
    if java is None or subprocess.run([java, "-version"], capture_output=True, check=False).returncode:
        return "Java is not installed: Spark needs 17 or 21 (openjdk-17-jre-headless)"
    return ""


@pytest.fixture(scope="session")
def executors_folder(tmp_path_factory):
    """A folder that executors know, for tests that plant something there (`planted.py`)."""
    return tmp_path_factory.mktemp("executors")


@pytest.fixture(scope="session")
def spark(tmp_path_factory, executors_folder):
    """The session."""
    why = missing()
    if why:
        pytest.skip(why)
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv(FOLDER, str(executors_folder))
        settings = {
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.executor.memory": "1g",
            # Of statements that run once, to compile them better takes longer than it saves.
            "spark.driver.extraJavaOptions": _SHORT_RUNS,
            "spark.executor.extraJavaOptions": _SHORT_RUNS,
            "spark.executorEnv.PYTHONPATH": str(ROOT),
            f"spark.executorEnv.{FOLDER}": str(executors_folder),
            "spark.local.dir": str(folder / "local"),
            "spark.task.maxFailures": "2",  # a task that fails is tried once more
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": "4",
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
        builder = SparkSession.builder.master(MASTER).appName("tests")
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
        yield session
        session.stop()


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    """A workspace with the collection `tiny`."""
    folder = tmp_path_factory.mktemp("workspace")
    rasteret_sql.build_from_stac(name="tiny", stac_api=str(TINY), collection="tiny", workspace_dir=folder)
    return folder


@pytest.fixture
def functions(spark, workspace):
    """The session with the functions, for which `tiny` is open."""
    from rasteret_sql.hosts.spark import register

    register(spark, workspace_dir=workspace, collections=["tiny"])
    return spark
