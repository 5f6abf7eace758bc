"""Files replaced since they were indexed: said or read anew as asked, and never pixels from two versions."""

import asyncio
import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.connection import session_for
from rasteret_sql.errors import FileChangedError
from rasteret_sql.index.change.transaction import Change
from rasteret_sql.io.backend import FileFacts
from rasteret_sql.io.settings import IoSettings, change_io_settings
from tests.contract.scenes import item, write_items
from tests.sampling import exhaustive, some
from tests.servers.range_server import RangeServer

SIZE, TILE = 256, 64
CORNER = (600_000, 5_100_000)
READ = "SELECT read_chip(id, 'b'{more}).data FROM rasteret.c WHERE id = '{scene}'"
"""Not all constants: those DuckDB calls while it plans, too."""


def write_version(path, value, *, bands=1, size=SIZE, tile=TILE, compress=None, corner=CORNER):
    """A file of one value (value + 1 in the second band), put in place of the old one at once."""
    fresh = path.with_suffix(".fresh")
    profile = {"driver": "GTiff", "width": size, "height": size, "count": bands, "dtype": "uint16", "crs": "EPSG:32632"}
    profile |= {"transform": from_origin(*corner, 10, 10), "tiled": True, "blockxsize": tile, "blockysize": tile}
    with rasterio.open(fresh, "w", compress=compress, **profile) as dataset:
        for band in range(bands):
            dataset.write(np.full((size, size), value + band, "uint16"), band + 1)
    fresh.replace(path)


def replace_bytes(path, data):
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(data)
    fresh.replace(path)


def values(data):
    """Distinct values of a chip's pixels."""
    return sorted(set(np.frombuffer(data, "uint16").tolist()))


def read(connection, scene="s0", more=""):
    """Pixels as they are read, not as they are kept."""
    session_for(connection).engine.cache.clear()
    # All rows: DuckDB 1.5 hangs where a cursor goes away while a function of ours still runs for its result.
    return values(connection.execute(READ.format(scene=scene, more=more)).fetchall()[0][0])


REFRESH = ", on_change := 'refresh'"


def message(connection, sql):
    with pytest.raises(duckdb.Error) as caught:
        connection.execute(sql).fetchall()
    assert "Traceback" not in str(caught.value)
    return str(caught.value)


class Served:
    """A folder of three scenes; `url` is empty where they are local files."""

    def __init__(self, folder, server, workspace):
        self.folder, self.server, self.workspace = folder, server, workspace
        for n in range(3):
            write_version(folder / f"s{n}.tif", 100 + n)
        where = server.url + "/" if server else str(folder) + "/"
        items = [item(f"s{n}", b=f"{where}s{n}.tif") | {"bbox": [10.29, 46.02, 10.33, 46.05]} for n in range(3)]
        write_items(folder / "items.json", items)
        self.items = where + "items.json"

    def connect(self, **more):
        return rasteret_sql.connect(workspace_dir=self.workspace, **more)

    def build(self, connection):
        rows = connection.execute(f"FROM rasteret_build_from_stac('c', '{self.items}')").fetchall()
        assert len(rows) == 3

    def requests(self, name="s0.tif"):
        return [entry for entry in self.server.log() if entry[1] == f"/{name}"]


@pytest.fixture(params=["http", exhaustive("local")])
def served(request, tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    if request.param == "local":
        yield Served(folder, None, tmp_path / "ws")
        return
    with RangeServer(folder) as server:
        yield Served(folder, server, tmp_path / "ws")


@pytest.fixture
def http(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    with RangeServer(folder) as server:
        yield Served(folder, server, tmp_path / "ws")


def same_size(path):
    before = path.stat().st_size
    write_version(path, 900)
    assert path.stat().st_size == before


def touched(path):
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 5_000_000_000))


def other_size(path):
    write_version(path, 900, compress="deflate")


CHANGES = {"same size": same_size, "touched": touched, "other size": other_size}


