"""Bad servers and bad files: an error that says what was asked and what to do, no wrong pixels, no hang, no secrets."""

import os
import re
import struct

import duckdb
import pytest

import rasteret_sql
from rasteret_sql.connection import session_for
from rasteret_sql.io.routed_backend import RoutedBackend
from rasteret_sql.io.settings import IoSettings, change_io_settings
from tests.contract.scenes import item, small_pixels, write_items, write_small
from tests.sampling import some
from tests.servers.range_server import RangeServer
from tests.servers.secrets import planted

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
        write_items(planted(folder / "good.json"), good)
        write_items(planted(folder / "mixed.json"), good + served(*BAD_FILES, "truncated", "missing"))
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


READ = "SELECT read_chip(id, 'b') FROM rasteret.good WHERE id = 'good0'"
"""Not all constants: those DuckDB calls again after an error, while it plans."""


@pytest.mark.parametrize(
    "kind", some(["503", "429", "500", "truncate", "reset", "reset-early", "wrong-length", "wrong-range"], 4)
)
def test_a_passing_fault_is_overcome(con, server, kind):
    server.faults(kind, times=2, match="tif")
    server.reset()
    assert chip(con) == small_pixels(0)
    assert server.counts()["faults"] == {kind: 2}


@pytest.mark.parametrize("where", some(["tif", "json"], 2))
def test_a_busy_server_is_waited_for(server, tmp_path, where):
    server.faults("429", times=1, match=where, retry_after="1")
    server.reset()
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        rows = connection.execute(
            f"SELECT id, status FROM rasteret_build_from_stac('good', '{server.url}/good.json', max_concurrent := 1)"
        ).fetchall()
    assert sorted(rows) == [("good0", "ok"), ("good1", "ok"), ("good2", "ok")]
    assert server.counts()["faults"] == {"429": 1}
    server.faults()


SIGNED = (
    "The request was signed by the query string of its address. The server wants credentials, or a signed address has "
    "expired"
)
LASTING = {
    "403": f"access was denied: HTTP 403. {SIGNED}",
    "401": f"access was denied: HTTP 401. {SIGNED}",
    "404": "there is no such file. Check the address, or rebuild the collection",
    "410": "HTTP 410",
    "302": "the server redirects without saying where to",
    "503": "the server asks to slow down (3 attempts): HTTP 503. Retry later",
    "429": "the server asks to slow down (3 attempts): HTTP 429",
    "truncate": "the connection broke (3 attempts). Retry later",
    "wrong-length": "the answer has the wrong length (3 attempts)",
    "wrong-range": "the answer has the wrong length (3 attempts): another range than the one asked for. The file was "
    "truncated, or replaced since it was indexed: rebuild the collection with force",
}


@pytest.fixture
def fewer_retries():
    change_io_settings(retries=2)
    yield
    change_io_settings(retries=IoSettings().retries)


@pytest.mark.usefixtures("fewer_retries")
@pytest.mark.parametrize("kind", some(LASTING, 8))
def test_a_lasting_fault_is_an_error_that_says_what_to_do(con, server, kind):
    server.faults(kind, match="good0.tif")
    text = message(con, READ)
    assert 'read_chip: scene "good0", band b: ' in text
    assert f"of {server.url}/good0.tif" in text
    assert LASTING[kind] in text
    server.faults()
    assert chip(con) == small_pixels(0), "the connection works afterwards"


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", some(["stall", "stall-early", "slow"], 3))
def test_a_silent_server_ends_in_an_error(con, server, kind, tmp_path):
    quick = RoutedBackend(IoSettings(request_timeout=0.2))
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws", backend=quick) as connection:
        connection.execute("SELECT count(*) FROM rasteret.good").fetchall()
        server.faults(kind, match="good0.tif")
        text = message(connection, READ)
        assert f"of {server.url}/good0.tif: no complete answer came in time (6 attempts)" in text
        rows = connection.execute(
            "SELECT id, read_chip(id, 'b').data FROM rasteret.good WHERE id <> 'good0' ORDER BY id"
        ).fetchall()
        assert rows == [("good1", small_pixels(1)), ("good2", small_pixels(2))], "the others are read meanwhile"


@pytest.mark.usefixtures("fewer_retries")
@pytest.mark.parametrize("kind", some(["503", "403", "404", "truncate"], 4))
def test_a_file_that_fails_while_it_is_indexed_keeps_its_scene(server, tmp_path, kind):
    server.faults(kind, match="good1.tif")
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        with pytest.warns(RuntimeWarning, match="could not be read"):
            rows = connection.execute(
                f"SELECT id, status FROM rasteret_build_from_stac('good', '{server.url}/good.json') ORDER BY id"
            ).fetchall()
        server.faults()
        assert [row for row in rows if row[1] == "ok"] == [("good0", "ok"), ("good2", "ok")]
        said = dict(rows)["good1"]
        assert f"of {server.url}/good1.tif" in said
        assert SECRET not in said
        if kind.isdigit():
            assert f"HTTP {kind}" in said or kind == "404"
        text = message(connection, "SELECT read_chip(id, 'b') FROM rasteret.good")
        assert 'band "b" of scene "good1" in collection "good" could not be indexed' in text
        assert "build again with force := true" in text
        # The remedy is one.
        rows = connection.execute(
            f"SELECT status FROM rasteret_build_from_stac('good', '{server.url}/good.json', force := true)"
        ).fetchall()
        assert rows == [("ok",)] * 3
        assert chip(connection, "good1") == small_pixels(1)


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


