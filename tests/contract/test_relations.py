"""Functions over relations: equal to those of single rows and to rasterio, with each tile asked of the server once."""

import warnings
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyproj
import pytest
import rasterio
import rasterio.features
import shapely
from rasterio.warp import transform_geom

from rasteret_sql.connection import progress_of
from rasteret_sql.engine.scheduler import Engine
from tests.contract.scenes import SIZE, forget, item, write_items, write_scene
from tests.sampling import some
from tests.servers.range_server import RangeServer

SCENES, ZONES, POINTS = 4, 120, 200
WEST, NORTH, PIXEL = 600_000, 5_100_000, 10


def each_by_itself(monkeypatch):
    """Read the zones of rows without others."""
    monkeypatch.setattr("rasteret_sql.reading.zones_together._FEW", 1 << 30)
    monkeypatch.setattr("rasteret_sql.functions.calls.pixels.measure_rows", lambda *_: None)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for n in range(SCENES):
        write_scene(folder / f"s{n}.tif", n)
    write_items(folder / "items.json", [item(f"s{n}", day=n + 1, one=f"s{n}.tif") for n in range(SCENES)])
    with RangeServer(folder) as running:
        running.folder = folder
        yield running


def octagons(seed, count=ZONES):
    """Zones of 1 to 60 pixels across, on the scenes and over their edge."""
    rng = np.random.default_rng(seed)
    xy = np.column_stack(
        [WEST + rng.uniform(-40, SIZE + 40, count) * PIXEL, NORTH - rng.uniform(-40, SIZE + 40, count) * PIXEL]
    )
    return shapely.buffer(shapely.points(xy), rng.uniform(0.5, 30, count) * PIXEL, quad_segs=2)


@pytest.mark.parametrize("options", some(["", ", all_touched := true", ", weighted := true"], 3))
def test_a_zone_too_large_to_be_read_with_others_alone(con, options, monkeypatch):
    monkeypatch.setattr("rasteret_sql.reading.relation._MOST_OF_ZONE", 100)
    zone = shapely.box(WEST + 3, NORTH - 5003, WEST + 5003, NORTH - 3)
    register(con, "zones", np.array([zone]))
    (found,) = con.execute(
        "SELECT count FROM zonal_stats_table(rasteret.w, zones, 'one', stats := ['count'], "
        f"geom_crs := 32632{options}) WHERE scene_id = 's0'"
    ).fetchall()
    # From 3 m inside of a pixel to 3 m inside of another one, so that 501 pixels are touched each way.
    assert found[0] == pytest.approx(501**2 if "touched" in options else 500**2)


def others():
    """A zone of two parts, one with a hole, one that crosses itself, one with edges along rows of pixel centres."""
    x, y = WEST + 40 * PIXEL, NORTH - 40 * PIXEL
    box = shapely.box(x, y - 15 * PIXEL, x + 20 * PIXEL, y)
    return np.array(
        [
            shapely.MultiPolygon([box, shapely.box(x + 300, y + 33, x + 401, y + 99)]),
            shapely.Polygon(box.exterior, [shapely.box(x + 41, y - 92, x + 77, y - 30).exterior]),
            shapely.Polygon([(x, y), (x + 133, y - 91), (x + 133, y), (x, y - 91)]),
            shapely.box(x + 5, y - 55, x + 115, y - 5),
        ]
    )


def register(con, name, geometries, **columns):
    table = pa.table({"n": range(len(geometries)), **columns, "geom": shapely.to_wkb(geometries)})
    con.register("__given", table)
    con.execute(f"CREATE OR REPLACE TABLE {name} AS FROM __given")


@pytest.mark.parametrize("options", some([", overview := 1", ", all_touched := true", "", ", weighted := true"], 4))
def test_statistics_are_those_of_each_pair(con, options, monkeypatch):
    register(con, "zones", np.concatenate((octagons(1), others())))
    named = f"geom_crs := 32632{options}"
    columns = con.execute(f"DESCRIBE SELECT unnest(zonal_stats('s0', 'one', NULL, {named}))").fetchall()
    names = ", ".join(column[0] for column in columns)
    # What an overview of a scene with a mask is valid by is another test's.
    scenes = "WHERE id IN ('s0', 's2')" if "overview" in options else ""
    table = con.execute(
        f"WITH s AS (FROM rasteret.w {scenes}) SELECT scene_id, n, {names} "
        f"FROM zonal_stats_table(s, zones, 'one', {named}) ORDER BY ALL"
    ).fetchall()
    each_by_itself(monkeypatch)
    single = con.execute(
        f"SELECT id, n, unnest(s) FROM (SELECT id, n, zonal_stats(id, 'one', geom, {named}) AS s "
        f"FROM rasteret.w, zones {scenes}) WHERE s IS NOT NULL ORDER BY id, n"
    ).fetchall()
    assert len(table) == len(single) > ZONES
    np.testing.assert_allclose(
        np.array([row[1:] for row in table], float), np.array([row[1:] for row in single], float), rtol=1e-12
    )
    assert [row[0] for row in table] == [row[0] for row in single]