@pytest.mark.parametrize(("warm", "change"), some(itertools.product([True, False], CHANGES), 5))
def test_a_replaced_file_is_an_error_that_names_it(served, change, warm):
    with served.connect() as connection:
        served.build(connection)
        session_for(connection).engine.cache.clear()
        if warm:
            # One tile of many is kept: the rest must not join it from another version.
            connection.execute(
                "SELECT sample_point(id, 'b', 'POINT (600005 5099995)', geom_crs := 'EPSG:32632') FROM rasteret.c"
            ).fetchall()
        CHANGES[change](served.folder / "s0.tif")
        text = message(connection, READ.format(scene="s0", more=""))
        assert 'read_chip: scene "s0", band b: ' in text
        assert "s0.tif" in text
        assert "the file was changed since it was indexed" in text
        assert any(word in text for word in ("size ", "ETag ", "changed at ", "ends before"))
        assert "rasteret_refresh(" in text
        assert "on_change := 'refresh'" in text
        assert read(connection, "s1") == [101]
        rows = connection.execute("SELECT id, read_chip(id, 'b', on_error := 'null') IS NULL FROM rasteret.c")
        assert dict(rows.fetchall()) == {"s0": True, "s1": False, "s2": False}


@pytest.mark.parametrize("change", some(CHANGES, 3))
def test_refresh_reads_the_new_version_and_keeps_it_in_the_index(served, change):
    with served.connect() as connection:
        served.build(connection)
        assert read(connection) == [100]
        CHANGES[change](served.folder / "s0.tif")
        now = [100] if change == "touched" else [900]
        assert read(connection, more=REFRESH) == now
        assert read(connection) == now, "from now on without the argument"
        rows = connection.execute("SELECT id, status FROM rasteret.c ORDER BY id").fetchall()
        assert rows == [("s0", "ok"), ("s1", "ok"), ("s2", "ok")]
    with served.connect() as other:
        assert read(other) == now, "the index itself was brought up to date"
        assert read(other, "s2") == [102]


def test_a_changed_file_costs_one_header_request_more(http):
    with http.connect() as connection:
        http.build(connection)
        session_for(connection).engine.cache.clear()
        http.server.reset()
        read(connection, more=REFRESH)
        undisturbed = len(http.requests())
        same_size(http.folder / "s0.tif")
        session_for(connection).engine.cache.clear()
        http.server.reset()
        assert read(connection, more=REFRESH) == [900]
        # An answer of the other version, the same asked once more, the header, and the pixels.
        assert len(http.requests()) <= 2 * undisturbed + 1 + undisturbed
        assert sum(entry[2] == 0 for entry in http.requests()) <= 1 + 3, "one request of the header"
        session_for(connection).engine.cache.clear()
        http.server.reset()
        assert read(connection, more=REFRESH) == [900]
        assert len(http.requests()) == undisturbed


@pytest.mark.parametrize(
    ("sql", "now"),
    some(
        [
            ("zonal_stats(id, 'b', {zone}, geom_crs := 'EPSG:32632'{more}).max", 900),
            ("zonal_stat(id, 'b', {zone}, 'max', geom_crs := 'EPSG:32632'{more})", 900),
            ("sample_point(id, 'b', 'POINT (601005 5098995)', geom_crs := 'EPSG:32632'{more})", 900),
            (
                (
                    "sample_point(id, 'b', 'POINT (601005 5098995)', max_distance_pixels := 2, "
                    "geom_crs := 'EPSG:32632'{more})"
                ),
                900,
            ),
        ],
        4,
    ),
)
def test_every_function_takes_it(http, sql, now):
    zone = "'POLYGON ((600100 5099900, 602000 5099900, 602000 5098000, 600100 5099900))'"
    with http.connect() as connection:
        http.build(connection)
        same_size(http.folder / "s0.tif")
        query = "SELECT {} FROM rasteret.c WHERE id = 's0'"
        text = message(connection, query.format(sql.format(zone=zone, more="")))
        assert "the file was changed since it was indexed" in text
        assert connection.execute(query.format(sql.format(zone=zone, more=REFRESH))).fetchone() == (now,)
        nothing = query.format(sql.format(zone=zone, more=", on_error := 'null'"))
        assert connection.execute(nothing).fetchone() == (now,), "the index was brought up to date"


@pytest.mark.exhaustive
def test_a_row_is_planned_anew_on_another_grid(http):
    with http.connect() as connection:
        http.build(connection)
        write_version(http.folder / "s0.tif", 7, size=128, tile=32, corner=(600_640, 5_099_360))
        found = connection.execute(
            "SELECT c.width, c.height, c.transform[3], c.data FROM (SELECT read_chip(id, 'b', on_change := 'refresh') "
            "c FROM rasteret.c WHERE id = 's0')"
        ).fetchone()
        assert (found[:3], values(found[3])) == ((128, 128, 600_640.0), [7])


