"""Receipts, plans and limits agree with what the server counts, for whichever way pixels are read."""

from concurrent.futures import ThreadPoolExecutor

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import shapely

import rasteret_sql
from tests.contract.scenes import SIZE, forget, item, write_items, write_scene
from tests.sampling import some
from tests.servers.range_server import RangeServer

SCENES, ZONES = 3, 40
WEST, NORTH, PIXEL = 600_000, 5_100_000, 10
IN_UTM = "geom_crs := 32632"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("receipts")
    for n in range(SCENES):
        write_scene(folder / f"s{n}.tif", n)
    write_items(folder / "items.json", [item(f"s{n}", day=n + 1, b=f"s{n}.tif") for n in range(SCENES)])
    with RangeServer(folder) as running:
        running.folder = folder
        yield running


@pytest.fixture
def con(connection, server):
    cursor = connection.cursor()
    rng = np.random.default_rng(11)
    xy = [WEST, NORTH] + rng.uniform(-40, SIZE + 40, (ZONES, 2)) * [PIXEL, -PIXEL]
    zones = shapely.buffer(shapely.points(xy), rng.uniform(0.5, 30, ZONES) * PIXEL, quad_segs=2)
    register(cursor, "zones", zones)
    register(cursor, "points", shapely.points(xy))
    forget(connection, server)
    yield cursor
    cursor.close()


def register(connection, name, geometries):
    connection.register("__given", pa.table({"n": range(len(geometries)), "geom": shapely.to_wkb(geometries)}))
    connection.execute(f"CREATE OR REPLACE TABLE {name} AS FROM __given")


def traffic(server):
    counts = server.counts()
    return counts["requests"], counts["bytes"]


def stats(connection, columns):
    return connection.execute(f"SELECT {columns} FROM rasteret_stats() ORDER BY began_at").fetchall()


CALLS = {
    "zonal_stats": f"SELECT zonal_stats(id, 'b', geom, {IN_UTM}) FROM rasteret.w, zones",
    "weighted": f"SELECT zonal_stats(id, 'b', geom, {IN_UTM}, weighted := true) FROM rasteret.w, zones",
    "zonal_hist": f"SELECT zonal_hist(id, 'b', geom, {IN_UTM}) FROM rasteret.w, zones",
    "read_chip": f"SELECT read_chip(id, 'b', geom, {IN_UTM}) FROM rasteret.w, zones",
    "sample_point": f"SELECT sample_point(id, 'b', geom, {IN_UTM}) FROM rasteret.w, points",
    "zonal_stats_table": f"FROM zonal_stats_table(rasteret.w, zones, 'b', {IN_UTM})",
    "weighted_table": f"FROM zonal_stats_table(rasteret.w, zones, 'b', {IN_UTM}, weighted := true)",
    "sample_points": f"FROM sample_points(rasteret.w, points, 'b', {IN_UTM})",
    "read_chips": f"FROM read_chips(rasteret.w, zones, 'b', {IN_UTM})",
}


@pytest.mark.parametrize("name", CALLS)
def test_a_receipt_is_what_the_server_counts(con, server, name):
    con.execute(CALLS[name]).fetchall()
    (cold,) = stats(con, "requests, bytes, tiles > cache_hits, pairs_planned, pairs_skipped, retries, error")
    assert cold[:3] == (*traffic(server), True)
    assert cold[5:] == (0, None)
    assert cold[3] + cold[4] == SCENES * ZONES
    assert 0 < cold[3] < SCENES * ZONES
    con.execute(CALLS[name]).fetchall()
    assert stats(con, "requests, bytes, tiles - cache_hits, pairs_planned")[1] == (0, 0, 0, cold[3])


