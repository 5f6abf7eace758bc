"""Runs the `.test` files of SQL on Spark, too: all but those that say at their beginning why not.

A file that does so begins with a line `# not on Spark: WHY`, maybe after `# exhaustive`. Every other file is run here,
so a new one is run or says why not. In a file that is run, `skipif spark WHY` leaves a statement out.
"""

from __future__ import annotations

import pytest

from tests.hosts.hosting import DATA, ROOT
from tests.servers.range_server import RangeServer
from tests.sql_runner import Host, parse, run_file

FOLDER = ROOT / "tests" / "sql"
NOT_HERE = "# not on Spark:"
"""Begins the line that says why a file is not run."""


def reason(path):
    """Why a file is not run on Spark; None where it is."""
    for line in path.read_text(encoding="utf-8").split("\n")[:2]:
        if line.startswith(NOT_HERE):
            return line.removeprefix(NOT_HERE).strip()
    return None


FILES = sorted(FOLDER.rglob("*.test"))
PORTABLE = [path for path in FILES if reason(path) is None]


def name(path):
    return path.relative_to(FOLDER).with_suffix("").as_posix()


def test_a_file_that_is_not_run_says_why():
    told = {name(path): reason(path) for path in FILES if path not in PORTABLE}
    assert len(told) + len(PORTABLE) == len(FILES)
    assert not [file for file, why in told.items() if len(why.split()) < 3]


@pytest.mark.parametrize("path", PORTABLE, ids=name)
def test_most_of_a_file_that_is_run_is_not_left_out(path):
    records = [record for record in parse(path, path.read_text(encoding="utf-8")) if record.kind in {"query", "error"}]
    run = [record for record in records if ("skipif", "spark") not in record.conditions]
    assert len(run) > len(records) / 2


@pytest.mark.filterwarnings("ignore:.*neither files nor item say the CRS:RuntimeWarning")
@pytest.mark.parametrize("path", PORTABLE, ids=name)
def test_sql_file_on_spark(path, spark, tmp_path):
    from tests.hosts.spark.spark_sql import SparkSql

    with RangeServer(DATA) as server:
        host = Host(
            connect=lambda: SparkSql(spark, tmp_path / "workspace"),
            variables={
                "DATA": str(DATA),
                "TINY": str(FOLDER / "data"),
                "TMP": str(tmp_path),
                "SERVER": server.url,
            },
            spark=True,
        )
        assert run_file(path, host) > 1
