"""The example dbt project, run by the real dbt in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import rasteret_sql
from tests.hosts.hosting import CATALOG, ROOT, build

pytest.importorskip("dbt.adapters.duckdb", reason="dbt-duckdb is not installed (extra `dbt`)")

FIELD = "POLYGON ((465400 5079400, 465900 5079400, 465900 5079900, 465400 5079900, 465400 5079400))"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "dbt", tmp_path / "project"))


def dbt(project: Path, *arguments: str, **variables: str) -> str:
    """Run dbt as a user would in the project's folder; it must end well."""
    given = json.dumps({"catalog": str(CATALOG)} | variables)
    program = "import sys; from dbt.cli.main import cli; cli(sys.argv[1:])"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            "--no-use-colors",
            *arguments,
            "--profiles-dir",
            ".",
            "--vars",
            given,
        ],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1", "HOME": str(project)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nanobind" not in done.stderr
    return done.stdout


def rows(project: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(project / "vegetation.duckdb"), read_only=True) as con:
        return con.execute(query).fetchall()


@pytest.mark.exhaustive  # tests/test_readme.py runs dbt once
def test_the_example_runs_twice_and_gives_the_numbers_of_a_connection(project, tmp_path):
    con = rasteret_sql.connect(workspace_dir=tmp_path / "workspace")
    con.execute(build("s", "sentinel2-eopatch-slovenia")).fetchall()
    call = f"zonal_stats(id, '%s', '{FIELD}', geom_crs := 32633)"
    expected = con.execute(
        f"SELECT id, datetime, {call % 'ndvi'}.mean, {call % 'ndvi'}.count FROM rasteret.s "
        f"WHERE {call % 'clm'}.mean < 0.1 ORDER BY id"
    ).fetchall()
    assert 20 < len(expected) < 68
    series = "SELECT id, datetime, ndvi, pixels FROM ndvi_series ORDER BY id"

    dbt(project, "run", "--select", "ndvi_series", before="2017-01-01")
    first = rows(project, series)
    assert first == [row for row in expected if row[1].year < 2017]
    dbt(project, "run", "--select", "ndvi_series")
    assert rows(project, series) == expected

    # Nothing is left behind in the database but the models.
    ours = "WHERE database_name = 'vegetation' AND NOT internal"
    assert rows(project, f"SELECT view_name FROM duckdb_views() {ours}") == []
    assert rows(project, f"SELECT function_name FROM duckdb_functions() {ours}") == []

    dbt(project, "run", "--select", "scenes_by_year")
    assert rows(project, "FROM scenes_by_year") == [(2015, 11, 11), (2016, 21, 21), (2017, 36, 36)]