def test_get_numpy_has_a_receipt(con, server, workspace):
    collection = rasteret_sql.build_from_stac(
        name="w", stac_api=f"{server.url}/items.json", collection="", workspace_dir=workspace
    )
    box = shapely.box(10.29, 46.0, 10.31, 46.01)  # over the place that the items name
    forget(con, server)
    columns = "functions, requests, bytes, pairs_planned, error"
    ask = f"SELECT {columns} FROM rasteret_stats() ORDER BY began_at"
    assert collection.sql(ask.replace("()", "(clear := true)")).fetchall() == [(["build_from_stac"], 0, 0, 0, None)]
    assert len(collection.get_numpy(box, ["b"])) == SCENES
    assert collection.sql(ask).fetchall() == [(["get_numpy"], *traffic(server), SCENES, None)]
    with pytest.raises(ValueError, match="ragged"):
        collection.get_numpy([box, shapely.box(10.299, 46.0, 10.31, 46.01)], ["b"])
    (failed,) = collection.sql(ask).fetchall()[1:]
    assert failed[1:4] == (0, 0, 0)
    assert failed[4].startswith("InvalidArgumentError: ragged shapes")


@pytest.fixture
def fresh(server, tmp_path):
    """A connection of which nothing is built yet."""
    with rasteret_sql.connect(workspace_dir=tmp_path / "fresh") as connection:
        server.reset()
        yield connection


CHANGES = {
    "rasteret_build_from_stac": "FROM rasteret_build_from_stac('n', '{url}/items.json')",
    "rasteret_stac_search": "FROM rasteret_stac_search('{url}/items.json')",
    "rasteret_build_from_table": "FROM rasteret_build_from_table('{url}/table.parquet', name := 'n', "
    "href_column := 'path', band_index_map := {{'b': 0}})",
    "rasteret_append": "FROM rasteret_append('w')",
    "rasteret_refresh": "FROM rasteret_refresh('w')",
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_searches_or_reads_headers_has_a_receipt(con, fresh, server, name):
    con.execute(
        f"COPY (SELECT 's' || range AS id, '{server.url}/s' || range || '.tif' AS path, "
        "TIMESTAMP '2024-01-01' AS datetime, 'POINT (10.3 46)'::GEOMETRY AS geometry "
        f"FROM range({SCENES})) TO '{server.folder}/table.parquet'"
    )
    server.reset()
    connection = con if "'w'" in CHANGES[name] else fresh
    connection.execute(CHANGES[name].format(url=server.url)).fetchall()
    (got,) = stats(connection, "functions, requests, bytes, retries, error")
    assert got == ([name], *traffic(server), 0, None)
    assert got[1] > 0


def test_repeated_requests_of_a_search_and_of_headers_are_counted(fresh, server):
    server.faults("500", times=2, match="items.json")
    fresh.execute(CHANGES["rasteret_stac_search"].format(url=server.url)).fetchall()
    searched, _ = traffic(server)
    server.faults("reset", times=1, match="s1.tif")
    fresh.execute(CHANGES["rasteret_build_from_stac"].format(url=server.url)).fetchall()
    requests, _ = traffic(server)
    server.faults()
    assert stats(fresh, "functions, requests, retries") == [
        (["rasteret_stac_search"], searched, 2),
        (["rasteret_build_from_stac"], requests - searched, 1),
    ]


TRIANGLE = f"'POLYGON (({WEST} {NORTH}, {WEST + 99} {NORTH}, {WEST} {NORTH - 99}, {WEST} {NORTH}))'"
CONSTANTS = {
    f"zonal_stats('s0', 'b', {TRIANGLE}, {IN_UTM})": 1,
    f"zonal_hist('s0', 'b', {TRIANGLE}, {IN_UTM})": 1,
    f"read_chip('s0', 'b', {TRIANGLE}, {IN_UTM})": 1,
    f"sample_point('s0', 'b', 'POINT ({WEST + 5} {NORTH - 5})', {IN_UTM})": 1,
    "read_chip('s0', 'b')": (SIZE // 128) ** 2,
}


@pytest.mark.parametrize("call", CONSTANTS)
def test_a_call_of_constants_counts_once(con, server, call):
    """DuckDB makes it once or twice."""
    columns = "pairs_planned, pairs_skipped, tiles, requests"
    con.execute(f"SELECT {call}").fetchall()
    assert stats(con, columns) == [(1, 0, CONSTANTS[call], traffic(server)[0])]
    con.execute(f"SELECT {call} FROM range(3)").fetchall()
    assert stats(con, columns)[1] == (1, 0, CONSTANTS[call], 0)


def test_requests_that_are_repeated_are_counted(con, server):
    server.faults("reset", times=1, match="s0.tif")
    con.execute("SELECT read_chip(id, 'b') FROM rasteret.w WHERE id = 's0'").fetchall()
    requests, _ = traffic(server)
    server.faults()
    assert stats(con, "requests, retries") == [(requests, 1)]


def test_a_statement_that_a_server_fails_has_a_receipt(con, server):
    server.faults("404", match="s1.tif")
    with pytest.raises(duckdb.Error, match=r"s1\.tif"):
        con.execute("SELECT read_chip(id, 'b') FROM rasteret.w WHERE id = 's1'").fetchall()
    server.faults()
    ((requests, error),) = stats(con, "requests, error")
    assert requests > 0
    assert "s1.tif" in error


def test_each_statement_of_several_cursors_has_its_own(con, server):
    def read(n):
        cursor = con.cursor()
        point = f"'POINT ({WEST + 5 + 10 * n} {NORTH - 5})'"
        cursor.execute(
            f"SELECT rasteret.sample_point(id, 'b', {point}, geom_crs := 32632 + range % 1) "
            f"FROM rasteret.w, range({n + 1})"
        ).fetchall()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(12)))
    got = stats(con, "pairs_planned, requests, tiles - cache_hits")
    assert sorted(row[0] for row in got) == [SCENES * (n + 1) for n in range(12)]
    assert sum(row[1] for row in got) == traffic(server)[0] == SCENES
    assert sum(row[2] for row in got) == SCENES + 1, "one of them has a mask"