@pytest.mark.exhaustive
def test_many_rows_with_some_changed(http):
    with http.connect() as connection:
        http.build(connection)
        same_size(http.folder / "s0.tif")
        other_size(http.folder / "s2.tif")
        rows = connection.execute(
            "SELECT id, n, sample_point(id, 'b', 'POINT (601005 5098995)', geom_crs := 'EPSG:32632', on_change := "
            "'refresh') FROM rasteret.c, range(100) t(n)"
        ).fetchall()
        assert len(rows) == 300
        assert {(scene, value) for scene, _, value in rows} == {("s0", 900), ("s1", 101), ("s2", 900)}


def test_only_the_changed_file_is_asked_again(http):
    with http.connect() as connection:
        http.build(connection)
        query = "SELECT id, read_chip(id, 'b', on_change := 'refresh').data FROM rasteret.c"
        session_for(connection).engine.cache.clear()
        http.server.reset()
        connection.execute(query).fetchall()
        undisturbed = {name: len(http.requests(name)) for name in ("s0.tif", "s1.tif", "s2.tif")}
        same_size(http.folder / "s1.tif")
        session_for(connection).engine.cache.clear()
        http.server.reset()
        rows = connection.execute(query).fetchall()
        assert {scene: values(data) for scene, data in rows} == {"s0": [100], "s1": [900], "s2": [102]}
        for name in ("s0.tif", "s2.tif"):
            assert len(http.requests(name)) == undisturbed[name]
        # Each request of pixels may see the change, and is asked twice then; the header, and the pixels again.
        assert len(http.requests("s1.tif")) <= 3 * undisturbed["s1.tif"] + 1


@pytest.mark.exhaustive
def test_a_query_over_many_parts_goes_on_when_one_of_them_is_refreshed(http):
    """The index is brought up to date while it is scanned."""
    months = range(1, 13)
    items = []
    for month in months:
        write_version(http.folder / f"m{month}.tif", month)
        one = item(f"m{month}", b=f"{http.server.url}/m{month}.tif")
        one["properties"]["datetime"] = f"2024-{month:02}-05T00:00:00Z"
        items.append(one)
    write_items(http.folder / "year.json", items)
    with http.connect() as connection:
        connection.execute(f"FROM rasteret_build_from_stac('y', '{http.server.url}/year.json')").fetchall()
        for month in months:
            write_version(http.folder / f"m{month}.tif", 100 + month)
        # One row a call, each of which changes the index; the scan opens file by file, and so does the join.
        connection.execute("SET threads = 1")
        rows = connection.execute(
            "SELECT s.id, max(sample_point(s.id, 'b', 'POINT (600005 5099995)', geom_crs := 'EPSG:32632', "
            "on_change := 'refresh')) FROM rasteret.y s JOIN rasteret.y t ON t.datetime <= s.datetime GROUP BY s.id"
        ).fetchall()
        assert dict(rows) == {f"m{month}": 100 + month for month in months}
        for month in months:
            got = connection.execute(
                f"SELECT sample_point('m{month}', 'b', 'POINT (600005 5099995)', geom_crs := 'EPSG:32632')"
            ).fetchone()
            assert got == (100 + month,)


@pytest.mark.exhaustive
def test_rows_that_do_not_ask_for_it_are_not_refreshed(http):
    with http.connect() as connection:
        http.build(connection)
        same_size(http.folder / "s0.tif")
        same_size(http.folder / "s1.tif")
        query = (
            "SELECT id, read_chip(id, 'b', on_change := CASE id WHEN 's0' THEN 'refresh' END, on_error := 'null')"
            " IS NULL FROM rasteret.c ORDER BY id"
        )
        assert connection.execute(query).fetchall() == [("s0", False), ("s1", True), ("s2", False)]
        text = message(connection, query.replace(", on_error := 'null'", ""))
        assert 'scene "s1"' in text


def test_other_words_are_refused(http):
    with http.connect() as connection:
        http.build(connection)
        text = message(connection, READ.format(scene="s0", more=", on_change := 'ignore'"))
        assert "on_change := 'ignore' cannot be used; expected 'raise' or 'refresh'" in text


@pytest.fixture
def fewer_retries():
    change_io_settings(retries=1)
    yield
    change_io_settings(retries=IoSettings().retries)


BROKEN = {"empty": b"", "text": b"<html>please log in</html>" * 8000, "magic": b"II*\0\x08\0\0\0"}