def test_means_are_rasterios(con, server):
    zones = octagons(2)
    register(con, "zones", zones)
    got = con.execute(
        "SELECT scene_id, n, count, mean FROM zonal_stats_table(rasteret.w, zones, 'one', geom_crs := 32632)"
    ).fetchall()
    pixels = {}
    for n in range(SCENES):
        with rasterio.open(server.folder / f"s{n}.tif") as dataset:
            pixels[f"s{n}"] = dataset.read(1), dataset.dataset_mask() > 0, dataset.transform
    assert len(got) > ZONES
    for scene, n, count, mean in got:
        values, valid, transform = pixels[scene]
        inside = rasterio.features.rasterize([zones[n]], (SIZE, SIZE), transform=transform, dtype="uint8") == 1
        kept = values[inside & valid]
        assert count == len(kept)
        if count:
            assert mean == pytest.approx(kept.mean(), rel=1e-12)


@pytest.mark.exhaustive
def test_zones_in_lonlat_lie_where_rasterio_moves_them(con):
    small = octagons(3)
    moved = [
        shapely.geometry.shape(transform_geom("EPSG:32632", "EPSG:4326", zone.__geo_interface__)) for zone in small
    ]
    register(con, "plane", small)
    register(con, "globe", np.array(moved))
    sql = "SELECT scene_id, n, count, sum FROM zonal_stats_table(rasteret.w, {}, 'one'{}) ORDER BY ALL"
    plane = con.execute(sql.format("plane", ", geom_crs := 32632")).fetchall()
    globe = con.execute(sql.format("globe", "")).fetchall()
    differ = set(plane) ^ set(globe)
    assert len(plane) > ZONES
    assert len(differ) < len(plane) / 20  # a centre on an edge may fall to the other side


def test_points_are_those_of_each_pair_and_numpys(con, server):
    rng = np.random.default_rng(4)
    cols, rows = rng.uniform(-20, SIZE + 20, POINTS), rng.uniform(-20, SIZE + 20, POINTS)
    con.register("__points", pa.table({"n": range(POINTS), "x": WEST + cols * PIXEL, "y": NORTH - rows * PIXEL}))
    con.execute("CREATE OR REPLACE TABLE points AS FROM __points")
    got = con.execute(
        "SELECT scene_id, n, one FROM sample_points(rasteret.w, points, 'one', geom_crs := 32632)"
    ).fetchall()
    inside = (cols >= 0) & (cols < SIZE) & (rows >= 0) & (rows < SIZE)
    assert len(got) == SCENES * inside.sum()
    for n in range(SCENES):
        with rasterio.open(server.folder / f"s{n}.tif") as dataset:
            values, valid = dataset.read(1), dataset.dataset_mask() > 0
        for scene, number, value in got:
            if scene == f"s{n}":
                at = int(rows[number]), int(cols[number])
                assert value == (values[at] if valid[at] else None)


def test_chips_are_those_of_each_pair(con):
    register(con, "zones", octagons(5, 30))
    table = con.execute(
        "SELECT scene_id, n, chip FROM read_chips(rasteret.w, zones, 'one', geom_crs := 32632) ORDER BY scene_id, n"
    ).fetchall()
    single = con.execute(
        "SELECT * FROM (SELECT id, n, read_chip(id, 'one', geom, geom_crs := 32632) AS chip FROM rasteret.w, zones) "
        "WHERE chip.width IS NOT NULL ORDER BY id, n"
    ).fetchall()
    assert table == single
    assert len(table) > 30


def test_each_tile_is_asked_for_once(con, server):
    register(con, "zones", octagons(6))
    con.execute("SELECT count(*) FROM zonal_stats_table(rasteret.w, zones, 'one', geom_crs := 32632)").fetchall()
    con.execute("SELECT sum(mean) FROM zonal_stats_table(rasteret.w, zones, 'one', geom_crs := 32632)").fetchall()
    asked = Counter((Path(path).name, first, end) for _, path, first, end, _ in server.log() if path.endswith(".tif"))
    assert asked
    assert max(asked.values()) == 1


