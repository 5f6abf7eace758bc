"""What the page shows beside tiles, without a page: footprints, pictures, series, results of SQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import imagecodecs
import numpy as np
import pytest
import shapely

import rasteret_sql
from rasteret_sql.connection import session_for
from rasteret_sql.errors import InvalidArgumentError, InvalidGeometryError, UnknownSceneError
from rasteret_sql.geo.web_mercator import from_lonlat
from rasteret_sql.hosts.quack_guard import Guard
from rasteret_sql.hosts.view.map_reads import footprints, parse_zone, scene_at, scene_picture, series
from rasteret_sql.hosts.view.map_tiles import MapTiles
from rasteret_sql.hosts.view.sql_layers import ROWS, run_statement
from rasteret_sql.hosts.view.tasks import Tasks
from rasteret_sql.hosts.view.tile_style import TileStyle
from rasteret_sql.receipt import Receipt
from tests.hosts.hosting import build

ZONE = "14.556 45.868 14.560 45.872"
YEAR = TileStyle.of({"expr": ["ndvi"], "date": ["2017"], "mask": ["clm = 1"]})


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    con = rasteret_sql.connect(workspace_dir=tmp_path_factory.mktemp("workspace"))
    con.execute(build("meadows", "sentinel2-eopatch-slovenia")).fetchall()
    return con


@pytest.fixture(scope="module")
def chart(con):
    return MapTiles(session_for(con)).of("meadows")


def test_footprints_of_a_time(con, chart):
    found = footprints(chart, YEAR)
    rows = con.execute(
        "SELECT id, datetime FROM rasteret.meadows WHERE datetime BETWEEN '2017-01-01' AND '2018-01-01' "
        "ORDER BY datetime DESC, id"
    ).fetchall()
    assert found.ids == [scene for scene, _ in rows]
    assert found.times == [time.replace(tzinfo=None) for _, time in rows]
    assert found.count == len(rows)
    west, south, east, north = shapely.bounds(found.shapes[0])
    (left, right), (bottom, top) = from_lonlat(np.array([west, east]), np.array([south, north]))
    ring_x, ring_y = found.xs[0][0][0], found.ys[0][0][0]
    assert (min(ring_x), max(ring_x), min(ring_y), max(ring_y)) == pytest.approx((left, right, bottom, top))
    assert scene_at(found, (14.557, 45.87)) == found.ids[0]
    with pytest.raises(UnknownSceneError, match="no scene of this time is there"):
        scene_at(found, (0, 0))
    few = footprints(chart, TileStyle.of({"where": ["id LIKE '%_2016%' AND month = 7"]}))
    assert {time.strftime("%Y-%m") for time in few.times} == {"2016-07"}
    with pytest.raises(InvalidArgumentError, match="has a subquery"):
        footprints(chart, TileStyle.of({"where": ["id IN (FROM read_text('/etc/passwd'))"]}))


def test_the_picture_of_a_zone(con, chart):
    scene = footprints(chart, YEAR).ids[3]
    zone = parse_zone(ZONE)
    whole = scene_picture(chart, scene, YEAR, None, Receipt())
    part = scene_picture(chart, scene, YEAR, zone, Receipt())
    assert whole.size == (101, 100)
    assert imagecodecs.png_decode(part.png).shape[:2] == part.size
    ((count, low, high),) = con.execute(
        "SELECT s.count, s.min, s.max FROM (SELECT zonal_stats(id, 'ndvi', $1, mask := 'clm = 1') AS s "
        "FROM rasteret.meadows WHERE id = $2)", [zone.wkt, scene],
    ).fetchall()  # fmt: skip
    assert count > 1000
    assert abs(part.counts[0].sum() - count) < 0.03 * count  # on another grid: the border is another one
    assert part.edges[0][0] == pytest.approx(low, abs=0.05)
    assert part.edges[0][-1] == pytest.approx(high, abs=0.05)
    assert scene_picture(chart, scene, YEAR, shapely.box(0, 0, 1, 1), Receipt()) is None


@pytest.mark.parametrize("zone", [ZONE, "POINT (14.557 45.87)"])
def test_the_series_of_a_zone(con, chart, zone):
    shape = parse_zone(zone)
    found = series(chart, con.cursor(), YEAR, shape)
    call = "sample_point(id, 'ndvi', $1, mask := 'clm = 1')"
    if shape.geom_type == "Polygon":
        call = "zonal_stats(id, 'ndvi', $1, mask := 'clm = 1').mean"
    rows = con.execute(
        f"SELECT * FROM (SELECT datetime, {call} AS value, id FROM rasteret.meadows "
        "WHERE datetime BETWEEN '2017-01-01' AND '2018-01-01') WHERE value IS NOT NULL ORDER BY datetime", [shape.wkt],
    ).fetchall()  # fmt: skip
    assert len(rows) > 15
    assert found.times == [time.replace(tzinfo=None) for time, _, _ in rows]
    assert found.values == pytest.approx([value for _, value, _ in rows])
    assert found.scenes == [scene for _, _, scene in rows]


def test_zones_as_people_write_them():
    box = shapely.box(1, 2, 3, 4)
    for text in ("1, 2, 3, 4", "1 2 3 4", box.wkt, '{"type": "Point", "coordinates": [1, 2]}'):
        shape = parse_zone(text)
        assert shape.equals(box) or shape.equals(shapely.Point(1, 2))
    assert parse_zone("  ") is None
    with pytest.raises(InvalidGeometryError):
        parse_zone("somewhere")
    with pytest.raises(InvalidGeometryError, match="is no zone; expected WKT, GeoJSON, or west, south, east, north"):
        parse_zone("POLYGON EMPTY")


def run(con, text, *, writes=False):
    return run_statement(con.cursor(), text, Guard(is_read_only=not writes), 1 << 28)


def test_chips_and_shapes_of_a_statement_are_on_the_map(con):
    layers = run(con, "SELECT id, read_chip(id, 'ndvi') AS chip, geometry FROM rasteret.meadows ORDER BY id LIMIT 2")
    assert layers.names == ["id", "chip", "geometry"]
    assert [len(layers.rows), layers.more, layers.notes] == [2, False, []]
    assert layers.rows[0][1].startswith("chip 1×101×100 float32")
    first, second = layers.images
    assert first.pixels.dtype == np.uint32
    assert first.bounds == pytest.approx(second.bounds)
    west, south, east, north = first.bounds
    (left, right), (bottom, top) = from_lonlat(np.array([14.5513, 14.5643]), np.array([45.8659, 45.8750]))
    assert (west, south, east, north) == pytest.approx((left, bottom, right, top), abs=60)
    # The first row of the picture is the southern one.
    alpha = first.pixels >> 24
    assert {0, 255} == set(np.unique(alpha))
    assert len(layers.xs) == 2
    assert layers.bounds[0] <= west + 60


def test_other_results_of_a_statement(con):
    layers = run(con, f"SELECT i, 'POINT (14.5 45.8)' AS geom FROM range({ROWS + 5}) t(i)")
    assert (len(layers.rows), layers.more, len(layers.points)) == (ROWS, True, ROWS)
    (x,), (y,) = from_lonlat(np.array([14.5]), np.array([45.8]))
    assert layers.points[0] == pytest.approx((x, y))
    layers = run(con, "SELECT 'nowhere' AS geometry, NULL AS x")
    assert layers.rows == [["nowhere", ""]]
    assert "geometries are not on the map" in layers.notes[0]
    layers = run(con, "SELECT [read_chip(id, 'ndvi')] AS chips FROM rasteret.meadows ORDER BY id LIMIT 1")
    assert len(layers.images) == 1
    assert run(con, "SELECT 1 WHERE false").rows == []
    run(con, "CREATE TABLE made AS SELECT 42 AS i", writes=True)
    assert con.execute("FROM made").fetchall() == [(42,)]


@pytest.mark.parametrize("text", ["DROP VIEW rasteret.meadows", "FROM rasteret_drop('meadows')", "SET threads = 1"])
def test_statements_that_write_are_refused(con, text):
    with pytest.raises(duckdb.Error, match="is refused"):
        run(con, text)
    assert con.execute("SELECT count(*) FROM rasteret.meadows").fetchall() == [(68,)]


def test_a_newer_read_of_a_kind_stops_the_one_before():
    shown: list[str] = []
    begun, stopped = threading.Event(), threading.Event()
    done = threading.Event()

    def slow(work):
        work.interrupt = stopped.set
        begun.set()
        assert stopped.wait(20)
        return "slow"

    with ThreadPoolExecutor(2) as pool:
        tasks = Tasks(pool, lambda show: show())
        tasks.run("series", slow, shown.append, lambda error: shown.append(repr(error)))
        assert begun.wait(20)

        def then(text):
            shown.append(text)
            done.set()

        tasks.run("series", lambda work: "new" if not work.receipt.is_stopped else "", then, shown.append)
        assert done.wait(20)

    assert shown == ["new"]
    assert stopped.is_set()


def test_without_bokeh_it_says_what_to_install(monkeypatch, con, tmp_path, capsys):
    from rasteret_sql.cli.main import main
    from rasteret_sql.hosts.view import extra

    monkeypatch.setattr(extra, "find_spec", lambda _name: None)
    assert main(["view", "meadows", "-w", str(tmp_path)]) == 1
    assert "pip install 'rasteret-sql[view]'" in capsys.readouterr().err
    with pytest.raises(InvalidArgumentError, match=r"pip install 'rasteret-sql\[view\]'"):
        rasteret_sql.load("meadows", workspace_dir=session_for(con).workspace_dir).explore()
