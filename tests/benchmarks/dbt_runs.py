"""Measure the first run of a dbt project, and a second with nothing new: `python -m tests.benchmarks.dbt_runs`.

Two projects: the example, which is small; and one of realistic size, 300 scenes and 5,000 fields unless `--scenes` and
`--fields` say else, whose models are incremental by datetime. Catalog and images are behind 30 ms of latency. Each
repetition is a new copy of a project. Beside the example stands a third project, whose models, tests and seed are as
many, but plain SQL without the plugin: what dbt itself takes. Given are medians: seconds and processor seconds of the
process, seconds from the first model to the end of the last, and requests. A second run that sends a request is an
error.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median

import duckdb

from tests.benchmarks.child import environment
from tests.benchmarks.dbt_fields import make_project, serve_scenes
from tests.servers.range_server import ROOT, RangeServer

OWNERS = ("ours", "plain")
PLAIN = {
    "stg_scenes.sql": "{{ config(materialized='ephemeral') }} "
    "SELECT 'a' || i AS id, TIMESTAMP '2017-01-01' AS datetime FROM range(68) r(i)",
    "ndvi_series.sql": "{{ config(materialized='incremental', unique_key='id') }} SELECT * "
    "FROM {{ ref('stg_scenes') }}"
    "{% if is_incremental() %} WHERE id NOT IN (SELECT id FROM {{ this }}){% endif %}",
    "field_ndvi.sql": "{{ config(materialized='incremental', unique_key=['scene_id', 'field']) }}"
    "SELECT id AS scene_id, field, 1 AS ndvi FROM {{ ref('stg_scenes') }}, {{ ref('fields') }}"
    "{% if is_incremental() %} WHERE id NOT IN (SELECT scene_id FROM {{ this }}){% endif %}",
    "scenes_by_year.sql": "SELECT year(datetime) AS year FROM {{ ref('stg_scenes') }} GROUP BY ALL",
    "patchiness.py": "def model(dbt, session):\n"
    "    dbt.config(materialized='incremental', unique_key='field')\n"
    "    return dbt.ref('fields').select('field, field AS id').to_arrow_table()\n",
}
"""Models in place of the project's own."""


def make_plain(project: Path) -> None:
    """Make a project of as many nodes that has nothing of ours."""
    for path in sorted((project / "models").rglob("*.*")):
        if path.name in PLAIN:
            path.write_text(PLAIN[path.name])
    (project / "models" / "sources.yml").write_text(
        "sources: [{name: plain, schema: main, config: {meta: {external_location: '(FROM range(3) r(n))'}}, "
        "tables: [{name: numbers, columns: [{name: n, data_tests: [unique, not_null]}]},"
        " {name: others, columns: [{name: n, data_tests: [not_null]}]}]}]\n"
    )
    profile = (project / "profiles.yml").read_text()
    (project / "profiles.yml").write_text(profile.partition("      plugins:")[0])


def run(project: Path, catalog: str) -> tuple[float, float, float]:
    """Build the project: seconds and processor seconds of the process, seconds of its models and tests."""
    command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", "--quiet", "build", "--profiles-dir", "."]
    command += ["--vars", json.dumps({"catalog": catalog})]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=project, env=environment(DBT_SEND_ANONYMOUS_USAGE_STATS="false"))
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"dbt ended with {process.returncode}")
    results = json.loads((project / "target" / "run_results.json").read_text())["results"]
    times = [
        datetime.fromisoformat(part[end]) for one in results for part in one["timing"] for end in part if end != "name"
    ]
    return seconds, used.ru_utime + used.ru_stime, (max(times) - min(times)).total_seconds()


def run_example(work: Path, reps: int, latency_ms: float) -> dict[str, list[tuple[float, ...]]]:
    """Figures of the example project, and of plain SQL."""
    measured: dict[str, list[tuple[float, ...]]] = {name: [] for name in ("first", "second", "plain")}
    with RangeServer(ROOT / "examples" / "data", latency_ms) as server:
        for number in range(reps):
            projects = [Path(shutil.copytree(ROOT / "examples" / "dbt", work / f"{n}-{number}")) for n in OWNERS]
            make_plain(projects[1])
            run(projects[1], server.url)  # as the first: what is measured has parsed the project before
            for name, project in (("first", projects[0]), ("second", projects[0]), ("plain", projects[1])):
                server.reset()
                one = run(project, f"{server.url}/catalog/catalog.json")
                measured[name].append((*one, server.counts()["requests"]))
    return measured


def run_fields(
    work: Path, reps: int, latency_ms: float, *, scenes: int, fields: int
) -> dict[str, list[tuple[float, ...]]]:
    """Figures of the project of realistic size."""
    measured: dict[str, list[tuple[float, ...]]] = {name: [] for name in ("first", "second")}
    served = work / "served"
    served.mkdir()
    catalog = serve_scenes(served, scenes)
    with RangeServer(served, latency_ms) as server:
        for number in range(reps):
            project = make_project(work / f"fields-{number}", fields)
            rows = []
            for figures in measured.values():
                server.reset()
                one = run(project, f"{server.url}/{catalog}")
                figures.append((*one, server.counts()["requests"]))
                rows.append(_rows(project))
            if rows[0] != rows[1] or rows[0][0] == 0:
                raise SystemExit(f"the second run changed what there was: rows {rows}")
    return measured


def _rows(project: Path) -> tuple[int, ...]:
    with duckdb.connect(project / "fields.duckdb", read_only=True) as con:
        return tuple(con.table(name).shape[0] for name in ("field_values", "station_values", "field_days"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=5, help="repetitions (5)")
    parser.add_argument("--latency-ms", type=float, default=30, help="of each request (30)")
    parser.add_argument("--scenes", type=int, default=300, help="of the project of realistic size (300)")
    parser.add_argument("--fields", type=int, default=5000, help="of the same (5,000)")
    parser.add_argument("--project", choices=("example", "fields"), help="one alone")
    given = parser.parse_args()
    print(f"{'run':16}{'seconds':>10}{'CPU':>8}{'models':>10}{'requests':>10}")
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        if given.project != "fields":
            show("example", run_example(work, given.reps, given.latency_ms))
        if given.project != "example":
            show("fields", run_fields(work, given.reps, given.latency_ms, scenes=given.scenes, fields=given.fields))


def show(project: str, measured: dict[str, list[tuple[float, ...]]]) -> None:
    """Print medians."""
    for name, rows in measured.items():
        seconds, processor, models, requests = (median(column) for column in zip(*rows, strict=True))
        print(f"{project + ' ' + name:16}{seconds:10.2f}{processor:8.2f}{models:10.2f}{requests:10.0f}", flush=True)
    if any(row[-1] for row in measured["second"]):
        raise SystemExit(f"a second run of {project} sent requests")


if __name__ == "__main__":
    main()
