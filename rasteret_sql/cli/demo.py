"""`rasteret-sql demo`: goes from a STAC catalog to pixels, on the real scenes that come with the package."""

from __future__ import annotations

import argparse
import shlex
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from rasteret_sql.cli.contact_sheet import contact_sheet
from rasteret_sql.cli.open_runner import open_runner
from rasteret_sql.cli.output import Output
from rasteret_sql.cli.runner import Runner
from rasteret_sql.cli.statements import split_statements
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.library.example_data import CATALOG, example_data_dir

SHEET = "contact_sheet.png"
COLUMNS = 8
"""Pictures in a row of the sheet."""


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the demo: what it is about, and the SQL that does it."""

    title: str
    about: str
    sql: str


STEPS = (
    Step(
        "Build collections from a STAC catalog",
        "One row per scene, with the header of every band's file: later reads go straight to the bytes they need.",
        """
        FROM rasteret_build_from_stac('ndvi', getvariable('catalog'), 'sentinel2-eopatch-slovenia',
          force := true);
        FROM rasteret_build_from_stac('ny', getvariable('catalog'), 'landsat8-ny-2018', force := true);
        FROM rasteret_build_from_stac('naip', getvariable('catalog'), 'naip', force := true);
        FROM rasteret_build_from_stac('sahara', getvariable('catalog'), 'sentinel-s2-l2a-cogs', force := true);

        SELECT name, size AS scenes, date_start::DATE AS first, date_end::DATE AS last, bands
        FROM rasteret_collections();
        """,
    ),
    Step(
        "A vegetation series over polygons",
        "NDVI of a meadow and a forest in Slovenia, month by month, without scenes cloudy there. Near 0 is snow.",
        """
        CREATE TABLE field AS FROM (VALUES
          ('meadow', 'POLYGON ((14.5594 45.8717, 14.5605 45.8717, 14.5608 45.8711, 14.5605 45.8700,
                                14.5595 45.8702, 14.5592 45.8710, 14.5594 45.8717))'),
          ('forest', 'POLYGON ((14.5519 45.8690, 14.5540 45.8694, 14.5547 45.8683, 14.5535 45.8676,
                                14.5520 45.8680, 14.5519 45.8690))')
        ) AS t(name, geom);

        WITH clear AS (
          SELECT datetime, name, zonal_stat(id, 'ndvi', geom, 'mean') AS ndvi
          FROM rasteret.ndvi, field
          WHERE zonal_stat(id, 'clm', geom, 'mean') < 0.1)  -- clm is the cloud mask, 1 = cloud
        SELECT strftime(datetime, '%Y-%m') AS month, count(DISTINCT datetime) AS scenes,
          avg(ndvi) FILTER (name = 'meadow')::DECIMAL(4, 3) AS meadow,
          bar(avg(ndvi) FILTER (name = 'meadow'), 0, 1, 20) AS "0 .. 1",
          avg(ndvi) FILTER (name = 'forest')::DECIMAL(4, 3) AS forest,
          bar(avg(ndvi) FILTER (name = 'forest'), 0, 1, 20) AS "0 .. 1"
        FROM clear GROUP BY month ORDER BY month;
        """,
    ),
    Step(
        "A zonal table",
        "Landsat 8 around New York in 2018: mean of three bands in three zones, on days with few clouds.",
        """
        CREATE TABLE zone AS FROM (VALUES
          ('Atlantic', 'POLYGON ((-73.4 39.9, -72.9 39.9, -72.9 40.3, -73.4 40.3, -73.4 39.9))'),
          ('Long Island', 'POLYGON ((-73.3 40.76, -72.7 40.82, -72.7 40.93, -73.3 40.9, -73.3 40.76))'),
          ('Pine Barrens', 'POLYGON ((-74.7 39.6, -74.4 39.6, -74.4 39.95, -74.7 39.95, -74.7 39.6))')
        ) AS t(name, geom);

        SELECT datetime::DATE AS day, name AS zone, nir.count::INT AS pixels,
          red.mean::INT AS red, nir.mean::INT AS nir, swir.mean::INT AS swir,
          ((nir.mean - red.mean) / (nir.mean + red.mean))::DECIMAL(3, 2) AS ndvi
        FROM (SELECT datetime, name, zonal_stats(id, 'red', geom) AS red,
                zonal_stats(id, 'nir08', geom) AS nir, zonal_stats(id, 'swir16', geom) AS swir
              FROM rasteret.ny, zone WHERE "eo:cloud_cover" < 15)
        WHERE nir.min > 0  -- the whole zone is in the scene
        ORDER BY day, zone;
        """,
    ),
    Step(
        "A point table",
        "Aerial photographs (NAIP), four bands in one file: the pixel in the middle of each.",
        """
        WITH place AS (
          SELECT id, datetime, (bbox.xmin + bbox.xmax) / 2 AS lon, (bbox.ymin + bbox.ymax) / 2 AS lat,
            'POINT (' || lon || ' ' || lat || ')' AS geom
          FROM rasteret.naip)
        SELECT left(id, 24) AS scene, datetime::DATE AS day, round(lon, 4) AS lon, round(lat, 4) AS lat,
          sample_point(id, 'Red', geom)::INT AS red, sample_point(id, 'Green', geom)::INT AS green,
          sample_point(id, 'Blue', geom)::INT AS blue, sample_point(id, 'NIR', geom)::INT AS nir
        FROM place ORDER BY lon;
        """,
    ),
    Step(
        "What a read costs, before it is done",
        "A Sentinel-2 scene has overviews: the same area at coarser levels takes fewer bytes.",
        """
        SELECT level, e.width, e.height, e.tiles, e.requests, e.bytes
        FROM (SELECT level, rasteret_explain(id, 'B04', overview := level) AS e
              FROM rasteret.sahara, unnest([0, 1, 2]) AS t(level))
        ORDER BY level;
        """,
    ),
)

PICTURES = """
SELECT datetime::DATE AS day,
  chip_png(read_chip(id, 'ndvi'), vmin := 0, vmax := 0.9, colormap := 'viridis') AS picture