@pytest.mark.exhaustive
@pytest.mark.usefixtures("fewer_retries")
@pytest.mark.parametrize("kind", some(BROKEN, 3))
@pytest.mark.filterwarnings("ignore:collection:RuntimeWarning")
def test_a_file_replaced_by_something_else(served, kind):
    with served.connect() as connection:
        served.build(connection)
        replace_bytes(served.folder / "s0.tif", BROKEN[kind])
        text = message(connection, READ.format(scene="s0", more=""))
        assert "changed since it was indexed" in text, text
        text = message(connection, READ.format(scene="s0", more=REFRESH))
        assert "s0.tif" in text
        assert "changed since it was indexed, and has no header that can be read: " in text
        assert read(connection, "s1", REFRESH) == [101]
        rows = connection.execute(
            "SELECT id, read_chip(id, 'b', on_change := 'refresh', on_error := 'null') IS NULL FROM rasteret.c "
            "ORDER BY id"
        ).fetchall()
        assert rows == [("s0", True), ("s1", False), ("s2", False)]
        status = dict(connection.execute("SELECT id, status FROM rasteret.c").fetchall())
        assert status["s1"] == status["s2"] == "ok"
        assert status["s0"].startswith("b: "), status
        write_version(served.folder / "s0.tif", 5)
        with served.connect() as other:
            other.execute("FROM rasteret_refresh('c')").fetchall()
            assert read(other) == [5], "and a refresh finds it again"


@pytest.mark.usefixtures("fewer_retries")
@pytest.mark.parametrize("more", some(["", REFRESH], 2))
def test_a_file_that_is_gone_says_so(served, more):
    with served.connect() as connection:
        served.build(connection)
        session_for(connection).engine.cache.clear()
        data = (served.folder / "s0.tif").read_bytes()
        (served.folder / "s0.tif").unlink()
        assert "there is no such file" in message(connection, READ.format(scene="s0", more=more))
        stat = data
        replace_bytes(served.folder / "s0.tif", stat)
        assert read(connection, more=REFRESH) == [100]


class Switching:
    """A backend over files in memory that tells facts, and puts other bytes in their place after some answers."""

    def __init__(self, versions, after, delay=0.0):
        """`versions`: path → (data, ...) in turn; one follows the other `after` answers of pixels later."""
        self.versions, self.after, self.delay = versions, after, delay
        self.at, self.answers, self.headers = 0, 0, 0
        self.switching = False
        self.tells = True

    async def get_part(self, url, start, length):
        await asyncio.sleep(self.delay)
        if start == 0:
            self.headers += 1
        elif self.switching:
            self.answers += 1
            if self.answers % self.after == 0:
                self.at += 1
        versions = self.versions[Path(urlsplit(url).path).name]
        number = min(self.at, len(versions) - 1)
        data = versions[number]
        return data[start : start + length], FileFacts(len(data), f"v{number}", None) if self.tells else FileFacts()

    async def get_range(self, url, start, length):
        return (await self.get_part(url, start, length))[0]

    async def get_ranges(self, url, ranges):
        return [await self.get_range(url, *one) for one in ranges]


def big_version(tmp_path, value):
    """4 MiB of one value, which take four requests or more."""
    path = tmp_path / "version.tif"
    write_version(path, value, size=1536, tile=512)
    return path.read_bytes()


@pytest.fixture
def switching(tmp_path):
    def make(count, after, tells=True):
        versions = tuple(big_version(tmp_path, value) for value in range(1, count + 1))
        backend = Switching({"s0.tif": versions}, after)
        backend.tells = tells
        # Of two scenes: the id of a single one is a constant, for which DuckDB calls again after an error.
        scenes = [item(name, b="https://host.example/s0.tif") for name in ("s0", "twin")]
        write_items(tmp_path / "items.json", scenes)
        connection = rasteret_sql.connect(workspace_dir=tmp_path / "ws", backend=backend)
        connection.execute(f"FROM rasteret_build_from_stac('c', '{tmp_path / 'items.json'}')").fetchall()
        session_for(connection).engine.cache.clear()
        backend.switching = True
        backend.headers = 0
        return connection, backend

    return make


@pytest.mark.parametrize("after", some(range(1, 5), 4))
def test_a_file_replaced_during_a_read_never_mixes(switching, after):
    connection, backend = switching(2, after)
    text = message(connection, READ.format(scene="s0", more=""))
    assert "ETag v1 instead of v0" in text
    backend.switching = False
    assert read(connection, more=REFRESH) == [2]
    assert backend.headers == 1
    connection.close()