@pytest.mark.exhaustive
def test_the_latest_hundred_are_kept(con):
    con.execute("CREATE OR REPLACE TABLE ids AS SELECT unnest(['s0', 's1', 's2']) AS id")
    read = f"SELECT sample_point(id, 'b', 'POINT ({WEST + 5} {NORTH - 5})', {IN_UTM}) FROM ids LIMIT "
    for limit in (1, *[2] * 98, 3, 3):
        con.execute(f"{read}{limit}").fetchall()
    assert stats(con, "pairs_planned") == [*[(2,)] * 98, (3,), (3,)]


EXPLAINED = {
    "plain": ("zones", "zonal_stats_table", "b", ""),
    "weighted": ("zones", "zonal_stats_table", "b", ", weighted := true"),
    "overview": ("zones", "zonal_stats_table", "b", ", overview := 1"),
    "points": ("points", "sample_points", "b", ""),
    "near points": ("points", "sample_points", "b", ", max_distance_pixels := 3"),
    "chips": ("zones", "read_chips", "b", ""),
    "whole chips": ("zones", "read_chips", "b", ", clip := false"),
}


def explained(connection, name, columns="sum(requests)::INTEGER, sum(bytes)::INTEGER, sum(pairs)::INTEGER"):
    geometries, call, band, options = EXPLAINED[name]
    return connection.execute(
        f"SELECT {columns} FROM rasteret_explain_table(s, {geometries}, '{band}', call := '{call}', {IN_UTM}{options})"
    ).fetchone()


def run(connection, name):
    geometries, call, band, options = EXPLAINED[name]
    return connection.execute(f"FROM {call}(s, {geometries}, '{band}', {IN_UTM}{options})").fetchall()


@pytest.mark.parametrize("name", some(EXPLAINED, 2))
def test_a_plan_is_what_the_server_then_counts(con, server, name):
    # What an overview of a scene with a mask is valid by is another test's.
    con.execute("CREATE OR REPLACE TABLE s AS FROM rasteret.w" + (" WHERE id <> 's1'" if name == "overview" else ""))
    requests, size, pairs = explained(con, name)
    assert traffic(server) == (0, 0)
    assert len(run(con, name)) == pairs
    assert traffic(server) == (requests, size)
    assert explained(con, name) == (requests, size, pairs), "with nothing cached"