FROM rasteret.ndvi
WHERE "eo:cloud_cover" < 5
ORDER BY datetime;
"""


def main(arguments: Sequence[str]) -> int:
    """Run the demo; gives its exit code."""
    parser = argparse.ArgumentParser(prog="rasteret-sql demo", description=__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="another copy of the example data")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", default=Path("rasteret-demo"), help="where its files go (./rasteret-demo)"
    )
    parser.add_argument("--no-progress", action="store_true", help="draw no progress bars")
    given = parser.parse_args(list(arguments))
    data = example_data_dir() if given.data is None else given.data
    if not (data / CATALOG).is_file():
        raise InvalidArgumentError(f"{data} holds no {CATALOG}: --data takes a copy of the folder examples/data")
    _make_folder(given.output)
    workspace = given.output / "workspace"
    output = Output()
    with open_runner(output, workspace=workspace, progress=not given.no_progress) as runner:
        start = time.perf_counter()
        catalog = exp.Literal.string(str((data / CATALOG).resolve())).sql(dialect="duckdb")
        output.text("The SQL below is all that runs; paste any of it into rasteret-sql.")
        _run(runner, f"SET VARIABLE catalog = {catalog};")
        for number, step in enumerate(STEPS, 1):
            output.text(f"\n== {number}. {step.title}\n{step.about}\n")
            _run(runner, step.sql)
        _sheet(runner, len(STEPS) + 1, given.output / SHEET)
        seconds = time.perf_counter() - start
    output.text(_farewell(seconds, workspace))
    return 0


def _make_folder(folder: Path) -> None:
    """Make the folder for what the demo writes, and see that it can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise InvalidArgumentError(
            f"the demo cannot write to {folder.resolve()}: {error.strerror}; name another folder with --output DIR"
        ) from error


def _run(runner: Runner, sql: str) -> None:
    """Show statements and run them; the scenes that a build gives are left for the reader to ask for."""
    for statement in split_statements(textwrap.dedent(sql)):
        runner.output.text(textwrap.indent(f"{statement.text};", "    "))
        if statement.text.startswith("FROM rasteret_build"):
            runner.fetch(statement.text)
            continue
        if statement.text.startswith(("SELECT", "WITH")):
            runner.output.text("")
        runner.run(statement)


def _sheet(runner: Runner, number: int, path: Path) -> None:
    runner.output.text(f"\n== {number}. Pictures\nNDVI of the clear days, from dark (none) to bright (dense).\n")
    runner.output.text(textwrap.indent(PICTURES.strip(), "    "))
    rows = runner.fetch(PICTURES)
    path.write_bytes(contact_sheet([picture for _, picture in rows], columns=COLUMNS, scale=2))
    days = [str(day) for day, _ in rows]
    lines = ["  ".join(days[start : start + COLUMNS]) for start in range(0, len(days), COLUMNS)]
    runner.output.text(f"\n{len(rows)} pictures in {path}, placed as their days here:\n")
    runner.output.text(textwrap.indent("\n".join(lines), "    "))


def _farewell(seconds: float, workspace: Path) -> str:
    here = shlex.quote(str(workspace))
    return f"""
Done in {seconds:.1f} s. Go on with these collections:

    rasteret-sql --workspace {here}
    rasteret-sql --workspace {here} -c "SELECT read_chip(id, 'pan') FROM rasteret.ny"

In the shell, .functions lists what there is, .help the rest. FROM rasteret_datasets() lists public datasets;
with a network, this indexes one of them:

    FROM rasteret_build('earthsearch/sentinel-2-l2a', name := 'bay', bbox := [-122.5, 37.6, -122.3, 37.8],
      date_range := ['2024-06-01', '2024-06-30']);"""  # noqa: S608 - for reading, not for running