@pytest.mark.parametrize("after", some(range(1, 5), 4))
def test_with_refresh_the_answer_is_of_one_version(switching, after):
    connection, backend = switching(2, after)
    assert read(connection, more=REFRESH) == [2]
    assert backend.headers == 1
    connection.close()


@pytest.mark.parametrize("after", some([1, 3], 2))
def test_an_index_that_knows_nothing_of_its_files_does_not_mix_either(switching, after):
    """As indexes of rasteret, which keep neither size nor ETag nor time."""
    connection, backend = switching(3, after, tells=False)
    backend.tells = True
    text = message(connection, READ.format(scene="s0", more=""))
    assert "the file was changed" in text
    backend.switching = False
    assert len(read(connection)) == 1, "the next call reads what is there now"
    connection.close()


@pytest.mark.exhaustive
@pytest.mark.parametrize(("count", "after"), some([(3, 1), (2, 3)], 2))
def test_an_index_that_knows_nothing_of_its_files_is_refreshed(switching, count, after):
    connection, backend = switching(count, after, tells=False)
    backend.tells = True
    assert read(connection, more=REFRESH) == [count]
    assert backend.headers == 1
    connection.close()


@pytest.mark.exhaustive
@pytest.mark.parametrize("more", some([REFRESH, REFRESH + ", on_error := 'raise'"], 2))
def test_a_file_that_changes_again_and_again_is_an_error_in_bounded_requests(switching, more):
    connection, backend = switching(40, 1)
    text = message(connection, READ.format(scene="s0", more=more))
    assert "the file was changed since it was indexed" in text
    assert "It was read again already: try later" in text
    assert backend.headers == 1
    connection.close()


@pytest.mark.exhaustive
def test_calls_at_once_while_a_file_is_replaced_and_refreshed(http):
    stop = threading.Event()
    latest = {}

    def work(connection, name):
        cursor = connection.cursor()
        while not stop.is_set():
            got = read(cursor, more=REFRESH)
            assert len(got) == 1, got
            latest[name] = got[0]

    with http.connect() as connection, ThreadPoolExecutor(4) as pool:
        http.build(connection)
        running = [pool.submit(work, connection, name) for name in range(4)]
        try:
            for value in (100, 201, 202, 203):
                if value != 100:
                    write_version(http.folder / "s0.tif", value)
                # A file that changes again while it is read again is an error: all four have the last version first.
                while list(latest.values()) != [value] * 4 and not any(one.done() for one in running):
                    time.sleep(0.01)
        finally:
            stop.set()
        for one in running:
            one.result()
        assert read(connection) == [203]
    assert latest == dict.fromkeys(range(4), 203)


@pytest.mark.exhaustive
def test_two_processes_worth_of_sessions_refresh_one_collection(http):
    with http.connect() as one, http.connect() as other:
        http.build(one)
        http.build(other)
        assert read(other) == [100]
        same_size(http.folder / "s0.tif")
        assert read(one, more=REFRESH) == [900]
        http.server.reset()
        session_for(one).engine.cache.clear()
        assert read(other) == [900], "the other session sees the new index"
        assert not [entry for entry in http.requests() if entry[2] == 0 and (entry[3] or 0) > 16_384 * 8]


@pytest.mark.exhaustive
def test_a_file_shared_by_two_scenes_is_brought_up_to_date_for_both(http):
    write_version(http.folder / "both.tif", 10, bands=2)
    url = f"{http.server.url}/both.tif"
    assets = {"x": {"href": url, "type": "image/tiff"}, "y": {"href": url, "type": "image/tiff"}}
    write_items(http.folder / "two.json", [item("one", **assets), item("two", day=9, **assets)])
    with http.connect() as connection:
        connection.execute(
            f"FROM rasteret_build_from_stac('d', '{http.server.url}/two.json', band_map := {{'x': 'x', 'y': 'y'}}, "
            "band_index_map := {'x': 0, 'y': 1})"
        ).fetchall()
        write_version(http.folder / "both.tif", 50, bands=2)
        query = "SELECT read_chip(id, '{}'{}).data FROM rasteret.d WHERE id = '{}'"
        assert values(connection.execute(query.format("x", REFRESH, "one")).fetchone()[0]) == [50]
        for band, scene, expected in (("y", "one", 51), ("x", "two", 50), ("y", "two", 51)):
            more = REFRESH
            assert values(connection.execute(query.format(band, more, scene)).fetchone()[0]) == [expected]
        write_version(http.folder / "both.tif", 70, bands=1)
        session_for(connection).engine.cache.clear()
        text = message(connection, query.format("y", REFRESH, "one"))
        assert "both.tif" in text
        assert values(connection.execute(query.format("x", REFRESH, "one")).fetchone()[0]) == [70]


