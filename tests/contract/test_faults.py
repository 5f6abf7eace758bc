"""Bad servers and bad files: an error that says what was asked and what to do, no wrong pixels, no hang, no secrets."""

import re
import time

import duckdb
import pytest

import rasteret_sql
from rasteret_sql.connection import session_for
from tests.contract.scenes import item, small_pixels, write_items, write_small
from tests.servers.range_server import RangeServer

SECRET = "TOPSECRET"
BAD_FILES = {
    "text": b"<html><body>Please log in</body></html>" * 50,
    "empty": b"",
    "magic_only": b"II*\0\x08\0\0\0",
    "lying_ifd": b"II*\0\xf0\xff\xff\x7f" + bytes(64),
    "giant_count": b"II*\0\x08\0\0\0\x01\0\x11\x01\x04\0\xff\xff\xff\xff\x10\0\0\0" + bytes(64),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faulty")
    with RangeServer(folder) as running:
        for n in range(3):
            write_small(folder / f"good{n}.tif", n)
        for name, content in BAD_FILES.items():
            (folder / f"{name}.tif").write_bytes(content)
        whole = (folder / "good0.tif").read_bytes()
        (folder / "truncated.tif").write_bytes(whole[: len(whole) // 2])

        def served(*names):
            return [item(name, b=f"{running.url}/{name}.tif?token={SECRET}") for name in names]

        good = served("good0", "good1", "good2")
        write_items(folder / "good.json", good)
        write_items(folder / "mixed.json", good + served(*BAD_FILES, "truncated", "missing"))
        (folder / "broken.json").write_text('{"type": "FeatureCollection", "features": [{"id": 3')
        (folder / "other.json").write_text('{"hello": "world"}')
        yield running


@pytest.fixture
def con(server, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        connection.execute(f"FROM rasteret_build_from_stac('good', '{server.url}/good.json')").fetchall()
        session_for(connection).engine.cache.clear()
        yield connection
    server.faults()


def chip(connection, scene="good0", **more):
    named = "".join(f", {name} := {value}" for name, value in more.items())
    return connection.execute(f"SELECT read_chip('{scene}', 'b'{named}).data").fetchone()[0]


def message(connection, sql):
    with pytest.raises(duckdb.Error) as caught:
        connection.execute(sql).fetchall()
    text = str(caught.value)
    assert SECRET not in text
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize(
    "kind", ["503", "429", "500", "truncate", "reset", "reset-early", "wrong-length", "wrong-range"]
)
def test_a_passing_fault_is_overcome(con, server, kind):
    server.faults(kind, every=2, times=2, match="tif")
    assert chip(con) == small_pixels(0)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("403", "403|refused|denied"),
        ("401", "401|refused|denied|credentials"),
        ("404", "404|no such|not exist|not found|missing"),
        ("ignore-range", "[Rr]ange"),
    ],
)
def test_a_lasting_fault_is_an_error_with_the_address(con, server, kind, says):
    server.faults(kind, match="good0.tif")
    start = time.monotonic()
    text = message(con, "SELECT read_chip('good0', 'b')")
    assert time.monotonic() - start < 20
    assert f"{server.url}/good0.tif" in text
    assert "read_chip" in text
    assert re.search(says, text), text
    server.faults()
    assert chip(con) == small_pixels(0), "the connection works afterwards"


def test_a_server_that_is_always_busy_ends_in_an_error(con, server):
    server.faults("503", match="good0.tif")
    start = time.monotonic()
    text = message(con, "SELECT read_chip('good0', 'b')")
    assert time.monotonic() - start < 30
    assert "503" in text
    assert f"{server.url}/good0.tif" in text


def test_on_error_null_keeps_the_other_rows(con, server):
    server.faults("404", match="good1.tif")
    rows = con.execute(
        "SELECT id, read_chip(id, 'b', on_error := 'null').data, sample_point(id, 'b', 'POINT (600005 5099995)', "
        "geom_crs := 'EPSG:32632', on_error := 'null') IS NULL FROM rasteret.good ORDER BY id"
    ).fetchall()
    assert rows == [("good0", small_pixels(0), False), ("good1", None, True), ("good2", small_pixels(2), False)]


@pytest.mark.filterwarnings("ignore:collection:RuntimeWarning")
def test_unreadable_files_keep_their_scenes(server, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        with pytest.warns(RuntimeWarning, match="could not be read") as caught:
            rows = connection.execute(
                f"SELECT id, status FROM rasteret_build_from_stac('mixed', '{server.url}/mixed.json')"
            ).fetchall()
        status = dict(rows)
        assert [name for name, said in status.items() if said == "ok"] == ["good0", "good1", "good2"]
        for name in (*BAD_FILES, "truncated", "missing"):
            assert f"{name}.tif" in status[name], status[name]
        assert SECRET not in str(rows) + str([str(w.message) for w in caught])
        assert chip(connection, "good2") == small_pixels(2)
        text = message(connection, "SELECT read_chip('text', 'b')")
        assert "text.tif" in text
        assert "status = 'ok'" in text
        assert chip(connection, "text", on_error="'null'") is None


def test_a_file_that_changed_behind_the_index_is_no_wrong_small_pixels(server, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        connection.execute(f"FROM rasteret_build_from_stac('good', '{server.url}/good.json')").fetchall()
        session_for(connection).engine.cache.clear()
        server.faults("wrong-range", match="good0.tif")
        text = message(connection, "SELECT read_chip('good0', 'b')")
        assert "good0.tif" in text
        server.faults()


@pytest.mark.parametrize(
    ("document", "says"),
    [("broken.json", "JSON"), ("other.json", "STAC"), ("nothing.json", "404|no such|not found|missing|exist")],
)
def test_bad_documents(server, tmp_path, document, says):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        text = message(connection, f"FROM rasteret_build_from_stac('x', '{server.url}/{document}?key={SECRET}')")
        assert re.search(says, text), text
        assert document in text
        assert connection.execute("SELECT count(*) FROM rasteret_collections()").fetchone() == (0,)


def test_a_search_that_finds_nothing_builds_nothing(server, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        text = message(
            connection,
            f"FROM rasteret_build_from_stac('x', '{server.url}/good.json', date_range := ['1999-01-01', '1999-02-01'])",
        )
        assert "1999" in text
        assert connection.execute("SELECT count(*) FROM rasteret_collections()").fetchone() == (0,)