def test_rows_that_come_back_to_scenes_ask_for_each_tile_once(con, server, monkeypatch):
    monkeypatch.setattr("rasteret_sql.engine.cache._LEAST_SHARE", 1 << 18)
    monkeypatch.setattr("rasteret_sql.engine.cache._MUCH", 1 << 20)
    register(con, "zones", octagons(7, 5000))
    con.execute("SELECT sum(zonal_stat(id, 'one', geom, 'mean', geom_crs := 32632)) FROM rasteret.w, zones").fetchall()
    asked = Counter((Path(path).name, first) for _, path, first, _, _ in server.log() if path.endswith(".tif"))
    assert asked
    assert max(asked.values()) == 1


@pytest.mark.parametrize(
    "call",
    [
        ("zonal_stats_table", "zones, ['x', 'y'], stats := ['mean']"),
        ("zonal_stats_table", "zones, ['one', '2 * one'], mask := 'x > 9', stats := ['min']"),
        ("sample_points", "points, ['one', 'x', 'y']"),
    ],
)
def test_what_comes_up_again_in_a_scene_is_kept_in_a_small_part_of_the_cache(con, server, call, tmp_path, monkeypatch):
    monkeypatch.setattr("rasteret_sql.engine.cache._LEAST_SHARE", 1 << 19)
    monkeypatch.setattr("rasteret_sql.engine.cache._MUCH", 1 << 20)
    monkeypatch.setattr("rasteret_sql.reading.tiles_again._ROWS", 64)
    sides = {"type": "image/tiff", "eo:bands": [{"name": "x"}, {"name": "y"}]}
    for n in range(2):
        write_scene(server.folder / f"sides{n}.tif", n, count=2, interleave="pixel")
    items = [item(f"a{n}", one=f"{server.url}/s{n}.tif", sides=sides | {"href": f"{server.url}/sides{n}.tif"})
             for n in range(2)]  # fmt: skip
    write_items(tmp_path / "sides.json", items)
    con.execute(f"FROM rasteret_build_from_stac('sides', '{tmp_path}/sides.json', force := true)").fetchall()
    places = shapely.centroid(octagons(8, 6000))
    register(con, "points", places)
    register(con, "zones", shapely.buffer(places, 3 * PIXEL))
    function, given = call
    given = f"rasteret.sides, {given}, geom_crs := 32632"
    plan = con.execute(f"SELECT sum(requests), sum(bytes) FROM rasteret_explain_table({given}, call := '{function}')")
    plan = plan.fetchone()
    forget(con, server)
    con.execute(f"SELECT * FROM {function}({given})").fetchall()
    counts = server.counts()
    assert (counts["requests"], counts["bytes"]) == plan


ZONES_OF = "(rasteret.w, zones, 'one', geom_crs := 32632)"
WITHOUT_PIXELS = (
    "SELECT count(*) FROM {0}",
    "SELECT count(*) FROM {0} WHERE scene_id <> 's1'",
    "SELECT scene_id, datetime FROM {0}",
    "SELECT scene_id, count(*) FROM {0} GROUP BY ROLLUP (scene_id)",
    "SELECT count(*) FROM (FROM {0})",
    "SELECT (SELECT count(*) FROM {0}), (SELECT count(DISTINCT scene_id) FROM {0})",
    "CREATE OR REPLACE TABLE ids AS SELECT scene_id FROM {0}",
)


@pytest.mark.parametrize(
    "call",
    some(
        [
            f"zonal_stats_table{ZONES_OF}",
            f"sample_points{ZONES_OF}",
            f"read_chips{ZONES_OF}",
            f"read_pixels(rasteret.w, 'one', geom := 'POINT({WEST + 5} {NORTH - 5})', geom_crs := 32632)",
        ],
        3,
    ),
)
def test_rows_are_counted_without_a_tile(con, server, call):
    zones = octagons(10, 20) if "points" not in call else shapely.centroid(octagons(10, 20))
    register(con, "zones", zones)
    of_zones = () if "read_pixels" in call else ("SELECT n, count(*) FROM {0} WHERE n > 3 GROUP BY n",)
    for sql in (*WITHOUT_PIXELS, *of_zones):
        con.execute(sql.format(call)).fetchall()
    assert server.counts()["requests"] == 0
    con.execute(f"SELECT * FROM {call}").fetchall()
    assert server.counts()["requests"] >= SCENES


