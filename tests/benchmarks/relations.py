"""Measure calls over relations beside peers, and how their cost grows: `python -m tests.benchmarks.relations --reps 5`.

Nine local scenes of 4096 × 4096 pixels of one grid, band B04. Each repetition is a new process; the engines of a work
take turns, and their answers must agree. Prints a Markdown table of medians: seconds of the call alone (what was made
before, tables of zones and collections, is not counted), and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import rasterio
import shapely
from pyproj import Transformer

import rasteret_sql
from tests.benchmarks.child import ROOT, environment
from tests.benchmarks.world import ORIGINS, PIXEL, SIZE, World, ensure_world

SCENES = 9
EPSG = 32632
Answer = tuple[float, float, float] | tuple[float, float, float, float]
"""Seconds, number of rows, a sum by which answers are compared; processor seconds, where they are known."""


def octagons(count: int) -> npt.NDArray[np.object_]:
    """Zones of 60 to 300 m across, anywhere on the scenes."""
    rng = np.random.default_rng(count)
    radius = rng.uniform(30, 150, (count, 1))
    centre = _places(rng, count, 200)
    angle = np.arange(8) * np.pi / 4
    x, y = centre[:, :1] + radius * np.cos(angle), centre[:, 1:] + radius * np.sin(angle)
    return shapely.polygons(np.stack([x, y], -1))


def _places(rng: np.random.Generator, count: int, margin: float) -> npt.NDArray[np.float64]:
    west, north = ORIGINS[EPSG]
    side = SIZE * PIXEL
    x, y = rng.uniform(margin, side - margin, (2, count))
    return np.column_stack([west + x, north - y])


def scene_files(world: World, scenes: int) -> list[Path]:
    return [world.file(scene, "B04") for scene in world.scenes if scene.epsg == EPSG][:scenes]


def connected(world: World, workspace: Path, scenes: int):
    """A connection with a view `s` of so many scenes; those beyond the nine are links to their files."""
    catalog = f"'{world.directory}/catalog.json', 'benchmark'"
    if scenes > SCENES:
        catalog = f"'{linked(world, workspace / 'links', scenes)}'"
    con = rasteret_sql.connect(workspace_dir=workspace)
    con.execute(f"FROM rasteret_build_from_stac('b', {catalog})").fetchall()
    con.execute(
        f'CREATE VIEW s AS FROM rasteret.b WHERE "proj:epsg" = {EPSG} '
        f'AND id IN (SELECT id FROM rasteret.b WHERE "proj:epsg" = {EPSG} ORDER BY id LIMIT {scenes})'
    )
    return con


def linked(world: World, directory: Path, scenes: int) -> Path:
    """Items of so many scenes, each with a file of its own name: tiles are known by it, and each is decoded."""
    directory.mkdir()
    files = scene_files(world, SCENES)
    items = []
    for number in range(scenes):
        (directory / f"{number}.tif").symlink_to(files[number % len(files)])
        place = [11.9, 47.0]
        items.append(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": f"S{number:04d}", "links": [],
                "geometry": {"type": "Point", "coordinates": place}, "bbox": [*place, *place],
                "properties": {"datetime": f"2024-01-01T{number // 60:02d}:{number % 60:02d}:00Z", "proj:epsg": EPSG},
                "assets": {"B04": {"href": f"{number}.tif", "type": "image/tiff"}},
            }
        )  # fmt: skip
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return directory / "items.json"


def register(con, name: str, geometries: npt.NDArray[np.object_]) -> None:
    con.register("given", pa.table({"n": np.arange(len(geometries)), "geom": shapely.to_wkb(geometries)}))
    con.execute(f"CREATE TABLE {name} AS FROM given")


def register_points(con, name: str, xy: npt.NDArray[np.float64]) -> None:
    """A table of points; their WKB is written by numpy, which leaves no objects in the memory that is measured."""
    wkb = np.zeros(len(xy), [("order", "u1"), ("kind", "<u4"), ("xy", "<f8", 2)])
    wkb["order"], wkb["kind"], wkb["xy"] = 1, 1, xy
    size = wkb.dtype.itemsize
    given = pa.Array.from_buffers(pa.binary(size), len(wkb), [None, pa.py_buffer(wkb.tobytes())])
    con.register("given", pa.table({"n": np.arange(len(wkb)), "geom": given.cast(pa.binary())}))
    con.execute(f"CREATE TABLE {name} AS FROM given")


def answer(con, query: str) -> Answer:
    begun, worked = time.perf_counter(), time.process_time()
    rows, total = con.execute(query).fetchone()
    return time.perf_counter() - begun, rows, total, time.process_time() - worked


def zones_by_table(world: World, workspace: Path, count: int, scenes: int, options: str) -> Answer:
    con = connected(world, workspace, scenes)
    register(con, "z", octagons(count))
    return answer(
        con,
        f"SELECT count(*), sum(mean) FROM zonal_stats_table(s, z, 'B04', geom_crs := {EPSG}{options})",
    )


def zones_of_expression(world: World, workspace: Path, count: int, scenes: int, options: str) -> Answer:
    """NDVI with a mask of classes of 20 m, or the plain band where there are no options."""
    con = connected(world, workspace, scenes)
    register(con, "z", octagons(count))
    band = "(B08 - B04) / (B08 + B04)" if options else "B04"
    call = f"zonal_stats_table(s, z, '{band}', geom_crs := {EPSG}{MEAN}{options})"
    return answer(con, f"SELECT count(*), count(mean) * 0 FROM {call}")


def zones_by_rows(world: World, workspace: Path, count: int, scenes: int, options: str) -> Answer:
    con = connected(world, workspace, scenes)
    register(con, "z", octagons(count))
    return answer(
        con,
        f"SELECT count(v), sum(v) FROM (SELECT zonal_stat(id, 'B04', geom, 'mean', geom_crs := {EPSG}{options}) AS v "
        "FROM s, z)",
    )


def misses_by_rows(world: World, workspace: Path, count: int, _scenes: int, _options: str) -> Answer:
    """Zones in lon/lat far south of all twelve scenes."""
    con = connected(world, workspace, SCENES)
    there = Transformer.from_crs(EPSG, 4326, always_xy=True)
    far = shapely.transform(octagons(count), lambda xy: np.column_stack(there.transform(xy[:, 0], xy[:, 1] - 500_000)))
    register(con, "z", far)
    return answer(con, "SELECT count(*), count(zonal_stats(id, 'B04', geom).mean) FROM rasteret.b, z")


def zones_by_exactextract(world: World, _workspace: Path, count: int, scenes: int, operations: str) -> Answer:
    import exactextract

    features = [
        {"type": "Feature", "geometry": json.loads(one), "properties": {}}
        for one in shapely.to_geojson(octagons(count))
    ]
    begun = time.perf_counter()
    rows, total = 0, 0.0
    for file in scene_files(world, scenes):
        found = exactextract.exact_extract(str(file), features, operations.split(), strategy="raster-sequential")
        rows += len(found)
        total += sum(one["properties"]["mean"] for one in found)
    return time.perf_counter() - begun, rows, total


def zones_by_sedonadb(world: World, _workspace: Path, count: int, scenes: int, _options: str) -> Answer:
    """Each raster is made in a subquery, so that it is opened once, not once a row."""
    import geopandas
    import sedonadb

    con = sedonadb.connect()
    frame = geopandas.GeoDataFrame({"n": np.arange(count)}, geometry=octagons(count), crs=EPSG)
    con.create_data_frame(frame).to_view("z")
    rasters = " UNION ALL ".join(f"SELECT RS_FromPath('{file}') AS raster" for file in scene_files(world, scenes))
    begun = time.perf_counter()
    means = f"SELECT RS_ZonalStats(raster, geometry, 1, 'mean') AS v FROM ({rasters}), z"
    found = con.sql(f"SELECT count(v) AS rows, sum(v) AS total FROM ({means})").to_pandas()
    return time.perf_counter() - begun, int(found["rows"][0]), float(found["total"][0])


def points(count: int) -> npt.NDArray[np.float64]:
    return _places(np.random.default_rng(count), count, 0)


def points_by_table(world: World, workspace: Path, count: int, scenes: int, _options: str) -> Answer:
    con = connected(world, workspace, scenes)
    register_points(con, "p", points(count))
    return answer(
        con,
        f"SELECT count(*), sum(\"B04\") FROM sample_points(s, p, 'B04', geom_crs := {EPSG})",
    )


def points_by_rows(world: World, workspace: Path, count: int, scenes: int, _options: str) -> Answer:
    con = connected(world, workspace, scenes)
    register_points(con, "p", points(count))
    return answer(
        con,
        f"SELECT count(v), sum(v) FROM (SELECT sample_point(id, 'B04', geom, geom_crs := {EPSG}) AS v FROM s, p)",
    )


def points_by_rasterio(world: World, _workspace: Path, count: int, scenes: int, _options: str) -> Answer:
    xy = points(count)
    begun = time.perf_counter()
    rows, total = 0, 0.0
    for file in scene_files(world, scenes):
        with rasterio.open(file) as source:
            band, to_pixel = source.read(1), ~source.transform
        column, row = (np.floor(each).astype(np.int64) for each in to_pixel * (xy[:, 0], xy[:, 1]))
        values = band[row, column]
        rows += len(values)
        total += float(values.sum())
    return time.perf_counter() - begun, rows, total


def light_beside_heavy(world: World, workspace: Path, count: int, scenes: int, heavy: str) -> Answer:
    """Median seconds of a statistic of one small zone while another statement reads whole scenes."""
    con = connected(world, workspace, scenes)
    register(con, "z", octagons(count))
    west, north = ORIGINS[EPSG]
    side = SIZE * PIXEL
    whole = shapely.Polygon([(west + 1, north - 1), (west + side, north - 99), (west + 9, north - side)]).wkt
    statements = {
        "": "SELECT 1",
        "median": f"SELECT zonal_stat(id, 'B04', '{whole}', 'median', weighted := true, geom_crs := {EPSG}) FROM s",
        "chips": "SELECT sum(octet_length(read_chip(id, 'B04').data)) FROM s",
    }
    light = f"SELECT zonal_stat((FROM s SELECT id LIMIT 1), 'B04', geom, 'mean', geom_crs := {EPSG}) FROM z"

    def once() -> float:
        begun = time.perf_counter()
        con.cursor().execute(light).fetchall()
        return time.perf_counter() - begun

    once()
    thread = threading.Thread(target=lambda: con.cursor().execute(statements[heavy]).fetchall())
    thread.start()
    time.sleep(0.2 if heavy else 0)
    taken = [once() for _ in range(5)] if not heavy else []
    while heavy and thread.is_alive():
        taken.append(once())
    thread.join()
    return median(taken), 1, 0


Work = tuple[Callable[[World, Path, int, int, str], Answer], int, int, str]
MEAN = ", stats := ['mean']"
ALL = (
    "count sum mean min max stdev variance median mode minority variety "
    "p05=quantile(q=0.05) p25=quantile(q=0.25) p75=quantile(q=0.75) p95=quantile(q=0.95)"
)
WORKS: dict[str, dict[str, Work]] = {
    **{
        f"zones-{count}-scenes-{n}": {"zonal_stats_table": (zones_by_table, count, n, MEAN)}
        for count in (1_000, 10_000, 100_000)
        for n in (1, 10, 50)
    },
    **{
        f"targets-{count}": {
            name: (zones_by_table, count, 3, f"{MEAN}, {grid}")
            for name, grid in {
                "the file's grid": "overview := 0",
                "30 m": "resolution := 30",
                "30 m, average": "resolution := 30, resampling := 'average'",
                "30 m, EPSG:3857": "crs := 3857, resolution := 30",
                "10 m, the next UTM zone": "crs := 32633, resolution := 10",
            }.items()
        }
        for count in (1_000, 10_000)
    },
    "zones-20000": {
        "zonal_stats_table": (zones_by_table, 20_000, SCENES, MEAN),
        "exactextract": (zones_by_exactextract, 20_000, SCENES, "mean"),
        "sedonadb": (zones_by_sedonadb, 20_000, SCENES, ""),
    },
    "weighted-20000": {
        "zonal_stats_table": (zones_by_table, 20_000, SCENES, ", weighted := true"),
        "exactextract": (zones_by_exactextract, 20_000, SCENES, ALL),
    },
    "rows-2000": {
        "zonal_stat": (zones_by_rows, 2_000, SCENES, ""),
        "exactextract": (zones_by_exactextract, 2_000, SCENES, "mean"),
    },
    "expression-2000": {
        "the plain band": (zones_of_expression, 2_000, SCENES, ""),
        "an expression with a mask": (zones_of_expression, 2_000, SCENES, ", mask := 'SCL IN (3, 8, 9, 10)'"),
    },
    "misses": {"zonal_stats": (misses_by_rows, 28_334, 12, "")},
    "points-1000000": {
        "sample_points": (points_by_table, 1_000_000, SCENES, ""),
        "rasterio, numpy": (points_by_rasterio, 1_000_000, SCENES, ""),
    },
    "points-20000": {
        "sample_point": (points_by_rows, 20_000, SCENES, ""),
        "rasterio, numpy": (points_by_rasterio, 20_000, SCENES, ""),
    },
    "light": {
        "alone": (light_beside_heavy, 1, SCENES, ""),
        "beside a weighted median": (light_beside_heavy, 1, SCENES, "median"),
        "beside chips": (light_beside_heavy, 1, SCENES, "chips"),
    },
}
"""Work → engine → how it is done."""
TOLERANCE = 0.01
"""exactextract weighs pixels by the fraction that a zone covers, so plain means differ a little from its."""


def is_there(engine: str) -> bool:
    """False for a peer that is not installed: `pip install sedonadb geoarrow-pyarrow`; no test needs it."""
    if engine != "sedonadb" or find_spec("sedonadb") is not None:
        return True
    sys.stderr.write("sedonadb is not installed, so it is left out\n")
    return False


def main() -> None:
    args = _arguments()
    world = ensure_world()
    if args.one:
        work, engine = args.one
        run, count, scenes, options = WORKS[work][engine]
        with tempfile.TemporaryDirectory(prefix="rasteret-sql-benchmark-") as workspace:
            seconds, rows, total, *worked = run(world, Path(workspace), count, scenes, options)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.write(json.dumps([seconds, rows, total, peak, *worked]))
        return
    sys.stdout.write("| work | engine | rows | seconds | CPU seconds | peak MB |\n|---|---|---|---|---|---|\n")
    wrong = False
    for work in args.works:
        found: dict[str, list[list[float]]] = {engine: [] for engine in WORKS[work] if is_there(engine)}
        for _ in range(args.reps):
            for engine, rows in found.items():
                command = [sys.executable, "-m", "tests.benchmarks.relations", "--one", work, engine]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment())
                rows.append(json.loads(done.stdout))
        for engine, rows in found.items():
            seconds, peak = median(row[0] for row in rows), median(row[3] for row in rows)
            worked = f"{median(row[4] for row in rows):.3g}" if len(rows[0]) > 4 else ""
            sys.stdout.write(f"| {work} | {engine} | {rows[0][1]:.0f} | {seconds:.3g} | {worked} | {peak:.0f} |\n")
            sys.stdout.flush()
        answers = [row[1:3] for rows in found.values() for row in rows]
        if not np.allclose(answers, answers[0], rtol=TOLERANCE):
            sys.stdout.write(f"{work}: the answers differ: {answers}\n")
            wrong = True
    sys.exit(wrong)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.relations", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--reps", type=int, default=5, help="new processes of each engine")
    parser.add_argument("--works", type=lambda text: text.split(","), default=list(WORKS), help=", ".join(WORKS))
    parser.add_argument("--one", nargs=2, metavar=("WORK", "ENGINE"), help="do one and print its figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
