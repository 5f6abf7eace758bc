"""What an answer costs, by the server's own count: requests, bytes, and which ranges."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import rasteret_sql
from rasteret_sql.tiff.parse import HEADER_PREFETCH
from tests.contract.scenes import SIZE, TILE, item, write_items, write_scene
from tests.sampling import some
from tests.servers.range_server import RangeServer

ZONE = "POLYGON ((600400 5099600, 602600 5099600, 602600 5098000, 600400 5098000, 600400 5099600))"
SCENES = 6


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    items = []
    for n in range(SCENES):
        write_scene(folder / f"s{n}.tif", n)
        write_scene(folder / f"two{n}.tif", n + 100, count=2, interleave="pixel" if n % 2 else "band")
        two = {"href": f"two{n}.tif", "type": "image/tiff", "eo:bands": [{"name": "x"}, {"name": "y"}]}
        items.append(item(f"s{n}", day=n + 1, one=f"s{n}.tif", two=two))
    write_items(folder / "items.json", items)
    with RangeServer(folder) as running:
        yield running


@pytest.fixture
def con(server, tmp_path):
    """A new connection with the collection built; the engine's tiles forgotten and the counts at zero."""
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        build(connection, server)
        rasteret_sql.connection.session_for(connection).engine.cache.clear()
        server.reset()
        yield connection


def build(connection, server, **more):
    named = "".join(f", {name} := {value}" for name, value in more.items())
    return connection.execute(
        f"SELECT id FROM rasteret_build_from_stac('w', '{server.url}/items.json'{named}) ORDER BY id"
    ).fetchall()


def asked(server):
    """(file, first byte, end) of each range request, without documents."""
    ranges = []
    for _, path, first, end, _ in server.log():
        if path.endswith(".tif"):
            assert first is not None, f"{path} was asked for as a whole"
            ranges.append((Path(path).name, first, end))
    return ranges


def traffic(server):
    counts = server.counts()
    return counts["requests"], counts["bytes"]


def test_indexing_makes_one_request_for_each_file(server, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        server.reset()
        assert len(build(connection, server)) == SCENES
        ranges = asked(server)
        assert sorted(name for name, *_ in ranges) == sorted(
            [f"s{n}.tif" for n in range(SCENES)] + [f"two{n}.tif" for n in range(SCENES)]
        )
        assert {(first, end - first) for _, first, end in ranges} == {(0, HEADER_PREFETCH)}
        assert traffic(server)[0] == 2 * SCENES + 1  # and the item collection
        server.reset()
        build(connection, server)
        assert traffic(server) == (0, 0)
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as another:
        build(another, server)
        assert another.execute("SELECT count(*) FROM rasteret.w").fetchone() == (SCENES,)
        assert traffic(server) == (0, 0)


READS = {
    "whole": ("'s0'", "'one'", None),
    "zone": ("'s2'", "'one'", ZONE),
    "masked zone": ("'s1'", "'one'", ZONE),
    "chunky bands": ("'s1'", "['x', 'y']", ZONE),
    "planar bands": ("'s0'", "['x', 'y']", ZONE),
    "one planar band": ("'s0'", "'y'", ZONE),
    "overview": ("'s3'", "'one'", ZONE, "overview := 1"),
}


@pytest.mark.parametrize("kind", some(READS, 4))
def test_a_read_costs_what_explain_says(con, server, kind):
    scene, bands, zone, *more = READS[kind]
    arguments = ", ".join([scene, bands, *([f"'{zone}', geom_crs := 'EPSG:32632'"] if zone else []), *more])
    (plan,) = con.execute(f"SELECT rasteret_explain({arguments})").fetchone()
    assert traffic(server) == (0, 0)
    con.execute(f"SELECT read_chip({arguments})").fetchall()
    assert traffic(server) == (plan["requests"], plan["bytes"])
    server.reset()
    con.execute(f"SELECT read_chip({arguments}, on_error := 'null')").fetchall()
    assert traffic(server) == (0, 0), "decoded tiles are kept"


def test_a_read_asks_for_the_tiles_of_its_window_alone(con, server):
    con.execute(f"SELECT read_chip('s0', 'one', '{ZONE}', geom_crs := 'EPSG:32632')").fetchall()
    ranges = asked(server)
    (source,) = rasteret_sql.connection.session_for(con).band_sources([("s0", ("one",))], None)["s0", ("one",)]
    level = source.header.levels[0]
    # columns 40..260, rows 40..200
    tiles = [row * (SIZE // TILE) + col for row in range(2) for col in range(3)]
    stored = [(int(level.offsets[t]), int(level.offsets[t] + level.byte_counts[t])) for t in tiles]
    assert {name for name, *_ in ranges} == {"s0.tif"}
    for start, end in stored:
        assert any(first <= start and end <= last for _, first, last in ranges)
    for _, first, last in ranges:
        assert first in {start for start, _ in stored}
        assert last in {end for _, end in stored}


def test_zones_that_jump_between_scenes_read_each_tile_once(con, server):
    zones = [f"POINT ({600_005 + 1280 * (n % 4)} {5_099_995 - 1280 * (n // 4)})" for n in range(16)]
    rows = [(f"s{(n * 7) % SCENES}", zone) for n, zone in enumerate(zones * 16)]
    con.execute("CREATE TEMP TABLE jumps AS SELECT unnest($ids) AS id, unnest($zones) AS zone",
                {"ids": [r[0] for r in rows], "zones": [r[1] for r in rows]})  # fmt: skip
    con.execute("SELECT sample_point(id, 'one', zone, geom_crs := 'EPSG:32632') FROM jumps").fetchall()
    ranges = sorted(asked(server))
    assert {name for name, _, _ in ranges} == {f"s{n}.tif" for n in range(SCENES)}
    for (name, _, end), (other, start, _) in itertools.pairwise(ranges):
        assert name != other or end <= start, "a byte was asked for twice"


def test_threads_that_want_the_same_tiles_fetch_them_once(con, server):
    def read(_):
        cursor = con.cursor()
        return cursor.execute("SELECT read_chip('s0', 'one').data").fetchone()[0]

    with ThreadPoolExecutor(4) as pool:
        chips = list(pool.map(read, range(4)))
    assert len(set(chips)) == 1
    ranges = sorted(asked(server))
    assert ranges == sorted(set(ranges))
    for (_, _, end), (_, start, _) in itertools.pairwise(ranges):
        assert end <= start


def test_what_is_not_asked_for_is_not_read(con, server):
    con.execute("SELECT id FROM (SELECT id, read_chip(id, 'one') AS chip FROM rasteret.w)").fetchall()
    con.execute("SELECT read_chip(id, 'one') FROM rasteret.w WHERE id = 'none'").fetchall()
    con.execute("EXPLAIN SELECT read_chip(id, 'one') FROM rasteret.w").fetchall()
    assert traffic(server) == (0, 0)
    con.execute("SELECT id, read_chip(id, 'one').width FROM rasteret.w ORDER BY datetime LIMIT 2").fetchall()
    assert {name for name, *_ in asked(server)} == {"s0.tif", "s1.tif"}
