"""Measure the first run of examples/dbt, and a second with nothing new: `python -m tests.benchmarks.dbt_runs`.

The catalog and its images are behind 30 ms of latency. Each repetition is a new copy of the project. Beside both runs
stands a third project, whose models, tests and seed are as many, but plain SQL without the plugin: what dbt itself
takes. Given are medians: seconds and processor seconds of the process, seconds from the first model to the end of the
last, and requests.
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

from tests.benchmarks.child import environment
from tests.servers.range_server import ROOT, RangeServer

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=5, help="repetitions (5)")
    parser.add_argument("--latency-ms", type=float, default=30, help="of each request (30)")
    given = parser.parse_args()
    measured: dict[str, list[tuple[float, ...]]] = {name: [] for name in ("first", "second", "plain")}
    with tempfile.TemporaryDirectory() as work, RangeServer(ROOT / "examples" / "data", given.latency_ms) as server:
        for number in range(given.reps):
            projects = [
                Path(shutil.copytree(ROOT / "examples" / "dbt", f"{work}/{n}-{number}")) for n in ("ours", "plain")
            ]
            make_plain(projects[1])
            run(projects[1], server.url)  # as the first: what is measured has parsed the project before
            for name, project in (("first", projects[0]), ("second", projects[0]), ("plain", projects[1])):
                server.reset()
                one = run(project, f"{server.url}/catalog/catalog.json")
                measured[name].append((*one, server.counts()["requests"]))
    print(f"{'run':8}{'seconds':>10}{'CPU':>8}{'models':>10}{'requests':>10}")
    for name, rows in measured.items():
        seconds, processor, models, requests = (median(column) for column in zip(*rows, strict=True))
        print(f"{name:8}{seconds:10.2f}{processor:8.2f}{models:10.2f}{requests:10.0f}")


if __name__ == "__main__":
    main()
