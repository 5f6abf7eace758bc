"""read_pixels: each pixel as rasterio has it, and of the server no tile of which no row is wanted."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pytest
import rasterio
import rasterio.features
import rasterio.transform
import rasterio.windows
import shapely

import rasteret_sql
from tests.contract.scenes import SIZE, TILE, item, write_items, write_scene
from tests.sampling import some
from tests.servers.range_server import RangeServer

SCENES = 3
WEST, NORTH, PIXEL = 600_000, 5_100_000, 10
EAST_OF_TWO = WEST + 2 * TILE * PIXEL
SOUTH_OF_ONE = NORTH - TILE * PIXEL


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for n in range(SCENES):
        write_scene(folder / f"s{n}.tif", n)
        write_scene(folder / f"t{n}.tif", n + 10)
    items = [item(f"s{n}", day=n + 1, one=f"s{n}.tif", two=f"t{n}.tif") for n in range(SCENES)]
    write_items(folder / "items.json", items)
    with RangeServer(folder) as running:
        running.folder = folder
        yield running


def tiles(server, scene):
    """First byte and end of each tile of an image, as GDAL tells them."""
    places = [(row, col) for row in range(SIZE // TILE) for col in range(SIZE // TILE)]
    with rasterio.open(server.folder / f"{scene}.tif") as dataset:
        tags = [[f"BLOCK_{what}_{col}_{row}" for what in ("OFFSET", "SIZE")] for row, col in places]
        numbers = [[int(dataset.get_tag_item(tag, "TIFF", bidx=1)) for tag in pair] for pair in tags]
    return {place: (offset, offset + size) for place, (offset, size) in zip(places, numbers, strict=True)}


def read_tiles(server, scene="s0"):
    """Row and column of the tiles of which bytes were asked for."""
    asked = [(first, end) for _, path, first, end, _ in server.log() if Path(path).name == f"{scene}.tif"]
    return {
        place for place, (begin, end) in tiles(server, scene).items() if any(a < end and begin < b for a, b in asked)
    }


def test_pixels_of_a_polygon_are_rasterios(con, server):
    zone = shapely.buffer(shapely.Point(WEST + 2000, NORTH - 2400), 900, quad_segs=3)
    got = con.execute(
        "SELECT scene_id, row, col, x, y, one, two FROM read_pixels(rasteret.w, ['one', 'two'], geom := $1, "
        "geom_crs := 32632) ORDER BY ALL",
        [zone.wkt],
    ).fetchall()
    want = []
    for n in range(SCENES):
        with rasterio.open(server.folder / f"s{n}.tif") as one, rasterio.open(server.folder / f"t{n}.tif") as two:
            inside = rasterio.features.rasterize([zone], (SIZE, SIZE), transform=one.transform, dtype="uint8") == 1
            rows, cols = np.nonzero(inside)
            x, y = rasterio.transform.xy(one.transform, rows, cols)
            values = [
                [
                    float(v) if ok else None
                    for v, ok in zip(d.read(1)[inside], d.dataset_mask()[inside] > 0, strict=True)
                ]
                for d in (one, two)
            ]
            want += zip([f"s{n}"] * len(rows), rows.tolist(), cols.tolist(), list(x), list(y), *values, strict=True)
    assert len(want) > 40_000
    assert got == want


def test_all_pixels_of_all_scenes(con, server):
    ((rows, total),) = con.execute("SELECT count(*), sum(one) FROM read_pixels(rasteret.w, 'one')").fetchall()
    assert rows == SCENES * SIZE * SIZE
    sums = []
    for n in range(SCENES):
        with rasterio.open(server.folder / f"s{n}.tif") as dataset:
            sums.append(int(dataset.read(1, masked=True).sum()))
    assert total == sum(sums)


def test_conditions_on_places_keep_tiles_from_being_read(con, server):
    sql = "SELECT count(one) FROM read_pixels(rasteret.w, 'one') WHERE scene_id = 's0'"
    assert con.execute(f"{sql} AND x < {EAST_OF_TWO} AND y > {SOUTH_OF_ONE}").fetchone() == (2 * TILE * TILE,)
    assert read_tiles(server) == {(0, 0), (0, 1)}
    assert {Path(path).name for _, path, *_ in server.log()} == {"s0.tif"}


def test_tiles_that_conditions_leave_out_are_not_read_ahead(con, server):
    middle = f"x > {EAST_OF_TWO} AND y < {SOUTH_OF_ONE}"
    con.execute(f"SELECT sum(one) FROM read_pixels(rasteret.w, 'one') WHERE {middle}").fetchall()
    wanted = {(row, col) for row in (1, 2, 3) for col in (2, 3)}
    assert [read_tiles(server, f"s{n}") for n in range(SCENES)] == [wanted] * SCENES


def test_limit_reads_one_tile(con, server):
    assert len(con.execute("FROM read_pixels(rasteret.w, 'one') LIMIT 5").fetchall()) == 5
    assert read_tiles(server) == {(0, 0)}
    assert {Path(path).name for _, path, *_ in server.log()} == {"s0.tif"}


def test_places_alone_read_nothing(con, server):
    assert con.execute("SELECT count(row) FROM read_pixels(rasteret.w, 'one')").fetchone() == (SCENES * SIZE * SIZE,)
    assert server.log() == []


def test_the_receipt_is_what_the_server_counts(con, server):
    zone = shapely.box(WEST, NORTH - 3000, WEST + 3000, NORTH)
    con.execute("SELECT sum(one) FROM read_pixels(rasteret.w, 'one', geom := $1, geom_crs := 32632)", [zone.wkt])
    asked = "requests, bytes, pairs_planned, pairs_skipped, functions"
    counts = server.counts()
    want = (counts["requests"], counts["bytes"], SCENES, 0, ["read_pixels"])
    assert con.execute(f"SELECT {asked} FROM rasteret_stats()").fetchall() == [want]


@pytest.mark.exhaustive
def test_a_tile_that_fails_is_an_error_or_null(con, server):
    server.faults("404", match="t1.tif")
    sql = (
        "SELECT scene_id, count(*), count(one), count(two) FROM read_pixels(rasteret.w, ['one', 'two']{}) GROUP BY ALL"
    )
    with pytest.raises(duckdb.Error, match=r'read_pixels: scene "s1", band two: .*t1\.tif'):
        con.execute(sql.format("")).fetchall()
    got = con.execute(sql.format(", on_error := 'null'") + " ORDER BY ALL").fetchall()
    server.faults()
    every = SIZE * SIZE
    with rasterio.open(server.folder / "s1.tif") as dataset:
        valid = int((dataset.dataset_mask() > 0).sum())
    with rasterio.open(server.folder / "t1.tif") as dataset:
        assert got == [("s0", every, every, every), ("s1", every, valid, 0), ("s2", every, every, every)]
    failures = "SELECT DISTINCT function, scene_id, band FROM rasteret_failures()"
    assert con.execute(failures).fetchall() == [("read_pixels", "s1", "two")]


@pytest.mark.parametrize("on_change", some(["refresh", "raise"], 2))
def test_a_file_that_was_changed_is_an_error_or_read_anew(server, tmp_path, on_change):
    write_scene(tmp_path / "c.tif", 4)
    write_items(tmp_path / "items.json", [item("c", one="c.tif")])
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        con.execute(f"FROM rasteret_build_from_stac('c', '{tmp_path}/items.json')").fetchall()
        write_scene(tmp_path / "new.tif", 6)
        (tmp_path / "new.tif").replace(tmp_path / "c.tif")
        sql = f"SELECT sum(one) FROM read_pixels(rasteret.c, 'one', on_change := '{on_change}')"
        if on_change == "raise":
            with pytest.raises(duckdb.Error, match=r"read_pixels: .*changed since it was indexed"):
                con.execute(sql).fetchall()
        else:
            with rasterio.open(tmp_path / "c.tif") as dataset:
                assert con.execute(sql).fetchone() == (int(dataset.read(1).sum(dtype="int64")),)


@pytest.mark.exhaustive
def test_threads_and_cursors(con):
    sql = "SELECT count(one), sum(one) FROM rasteret.read_pixels('rasteret.w', 'one') WHERE row % 8 = 0"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: con.cursor().execute(sql).fetchall(), range(6)))
    assert answers == [answers[0]] * 6


def test_a_pixel_of_each_scene_is_one_round_of_requests(con, server):
    server.settings(latency_ms=60)
    sql = "SELECT scene_id, one FROM read_pixels(rasteret.w, 'one') WHERE row = 300 AND col = 200 ORDER BY ALL"
    got = con.execute(sql).fetchall()
    counts = server.counts()
    server.settings(latency_ms=0)
    want = []
    for n in range(SCENES):
        with rasterio.open(server.folder / f"s{n}.tif") as dataset:
            valid = dataset.dataset_mask()[300, 200] > 0
            want.append((f"s{n}", float(dataset.read(1)[300, 200]) if valid else None))
    assert got == want
    assert counts["requests"] == SCENES
    assert counts["max_in_flight"] >= SCENES
