"""What builds and statements of other kinds cost: an API, late headers, statistics, points, errors, connections."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
import rasterio

import rasteret_sql
from rasteret_sql.tiff.parse import HEADER_PREFETCH
from tests.contract.scenes import SIZE, forget, item, small_pixels, write_items, write_scene, write_small
from tests.sampling import some
from tests.servers.range_server import RangeServer
from tests.servers.stac_api import StacApiServer

SCENES = 4
ZONE = "POLYGON ((600400 5099600, 602600 5099600, 602600 5098000, 600400 5098000, 600400 5099600))"
IN_UTM = "geom_crs := 'EPSG:32632'"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("costs")
    for n in range(SCENES):
        write_scene(folder / f"s{n}.tif", n)
    write_items(folder / "items.json", [item(f"s{n}", day=n + 1, b=f"s{n}.tif") for n in range(SCENES)])
    with RangeServer(folder) as running:
        yield running


def ranges(server):
    return sorted((Path(path).name, first, end) for _, path, first, end, _ in server.log() if path.endswith(".tif"))


def assert_each_byte_once(server):
    asked = ranges(server)
    assert asked
    for (name, _, end), (other, start, _) in itertools.pairwise(asked):
        assert name != other or end <= start, f"bytes {start}..{end} of {name} were asked for twice"


def traffic(server):
    counts = server.counts()
    return counts["requests"], counts["bytes"]


def test_an_api_is_searched_once_and_each_file_asked_once(server, tmp_path):
    items = [{**item(f"s{n}", day=n + 1, b=f"{server.url}/s{n}.tif"), "collection": "demo"} for n in range(SCENES)]
    with StacApiServer(items) as api, rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        build = f"SELECT count(*) FROM rasteret_build_from_stac('api', '{api.url}', 'demo', bbox := [10, 45, 11, 47])"
        server.reset()
        assert connection.execute(build).fetchone() == (SCENES,)
        assert [(one.method, one.path) for one in api.seen] == [("GET", "/"), ("POST", "/search")]
        assert ranges(server) == [(f"s{n}.tif", 0, HEADER_PREFETCH) for n in range(SCENES)]
        assert traffic(server)[0] == SCENES
        api.reset()
        server.reset()
        assert connection.execute(build).fetchone() == (SCENES,)
        assert (api.count(), traffic(server)) == (0, (0, 0))


@pytest.mark.exhaustive
def test_what_changes_the_result_is_another_build(server, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:

        def requests(*arguments):
            server.reset()
            connection.execute(
                f"FROM rasteret_build_from_stac('w', '{server.url}/items.json', {', '.join(arguments)})"
            ).fetchall()
            return traffic(server)[0]

        for arguments in (
            ["bbox := [10, 45, 11, 47]"],
            ["bbox := [10, 45, 11, 48]"],
            ["date_range := ['2024-01-01', '2024-02-01']"],
            ["query := {'datetime': {'gte': '2024-01-01'}}"],
            ["band_map := {'c': 'b'}"],
            ["data_source := 'other'"],
        ):
            assert requests(*arguments) == 1 + SCENES, arguments
            assert requests(*arguments) == 0, arguments
        assert requests("bbox := [10, 45, 11, 47]", "max_concurrent := 1") == 0, "how it is read is no part of it"


def test_a_header_that_lies_elsewhere_takes_what_it_needs(tmp_path):
    """Overviews that were added later have their directories at the end of the file."""
    write_small(tmp_path / "late.tif", 1)
    with rasterio.open(tmp_path / "late.tif", "r+") as dataset:
        dataset.build_overviews([2])
    write_items(tmp_path / "items.json", [item("late", b="late.tif")])
    with RangeServer(tmp_path) as running, rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        connection.execute(f"FROM rasteret_build_from_stac('w', '{running.url}/items.json')").fetchall()
        first, second = ranges(running)
        assert first == ("late.tif", 0, HEADER_PREFETCH)
        assert second[1] >= HEADER_PREFETCH
        assert traffic(running)[0] == 3
        (level,) = connection.execute("SELECT rasteret_explain('late', 'b', overview := 1).level").fetchone()
        assert level == 1


CALLS = {
    "zonal_stats": f"zonal_stats(id, 'b', '{ZONE}', {IN_UTM})",
    "weighted": f"zonal_stats(id, 'b', '{ZONE}', {IN_UTM}, weighted := true)",
    "zonal_stat": f"zonal_stat(id, 'b', '{ZONE}', 'mean', {IN_UTM})",
    "read_chip": f"read_chip(id, 'b', '{ZONE}', {IN_UTM})",
}


@pytest.mark.parametrize("name", some(CALLS, 2))
@pytest.mark.parametrize("scene", ["s0", "s1"], ids=["plain", "masked"])
def test_explain_says_what_each_function_reads(con, server, name, scene):
    (plan,) = con.execute(f"SELECT rasteret_explain('{scene}', 'b', '{ZONE}', {IN_UTM})").fetchone()
    assert traffic(server) == (0, 0)
    assert con.execute(f"SELECT {CALLS[name]} FROM rasteret.w WHERE id = '{scene}'").fetchone() != (None,)
    assert traffic(server) == (plan["requests"], plan["bytes"])
    assert plan["files"] == [f"{server.url}/{scene}.tif"]


def test_explain_says_what_a_point_reads(con, server):
    point = "'POINT (600005 5099995)'"
    (plan,) = con.execute(f"SELECT rasteret_explain('s0', 'b', {point}, {IN_UTM})").fetchone()
    assert (plan["tiles"], plan["requests"]) == (1, 1)
    con.execute(f"SELECT sample_point(id, 'b', {point}, {IN_UTM}) FROM rasteret.w WHERE id = 's0'").fetchall()
    assert traffic(server) == (1, plan["bytes"])


def test_several_functions_over_the_same_pixels_read_them_once(con, server):
    con.execute(f"SELECT {', '.join(CALLS.values())} FROM rasteret.w").fetchall()
    assert_each_byte_once(server)
    before = traffic(server)
    con.execute(f"SELECT {', '.join(CALLS.values())} FROM rasteret.w").fetchall()
    assert traffic(server) == before


def test_fields_of_a_call_under_order_by_and_limit_read_each_tile_once(con, server):
    con.execute(
        "SELECT id, read_chip(id, 'b').width, read_chip(id, 'b').height, read_chip(id, 'b').dtype FROM rasteret.w "
        "ORDER BY datetime LIMIT 2"
    ).fetchall()
    assert {name for name, *_ in ranges(server)} == {"s0.tif", "s1.tif"}
    assert_each_byte_once(server)


@pytest.mark.exhaustive
def test_calls_of_many_chunks_read_each_tile_once(con, server):
    """More rows than DuckDB hands over at once, jumping between scenes and places."""
    con.execute(
        "CREATE TEMP TABLE points AS SELECT 's' || (n * 7 % 4) AS id, 'POINT (' || (600005 + 10 * (n * 31 % 512)) || "
        "' ' || (5099995 - 10 * (n * 17 % 512)) || ')' AS point FROM range(6000) AS r(n)"
    )
    rows = con.execute(f"SELECT id, sample_point(id, 'b', point, {IN_UTM}) FROM points").fetchall()
    assert len(rows) == 6000
    assert sum(value is not None for _, value in rows) > 5000  # masked ones are NULL
    assert_each_byte_once(server)


@pytest.mark.exhaustive
def test_threads_with_different_functions_share_their_tiles(con, server):
    server.settings(latency_ms=30)  # so that all are under way before the first is done
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(
                    lambda call: con.cursor().execute(f"SELECT {call} FROM rasteret.w ORDER BY id").fetchall(),
                    list(CALLS.values()) * 2,
                )
            )
    finally:
        server.settings(latency_ms=0)
    assert answers[:4] == answers[4:]
    assert_each_byte_once(server)


def test_connections_of_a_process_share_decoded_tiles(con, server, workspace):
    con.execute("SELECT read_chip('s0', 'b')").fetchall()
    before = traffic(server)
    with rasteret_sql.connect(workspace_dir=workspace) as another:
        assert another.execute("SELECT read_chip(id, 'b').width FROM rasteret.w WHERE id = 's0'").fetchone() == (SIZE,)
    assert traffic(server) == before


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("read_chip(id, 'none')", "unknown band"),
        ("read_chip(CASE WHEN id = 's3' THEN 'none' ELSE id END, 'b')", "unknown scene"),
        (f"read_chip(id, 'b', CASE WHEN id = 's3' THEN 'POLYGON ((' ELSE '{ZONE}' END, {IN_UTM})", "cannot be read"),
        ("read_chip(id, 'b', overview := CASE WHEN id = 's3' THEN 9 END)", "overview := 9 does not exist"),
        ("zonal_stats(id, 'b', 'POINT (1 1)')", "a zone is a polygon"),
    ],
)
def test_a_call_that_cannot_be_answered_asks_for_nothing(con, server, call, says):
    with pytest.raises(duckdb.Error, match=says):
        con.execute(f"SELECT {call} FROM rasteret.w").fetchall()
    assert traffic(server) == (0, 0)


def test_what_lies_outside_asks_for_nothing(con, server):
    outside = "POLYGON ((700000 5000000, 700100 5000000, 700100 5000100, 700000 5000000))"
    rows = con.execute(
        f"SELECT read_chip(id, 'b', '{outside}', {IN_UTM}), zonal_stats(id, 'b', '{outside}', {IN_UTM}), "
        f"sample_point(id, 'b', 'POINT (1 1)', {IN_UTM}), read_chip(id, 'b', 'POLYGON EMPTY') FROM rasteret.w"
    ).fetchall()
    assert rows == [(None, None, None, None)] * SCENES
    assert traffic(server) == (0, 0)


def test_chips_beyond_the_limit_are_an_error_before_any_request(server, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws", max_call_bytes=SIZE * SIZE * 2 + 1) as connection:
        connection.execute(f"FROM rasteret_build_from_stac('w', '{server.url}/items.json')").fetchall()
        forget(connection, server)
        with pytest.raises(duckdb.Error, match=r"max_call_bytes = 524,289.*nothing was fetched.*Use zonal_stats"):
            connection.execute("SELECT read_chip(id, 'b') FROM rasteret.w").fetchall()
        assert traffic(server) == (0, 0)
        # One at a time they fit, and statistics keep no more than one.
        assert connection.execute("SELECT read_chip('s0', 'b').width").fetchone() == (SIZE,)
        rows = connection.execute("SELECT zonal_stats(id, 'b', '(whole image)').count > 0 FROM rasteret.w").fetchall()
        assert rows == [(True,)] * SCENES


@pytest.mark.exhaustive
def test_a_forced_build_reads_the_files_anew(tmp_path):
    """Files may be replaced under the same address: neither headers nor tiles of the old ones are kept."""
    write_small(tmp_path / "a.tif", 1)
    write_items(tmp_path / "items.json", [item("a", b="a.tif")])
    with RangeServer(tmp_path) as running, rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        build = f"FROM rasteret_build_from_stac('w', '{running.url}/items.json', force := true)"
        chip = "SELECT read_chip('a', 'b').data"
        connection.execute(build).fetchall()
        assert connection.execute(chip).fetchone() == (small_pixels(1),)
        write_small(tmp_path / "a.tif", 2)
        assert connection.execute(chip).fetchone() == (small_pixels(1),), "tiles that were read are kept"
        connection.execute(build).fetchall()
        assert connection.execute(chip).fetchone() == (small_pixels(2),)