@pytest.mark.parametrize(
    "call",
    [
        "zonal_stats_table(rasteret.many, some_zones, 'one', stats := ['mean'], geom_crs := 32632)",
        "zonal_stats_table(rasteret.many, some_zones, ['one', 'one + 1'], stats := ['median'], geom_crs := 32632)",
        "sample_points(rasteret.many, some_points, 'one', geom_crs := 32632)",
    ],
)
def test_scenes_with_few_pairs_are_read_together(con, server, call, tmp_path, monkeypatch):
    scenes = 60
    files = [f"{server.url}/s{n % SCENES}.tif" for n in range(scenes)]
    write_items(tmp_path / "many.json", [item(f"m{n}", day=1 + n % 28, one=file) for n, file in enumerate(files)])
    con.execute(f"FROM rasteret_build_from_stac('many', '{tmp_path}/many.json')").fetchall()
    x, y = WEST + 100 * PIXEL, NORTH - 100 * PIXEL
    register(con, "some_zones", np.array([shapely.box(x, y - side, x + side, y) for side in (95, 205, 395)]))
    register(con, "some_points", np.array([shapely.Point(x + side, y - side) for side in (95, 205, 395)]))
    calls = []
    start = Engine.start

    def counted(self, jobs, *given):
        calls.append(len(jobs))
        return start(self, jobs, *given)

    monkeypatch.setattr(Engine, "start", counted)
    bands = 2 if "+ 1" in call else 1
    found = con.execute(f"SELECT count(*), count(COLUMNS('mean|median|^one$')) FROM {call}").fetchone()
    assert found == (scenes * 3 * bands, scenes * 3 * bands)
    assert calls == [scenes * bands]


def test_progress_of_scenes_that_are_read_together(con, server, tmp_path):
    scenes, told = 150, []
    with RangeServer(server.folder, latency_ms=150) as slow:
        # Each under an address of its own, so that its tile is fetched.
        files = [f"{slow.url}/s{n % SCENES}.tif?{n}" for n in range(scenes)]
        write_items(tmp_path / "slow.json", [item(f"p{n}", day=1 + n % 28, one=file) for n, file in enumerate(files)])
        con.execute(f"FROM rasteret_build_from_stac('slow', '{tmp_path}/slow.json')").fetchall()
        register(con, "one_zone", np.array([shapely.box(WEST + 3, NORTH - 303, WEST + 303, NORTH - 3)]))
        hook = progress_of(con)
        hook.listener = lambda done, total, what: told.append((done, total, what))
        try:
            call = "zonal_stats_table(rasteret.slow, one_zone, 'one', stats := ['mean'], geom_crs := 32632)"
            assert con.execute(f"SELECT count(mean) FROM {call}").fetchone() == (scenes,)
        finally:
            hook.listener = None
    assert told[-1] == (scenes, scenes, "pairs")
    assert {total for _, total, _ in told} == {scenes}
    assert len({done for done, _, _ in told}) > 1  # not only at the end


def test_only_scenes_that_a_statement_wants_are_read(con, server):
    register(con, "zones", octagons(7))
    con.execute(
        "SELECT avg(mean) FROM zonal_stats_table(rasteret.w, zones, 'one', geom_crs := 32632) "
        "WHERE datetime < '2024-01-02' AND n < 10"
    ).fetchall()
    assert {Path(path).name for _, path, *_ in server.log()} == {"s0.tif"}
    (plan,) = (
        row[1]
        for row in con.execute(
            "EXPLAIN FROM zonal_stats_table(rasteret.w, zones, 'one', geom_crs := 32632) WHERE scene_id = 's1'"
        ).fetchall()
    )
    assert "id='s1'" in plan.replace(" ", "")