def tree(path):
    return {file: file.read_bytes() for file in Path(path).rglob("*") if file.is_file()}


@pytest.mark.exhaustive
def test_an_export_is_read_anew_by_the_session_and_stays_as_it_was(http, tmp_path):
    with http.connect() as connection:
        http.build(connection)
        connection.execute(f"FROM rasteret_export('c', '{tmp_path / 'out'}')").fetchall()
    before = tree(tmp_path / "out")
    same_size(http.folder / "s0.tif")
    with rasteret_sql.connect(workspace_dir=tmp_path / "other") as connection:
        connection.execute(f"FROM rasteret_load('{tmp_path / 'out'}', name := 'c')").fetchall()
        assert "changed since it was indexed" in message(connection, READ.format(scene="s0", more=""))
        assert read(connection, more=REFRESH) == [900]
        session_for(connection).engine.cache.clear()
        http.server.reset()
        assert read(connection) == [900]
        assert not [entry for entry in http.requests() if entry[2] == 0 and entry[3] != 0 and entry[3] <= 512]
    assert tree(tmp_path / "out") == before


@pytest.mark.exhaustive
def test_python_takes_it_too(http):
    with http.connect() as connection:
        http.build(connection)
    collection = rasteret_sql.build_from_stac(name="c", stac_api=http.items, workspace_dir=http.workspace)
    area = (600_000, 5_097_440, 602_560, 5_100_000)
    assert set(collection.get_numpy(area, ["b"], geometry_crs=32632).ravel().tolist()) == {100, 101, 102}
    same_size(http.folder / "s0.tif")
    session_of = collection._session.engine.cache
    session_of.clear()
    with pytest.warns(RuntimeWarning, match="changed since it was indexed"):
        pixels = collection.get_numpy(area, ["b"], geometry_crs=32632)
    assert set(pixels.ravel().tolist()) == {101, 102}
    pixels = collection.get_numpy(area, ["b"], geometry_crs=32632, on_change="refresh")
    assert set(pixels.ravel().tolist()) == {900, 101, 102}
    same_size(http.folder / "s1.tif")
    session_of.clear()
    with pytest.raises(FileChangedError, match=r"s1.tif: the file was changed since it was indexed"):
        collection.get_numpy(area, ["b"], geometry_crs=32632, on_error="raise")
    pixels = collection.get_numpy(area, ["b"], geometry_crs=32632, on_error="raise", on_change="refresh")
    assert set(pixels.ravel().tolist()) == {900, 102}
    replace_bytes(http.folder / "s1.tif", b"<html></html>" * 10_000)
    session_of.clear()
    with pytest.warns(RuntimeWarning, match="this is not a TIFF file"):
        pixels = collection.get_numpy(area, ["b"], geometry_crs=32632, on_change="refresh")
    assert set(pixels.ravel().tolist()) == {900, 102}
    assert len(collection.head()) == 3, "the collection goes on with the index as it is now"
    write_version(http.folder / "s1.tif", 11)
    part = collection.where("id <> 's2'")
    with pytest.warns(RuntimeWarning, match="could not be indexed"):
        assert set(part.get_numpy(area, ["b"], geometry_crs=32632).ravel().tolist()) == {900}
    write_version(http.folder / "s0.tif", 12, size=128, corner=(601_280, 5_098_720))
    session_of.clear()
    with pytest.warns(RuntimeWarning, match="could not be indexed"):
        pixels = part.get_numpy(area, ["b"], geometry_crs=32632, on_change="refresh")
    assert pixels.shape == (1, 128, 128)
    assert part.head(columns=["id"])["id"].to_pylist() == ["s0", "s1"]
    with pytest.raises(ValueError, match="on_change"):
        collection.get_numpy(area, ["b"], geometry_crs=32632, on_change="whatever")


def test_an_interrupted_writer_leaves_the_index_whole(http, monkeypatch):
    with http.connect() as connection:
        http.build(connection)
        same_size(http.folder / "s0.tif")

        def fail(*_args, **_more):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(Change, "_write_manifest", fail)
            try:
                read(connection, more=REFRESH)
            except duckdb.Error as error:
                assert "No space left" in str(error) or "not be" in str(error)
        assert read(connection, "s1") == [101]
        assert read(connection, more=REFRESH) == [900]