AREAS = {
    "a pixel": f"geom := 'POINT ({WEST + 1285} {NORTH - 1275})'",
    "all": "",
    "a part": f"geom := '{shapely.box(WEST + 95, NORTH - 3333, WEST + 2222, NORTH - 77)}'",
    "a corridor": f"geom := '{shapely.LineString([(WEST + 11, NORTH - 11), (WEST + 5100, NORTH - 4100)]).buffer(25)}'",
    "its window": f"geom := '{shapely.Point(WEST + 2500, NORTH - 2500).buffer(1000)}', clip := false",
    "an overview": "overview := 1",
}


@pytest.mark.parametrize("area", some(AREAS, 2))
def test_a_plan_of_pixels_is_what_the_server_then_counts(con, server, area):
    con.execute("CREATE OR REPLACE TABLE s AS FROM rasteret.w" + (" WHERE id <> 's1'" if "overview" in area else ""))
    options = f"{IN_UTM}, {AREAS[area]}".removesuffix(", ")
    columns = "scene_id, band, pairs, tiles, requests::INTEGER, bytes::INTEGER"
    plan = f"SELECT {columns} FROM rasteret_explain_table(s, NULL, 'b', call := 'read_pixels', {options}) ORDER BY 1"
    planned = con.execute(plan).fetchall()
    assert traffic(server) == (0, 0)
    assert [row[:3] for row in planned] == [(scene, "b", 1) for (scene,) in con.execute("SELECT id FROM s").fetchall()]
    con.execute(f"FROM read_pixels(s, 'b', {options})").fetchall()
    assert traffic(server) == (sum(row[4] for row in planned), sum(row[5] for row in planned))
    ((tiles,),) = con.execute(
        "SELECT tiles - cache_hits FROM rasteret_stats() WHERE list_contains(functions, 'read_pixels')"
    ).fetchall()
    assert tiles == sum(row[3] for row in planned)
    assert con.execute(plan).fetchall() == planned, "with nothing cached"


def test_a_plan_of_more_pairs_than_duckdb_asks_for_at_a_time(con, server):
    """Tiles are asked for as pairs come, 2048 at first, then more; several scenes in one batch."""
    rng = np.random.default_rng(5)
    xy = [WEST, NORTH] + rng.uniform(0, SIZE, (3000, 2)) * [PIXEL, -PIXEL]
    register(con, "zones", shapely.buffer(shapely.points(xy), 15, quad_segs=1))
    register(con, "points", shapely.points(xy))
    con.execute("CREATE OR REPLACE TABLE s AS FROM rasteret.w")
    for name in ("plain", "points"):
        forget(con, server)
        requests, size, pairs = explained(con, name)
        assert len(run(con, name)) == pairs > 2048 * 2
        assert traffic(server) == (requests, size)


def with_limit(call, most):
    return call.replace(f", {IN_UTM}", f", {IN_UTM}, max_bytes := {most}")


LIMITED = {**CALLS, "read_pixels": "FROM read_pixels(rasteret.w, 'b')"}


@pytest.mark.parametrize("name", some(LIMITED, 4))
def test_a_call_beyond_its_bytes_asks_for_nothing(con, server, name):
    call = LIMITED[name].replace("'b')", f"'b', {IN_UTM})")
    con.execute(call).fetchall()
    requests, needed = traffic(server)
    forget(con, server)
    with pytest.raises(duckdb.Error, match=r"would fetch .* bytes") as refused:
        con.execute(with_limit(call, needed - 1)).fetchall()
    assert f"more than max_bytes := {needed - 1:,} allows; nothing of it was fetched" in str(refused.value)
    assert "allow " in str(refused.value)
    if name == "read_pixels":  # it is not known which pixels will be asked for: it ends before the limit
        assert traffic(server)[1] < needed
        return
    assert f"would fetch {needed:,} bytes" in str(refused.value)
    assert traffic(server) == (0, 0)
    assert stats(con, "requests, error LIKE 'ByteLimitError: %'")[-1] == (0, True)
    con.execute(with_limit(call, needed)).fetchall()
    assert traffic(server) == (requests, needed)
    con.execute(with_limit(call, 0)).fetchall()
    assert traffic(server) == (requests, needed), "what is cached is free"


