"""The example dbt project, run by the real dbt in a process of its own."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.features import geometry_mask
from shapely import from_wkt, transform

import rasteret_sql
from tests.hosts.hosting import CATALOG, DATA, ROOT, build
from tests.servers.range_server import RangeServer

pytest.importorskip("dbt.adapters.duckdb", reason="dbt-duckdb is not installed (extra `dbt`)")

GONE = """
      - name: gone
        config:
          meta:
            rasteret: {stac_api: nowhere/catalog.json, collection: c}
  - {name: here, database: rasteret, schema: main, tables: [{name: slovenia}]}
  - name: copied
    schema: main
    config: {meta: {plugin: rasteret}}
    tables:
      - name: meadows
        config: {meta: {rasteret: {stac_api: '{{ var("catalog") }}', collection: sentinel2-eopatch-slovenia}}}
"""
FIELD = "POLYGON ((465400 5079400, 465900 5079400, 465900 5079900, 465400 5079900, 465400 5079400))"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "dbt", tmp_path / "project"))


def dbt(project: Path, *commands: list[str], catalog: str = str(CATALOG)) -> list[tuple[bool, str]]:
    """Run commands of dbt in the project's folder, as a user would, but in one process, and with warnings as errors.

    Returns:
        For each: whether it ended well, and what it said.
    """
    program = textwrap.dedent("""
        import contextlib, io, json, sys
        from dbt.cli.main import dbtRunner
        for command in json.loads(sys.argv[1]):
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                done = dbtRunner().invoke(command)
            print(json.dumps([done.success, said.getvalue()]))
    """)
    common = ["--warn-error", "--no-use-colors"]
    given = [[*common, *one, "--profiles-dir", "."] for one in commands]
    for one in given:
        variables = json.loads(one.pop(one.index("--vars") + 1)) if "--vars" in one else {}
        one[:] = [word for word in one if word != "--vars"]
        one += ["--vars", json.dumps({"catalog": catalog} | variables)]
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(given)],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1", "HOME": str(project)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def rows(project: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(project / "vegetation.duckdb"), read_only=True) as con:
        return con.execute(query).fetchall()


def patchiness() -> list[tuple]:
    """The rows of the Python model, of whole images that rasterio read."""
    with (ROOT / "examples" / "dbt" / "seeds" / "fields.csv").open() as file:
        fields = [(int(row["field"]), from_wkt(row["wkt"])) for row in csv.DictReader(file)]
    expected = []
    for item in sorted(CATALOG.parent.glob("sentinel2-eopatch-slovenia/*/*.json")):
        assets = {name: asset["href"] for name, asset in json.loads(item.read_text())["assets"].items()}
        with rasterio.open(item.parent / assets["ndvi"]) as ndvi, rasterio.open(item.parent / assets["clm"]) as clouds:
            for field, polygon in fields:
                placed = transform(
                    polygon, Transformer.from_crs(4326, ndvi.crs, always_xy=True).transform, interleaved=False
                )
                inside = geometry_mask([placed], ndvi.shape, ndvi.transform, invert=True)
                valid = inside & (clouds.read(1) != 1) & ndvi.read_masks(1).astype(bool)
                pixels = np.where(valid, ndvi.read(1), np.nan)
                steps = np.concatenate([np.diff(pixels, axis=axis).ravel() for axis in (0, 1)])
                steps = np.abs(steps[np.isfinite(steps)])
                expected.append(
                    (item.stem, field, int(valid.sum()), round(float(steps.mean()), 9) if steps.size else None)
                )
    return expected


@pytest.mark.exhaustive
def test_a_second_run_asks_no_server_and_docs_have_the_columns_of_sources(project):
    with RangeServer(DATA) as server:
        catalog = f"{server.url}/catalog/catalog.json"
        ((ended_well, said),) = dbt(project, ["build"], catalog=catalog)
        assert ended_well, said
        assert server.counts()["requests"] > 68
        server.reset()
        # In a process of its own: the views of collections were not opened there.
        ((ended_well, said),) = dbt(project, ["docs", "generate"], catalog=catalog)
        assert ended_well, said
        ((ended_well, said),) = dbt(project, ["build"], catalog=catalog)
        assert ended_well, said
        assert "PASS=14 WARN=0 ERROR=0" in said
        assert server.counts()["requests"] == 0
    (source,) = json.loads((project / "target" / "catalog.json").read_text())["sources"].values()
    with rasteret_sql.connect(workspace_dir=project / "workspace") as con:
        described = con.execute("DESCRIBE rasteret.slovenia").fetchall()
    assert [(name, one["type"]) for name, one in source["columns"].items()] == [row[:2] for row in described]
    assert len(described) > 10


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
    series = "SELECT id, datetime, ndvi, pixels FROM ndvi_series WHERE ndvi IS NOT NULL ORDER BY id"

    until_2017 = ["--vars", json.dumps({"before": "2017-01-01"})]
    (first,) = dbt(project, ["build", *until_2017])
    assert first[0], first[1]
    assert rows(project, series) == [row for row in expected if row[1].year < 2017]
    until = "SELECT count(DISTINCT scene_id), max(datetime) < '2017-01-01' FROM field_ndvi"
    assert rows(project, until) == [(32, True)]

    # Again, with sources that are there already, that the plugin copies, and that cannot be built.
    sources = project / "models" / "sources.yml"
    sources.write_text(sources.read_text() + GONE)
    for name, source in (("of_gone", "'collections', 'gone'"), ("of_copy", "'copied', 'meadows'")):
        (project / "models" / f"{name}.sql").write_text(f"SELECT count(*) AS n FROM {{{{ source({source}) }}}}")
    (project / "models" / "in_place.sql").write_text("SELECT count(*) AS n FROM {{ source('here', 'slovenia') }}")
    append = ["run-operation", "append_scenes", "--args", "{name: slovenia}"]
    (_, said), (ended_well, appended) = dbt(project, ["build"], append)
    assert "PASS=16 WARN=0 ERROR=1" in said
    assert "rasteret_source: there is no file" in said
    assert ended_well
    assert "('added', 0)" in appended
    assert rows(project, "FROM of_copy, in_place") == [(68, 68)]
    assert rows(project, series) == expected
    fields = project / "fields.parquet"
    con.execute(f"COPY (FROM '{project / 'seeds' / 'fields.csv'}') TO '{fields}'")
    call = f"zonal_stats_table(rasteret.s, '{fields}', 'ndvi', mask := 'clm = 1')"
    measured = con.execute(f"SELECT scene_id, field, mean, count FROM {call} ORDER BY ALL").fetchall()
    assert rows(project, "SELECT scene_id, field, ndvi, pixels FROM field_ndvi ORDER BY ALL") == measured
    assert rows(project, "FROM scenes_by_year") == [(2015, 11, 11), (2016, 21, 21), (2017, 36, 36)]

    assert rows(project, "SELECT id, field, pixels, round(step, 9) FROM patchiness ORDER BY ALL") == patchiness()

    # Nothing is left behind in the database but the models.
    ours = "WHERE database_name = 'vegetation' AND NOT internal"
    assert rows(project, f"SELECT view_name FROM duckdb_views() {ours}") == []
    assert rows(project, f"SELECT function_name FROM duckdb_functions() {ours}") == []