@pytest.fixture
def replaceable(tmp_path):
    """A collection of one file on a server, and the file."""
    folder = tmp_path / "replaceable"
    folder.mkdir()
    file = folder / "a.tif"
    write_small(file, 7)
    with RangeServer(folder) as running, rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        write_items(planted(folder / "a.json"), [item("a", b=f"{running.url}/a.tif?token={SECRET}")])
        connection.execute(f"FROM rasteret_build_from_stac('c', '{running.url}/a.json')").fetchall()
        session_for(connection).engine.cache.clear()
        yield connection, file


CHANGES = {
    "cut short": (lambda data: data[: len(data) // 2], "the file was changed since it was indexed"),
    "emptied": (lambda data: b"", "the file was changed since it was indexed"),
    "zeroed": (lambda data: data[:70_000] + bytes(len(data) - 70_000), "the file was changed since it was indexed"),
    "one bit": (lambda data: data[:70_000] + bytes([data[70_000] ^ 1]) + data[70_001:], "rasteret_refresh('name')"),
}


@pytest.mark.parametrize("change", some(CHANGES, 4))
def test_a_file_that_changed_since_it_was_indexed_gives_no_wrong_pixels(replaceable, change):
    connection, file = replaceable
    alter, says = CHANGES[change]
    whole, stat = file.read_bytes(), file.stat()
    file.write_bytes(alter(whole))
    text = message(connection, "SELECT read_chip(id, 'b') FROM rasteret.c")
    assert 'scene "a", band b: ' in text
    assert "/a.tif" in text
    assert says in text
    assert connection.execute("SELECT read_chip(id, 'b', on_error := 'null') FROM rasteret.c").fetchall() == [(None,)]
    file.write_bytes(whole)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert chip(connection, "a") == small_pixels(7)


def with_tag(data, tag, value, index=0):
    """A classic little-endian TIFF with another value of a tag."""
    changed = bytearray(data)
    (directory,) = struct.unpack_from("<I", changed, 4)
    (entries,) = struct.unpack_from("<H", changed, directory)
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        number, kind, count = struct.unpack_from("<HHI", changed, entry)
        if number == tag:
            form, size = {3: ("<H", 2), 4: ("<I", 4)}[kind]
            at = entry + 8 if size * count <= 4 else struct.unpack_from("<I", changed, entry + 8)[0]
            struct.pack_into(form, changed, at + size * index, value)
            return bytes(changed)
    raise KeyError(tag)


LIES = {
    "tile of 2 GiB": ((325, 0x7FFFFFFF), "tile 0 should lie at bytes 512 to 2147484159, but the file has only"),
    "tile at 4 GiB": ((324, 0xFFFFFFF0), "but the file has only"),
    "wide": ((256, 65535), "tag TileOffsets has 16 values for"),
    "tiles of no width": ((322, 0), "tiles of 0 × 64 pixels"),
    "wide tiles": ((322, 65535), "cannot be decoded"),
    "tile elsewhere": ((324, 600, 3), "tile 3 of 256 × 256 pixels"),
    "short tile": ((325, 10), "tile 0 of 256 × 256 pixels"),
    "other compression": ((259, 5), "LZW) cannot be decoded"),
    "other depth": ((258, 8), "cannot be decoded to 64 × 64 × 1 uint8 samples"),
}


@pytest.mark.parametrize("lie", some(LIES, 6))
@pytest.mark.filterwarnings("ignore:collection:RuntimeWarning")
def test_a_lying_header_is_an_error(tmp_path, lie):
    tag, says = LIES[lie]
    write_small(tmp_path / "lie.tif", 0)
    (tmp_path / "lie.tif").write_bytes(with_tag((tmp_path / "lie.tif").read_bytes(), *tag))
    write_small(tmp_path / "good.tif", 1)
    write_items(tmp_path / "items.json", [item("lie", b="lie.tif"), item("good", b="good.tif")])
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        connection.execute(f"FROM rasteret_build_from_stac('c', '{tmp_path / 'items.json'}')").fetchall()
        text = message(connection, "SELECT read_chip(id, 'b') FROM rasteret.c")
        assert "lie.tif" in text
        assert says in text
        assert chip(connection, "good") == small_pixels(1)


@pytest.mark.parametrize(
    ("document", "says"),
    some([("broken.json", "JSON"), ("other.json", "STAC"), ("nothing.json", "404|no such|not found|missing|exist")], 3),
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