def test_a_limit_holds_for_all_rows_of_a_statement(con, server):
    """Rows come 2048 at a time, and each of these batches is another scene."""
    con.execute("CREATE OR REPLACE TABLE ids AS SELECT 's' || (range // 2048) AS id FROM range(6144)")
    point = f"'POINT ({WEST + 5} {NORTH - 5})'"
    read = f"SELECT count(sample_point(id, 'b', {point}, {IN_UTM})) FROM ids"
    assert con.execute(read).fetchone()[0] > 2048
    _, needed = traffic(server)
    forget(con, server)
    with pytest.raises(duckdb.Error, match=f"after .* that this statement fetched already.*or allow {needed:,}"):
        con.execute(with_limit(read, needed - 1)).fetchall()
    assert 0 < traffic(server)[1] < needed
    forget(con, server)
    con.execute(with_limit(read, needed)).fetchall()
    assert traffic(server)[1] == needed


def test_a_limit_may_differ_from_row_to_row(con, server):
    read = f"SELECT id, read_chip(id, 'b', {IN_UTM}, max_bytes := CASE WHEN id = 's1' THEN 10 END) FROM rasteret.w"
    with pytest.raises(duckdb.Error, match="max_bytes := 10 allows"):
        con.execute(read).fetchall()
    forget(con, server)
    assert len(con.execute(f"{read} WHERE id <> 's1'").fetchall()) == SCENES - 1


def test_conditions_on_scenes_come_before_the_limit(con, server):
    call = f"FROM zonal_stats_table(rasteret.w, zones, 'b', {IN_UTM})"
    con.execute(f"{call} WHERE scene_id = 's1'").fetchall()
    _, needed = traffic(server)
    forget(con, server)
    con.execute(f"{with_limit(call, needed)} WHERE scene_id = 's1'").fetchall()
    assert traffic(server)[1] == needed


def test_get_numpy_beyond_its_bytes_asks_for_nothing(con, server, workspace):
    collection = rasteret_sql.build_from_stac(
        name="w", stac_api=f"{server.url}/items.json", collection="", workspace_dir=workspace
    )
    box = shapely.box(10.29, 46.0, 10.31, 46.01)
    forget(con, server)
    with pytest.raises(ValueError, match="max_bytes := 1,000 allows") as refused:
        collection.get_numpy(box, ["b"], max_bytes="1 KB")
    assert type(refused.value).__name__ == "ByteLimitError"
    assert traffic(server) == (0, 0)
    collection.get_numpy(box, ["b"])
    _, needed = traffic(server)
    forget(con, server)
    collection.get_numpy(box, ["b"], max_bytes=needed)
    assert traffic(server)[1] == needed
    with pytest.raises(ValueError, match="max_bytes='lots'"):
        collection.get_numpy(box, ["b"], max_bytes="lots")


def test_a_plan_takes_frames_and_python_variables(con, server):
    table = con.sql("SELECT n, geom FROM zones").to_arrow_table()
    con.register("framed", table)
    plan = (
        "SELECT sum(requests), sum(bytes), sum(pairs) FROM rasteret_explain_table('rasteret.w', {}, 'b', "
        + IN_UTM
        + ")"
    )
    wanted = con.execute(plan.format("zones")).fetchone()
    assert wanted[0] > 0
    assert con.execute(plan.format("framed")).fetchone() == wanted
    assert con.execute(plan.format("'table'")).fetchone() == wanted
    assert con.cursor().execute(plan.format("zones").replace("rasteret_e", "rasteret.rasteret_e")).fetchone() == wanted
    assert traffic(server) == (0, 0)


@pytest.mark.exhaustive
def test_a_limit_is_an_error_also_where_failures_are_null(con, server):
    for call in (LIMITED["zonal_stats"], LIMITED["zonal_stats_table"], LIMITED["sample_points"]):
        with pytest.raises(duckdb.Error, match="max_bytes := 5 allows"):
            con.execute(with_limit(call, "5, on_error := 'null'")).fetchall()
    assert traffic(server) == (0, 0)
    assert con.execute("SELECT count(*) FROM rasteret_failures()").fetchone() == (0,)