@pytest.mark.parametrize("condition", ["in_north", "n < 1500", "n BETWEEN 200 AND 4000 AND in_north"])
def test_a_condition_on_zones_reads_what_a_relation_of_these_alone_does(con, server, tmp_path, condition):
    """But for the first scenes: nobody knows yet what will be left out."""
    scenes = [f"{n}.tif" for n in range(10)]
    for n, name in enumerate(scenes):
        if not (server.folder / name).exists():
            (server.folder / name).symlink_to(server.folder / f"s{2 * n % SCENES}.tif")
    items = [item(f"c{n}", day=1 + n, one=f"{server.url}/{name}") for n, name in enumerate(scenes)]
    write_items(tmp_path / "several.json", items)
    con.execute(f"FROM rasteret_build_from_stac('several', '{tmp_path}/several.json')").fetchall()
    rng = np.random.default_rng(17)
    x, y = WEST + rng.uniform(0, SIZE, 9000) * PIXEL, NORTH - rng.uniform(0, SIZE, 9000) * PIXEL
    zones = shapely.buffer(shapely.points(x, y), rng.uniform(10, 30, 9000), quad_segs=2)
    register(con, "many_zones", zones, in_north=y > NORTH - SIZE * PIXEL / 2)
    con.execute(f"CREATE OR REPLACE TABLE some_zones AS FROM many_zones WHERE {condition}")

    def cost(relation, condition):
        forget(con, server)
        call = f"zonal_stats_table(rasteret.several, {relation}, 'one', stats := ['mean'], geom_crs := 32632)"
        found = con.execute(f"SELECT count(*), sum(mean) FROM {call} WHERE {condition}").fetchone()
        asked = defaultdict(list)
        for _, path, first, end, _ in server.log():
            asked[Path(path).name].append((first, end))
        return found, asked

    found, asked = cost("many_zones", condition)
    expected, alone = cost("some_zones", "true")
    assert found == pytest.approx(expected)
    assert found[0] > 10_000
    assert sorted(asked) == sorted(alone) == scenes
    # Where the pairs of a scene are begun in two parts depends on how many DuckDB asks for at a time.
    later, of_later = (sum(len(each[scene]) for scene in scenes[5:]) for each in (asked, alone))
    assert later <= of_later + len(scenes[5:])


def test_a_view_reads_anew_each_time(con, server):
    register(con, "zones", octagons(8, 5))
    con.execute("CREATE OR REPLACE VIEW means AS FROM zonal_stats_table(rasteret.w, zones, 'one', geom_crs := 32632)")
    before = con.execute("SELECT count(*) FROM means").fetchone()
    con.execute("DELETE FROM zones")
    assert con.execute("SELECT count(*) FROM means").fetchone() == (0,)
    assert before > (0,)


def test_a_relation_that_changes_while_it_is_read(con):
    """A statement has the rows of the time when it began."""
    register(con, "zones", np.tile(octagons(11, 40), 200))
    sql = "SELECT n FROM zonal_stats_table(rasteret.w, zones, 'one', stats := ['count'], geom_crs := 32632)"
    whole = len(con.execute(sql).fetchall())
    reading = con.cursor().execute(sql.replace("zonal", "rasteret.zonal"))
    first = reading.fetchmany(10)
    con.cursor().execute("DELETE FROM zones WHERE n % 2 = 0")
    assert len(first) + len(reading.fetchall()) == whole > 4096
    assert 0 < len(con.execute(sql).fetchall()) < whole


def test_threads_and_cursors(con):
    register(con, "zones", octagons(9, 40))
    sql = "SELECT count(*), sum(mean) FROM zonal_stats_table('rasteret.w', 'zones', 'one', geom_crs := 32632)"
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda _: (
                    con.cursor()
                    .execute(f"SELECT * FROM ({sql.replace('zonal_stats', 'rasteret.zonal_stats')})")
                    .fetchall()
                ),
                range(8),
            )
        )
    assert all(answer == answers[0] for answer in answers)


@pytest.mark.exhaustive
def test_zones_that_meet_one_of_the_scenes_are_not_warned_of(con, server, tmp_path):
    """With x and y swapped the zone would meet the other scene, which is no reason to take it for swapped."""
    folder = tmp_path / "far"
    folder.mkdir()
    write_scene(folder / "here.tif", 0)
    lon, lat = pyproj.Transformer.from_crs(32632, 4326, always_xy=True).transform(WEST + 100, NORTH - 100)
    x, y = pyproj.Transformer.from_crs(4326, 32638, always_xy=True).transform(lat, lon)
    with rasterio.open(folder / "here.tif") as here:
        profile = here.profile | {"crs": 32638, "transform": rasterio.Affine(10, 0, x - 1000, 0, -10, y + 1000)}
        with rasterio.open(folder / "afar.tif", "w", **profile) as afar:
            afar.write(here.read())
    write_items(folder / "items.json", [item(name, one=f"{name}.tif") for name in ("afar", "here")])
    con.execute(f"FROM rasteret_build_from_stac('far', '{folder}/items.json')").fetchall()
    con.execute(f"CREATE OR REPLACE TABLE zones AS SELECT 'POINT ({lon} {lat})' AS geom")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = con.execute("SELECT scene_id FROM sample_points(rasteret.far, zones, 'one')").fetchall()
    assert rows == [("here",)]
    with pytest.warns(match="swapped"):
        con.execute("WITH s AS (SELECT 'afar' AS id) FROM sample_points(s, zones, 'one')").fetchall()
