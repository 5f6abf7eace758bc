"""The functions through Spark Connect, in a process of its own, beside DuckDB."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rasteret_sql
from tests.hosts.hosting import CATALOG, ROOT
from tests.hosts.spark.conftest import missing
from tests.hosts.spark.over_connect import AREA

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("grpc") is None or bool(missing()), reason="pyspark[connect] or Java is not installed"
    ),
    pytest.mark.timeout(600),  # a server of its own is started, and compiles what it runs
]


@pytest.fixture(scope="module")
def connected(tmp_path_factory):
    """A connection to a workspace, and the answers that Spark Connect gives over it."""
    workspace = tmp_path_factory.mktemp("workspace")
    rasteret_sql.build_from_stac(
        name="year", stac_api=str(CATALOG), collection="landsat8-ny-2018", workspace_dir=workspace
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    environment |= {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    script = Path(__file__).with_name("over_connect.py")
    done = subprocess.run(
        [sys.executable, script, str(workspace)], capture_output=True, text=True, check=False, env=environment,
        timeout=560, cwd=tmp_path_factory.mktemp("server"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return rasteret_sql.connect(workspace_dir=workspace), json.loads(done.stdout.splitlines()[-1])


CALLS = {
    "zonal_stat": f"SELECT id, zonal_stat(id, 'blue', '{AREA}', 'mean', mask := 'red > 9000') FROM rasteret.year",
    "zonal_stats_table": "SELECT scene_id, band, zone, geometry, count, mean FROM "
    "zonal_stats_table(rasteret.year, zones, 'blue', stats := ['count', 'mean'])",
    "zonal_series": "SELECT zone, scenes, count, value FROM zonal_series(rasteret.year, zones, 'blue')",
    "read_mosaics": "SELECT zone, scenes, chip.width FROM read_mosaics(rasteret.year, zones, 'blue')",
    "read_pixels": f"SELECT count(*) FROM read_pixels(rasteret.year, 'blue', geom := '{AREA}')",
}


@pytest.mark.parametrize("call", CALLS)
def test_answers_are_those_of_duckdb(connected, call):
    con, answers = connected
    zones = f"WITH zones AS (SELECT 1 AS zone, '{AREA}' AS geometry) "
    wanted = con.sql(zones + CALLS[call]).fetchall()
    assert len(wanted) > 0
    assert sorted(map(repr, answers[call])) == sorted(repr(list(row)) for row in wanted)


def test_an_error_says_what_is_wrong(connected):
    said = connected[1]["unknown band"]
    assert 'zonal_stats_table: unknown band "bleu" in collection "year"' in said
