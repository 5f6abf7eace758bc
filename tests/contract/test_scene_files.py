"""Scenes that are files by their path or address: their header is read once, and pixels are those of a collection."""

import os
import socket
from pathlib import Path

import duckdb
import numpy as np
import pytest
import rasterio

import rasteret_sql
from tests.contract.scenes import SIZE, forget, write_scene
from tests.servers.range_server import RangeServer
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, s3_server

__all__ = ["s3_server"]
SCENES = 3


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for n in range(SCENES):
        write_scene(folder / f"s{n}.tif", n)
    with RangeServer(folder) as running:
        running.folder = folder
        yield running


@pytest.fixture
def con(server, tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        forget(connection, server)
        yield connection


def values(connection, scene, **named):
    arguments = "".join(f", {name} := '{value}'" for name, value in named.items())
    (chip,) = connection.execute(f"SELECT read_chip('{scene}', 1{arguments})").fetchone()
    return np.frombuffer(chip["data"], chip["dtype"]).reshape(SIZE, SIZE)


def pixels(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def test_local_paths(con, server, monkeypatch):
    path = server.folder / "s0.tif"
    assert (values(con, path) == pixels(path)).all()
    monkeypatch.chdir(server.folder)
    assert (values(con, "s0.tif") == pixels(path)).all()
    assert (values(con, path.as_uri()) == pixels(path)).all()


def test_a_local_file_that_is_written_anew(con, tmp_path):
    path = tmp_path / "again.tif"
    for seed in (1, 2):
        write_scene(path, seed, compress="deflate" if seed == 1 else "none")
        assert (values(con, path) == pixels(path)).all()


def test_headers_of_a_relation_are_read_at_once_and_once(con, server):
    con.execute(f"CREATE TABLE files AS SELECT '{server.url}/s' || range || '.tif' AS id FROM range({SCENES})")
    con.execute("CREATE TABLE zones AS SELECT 'POINT (600505 5099495)' AS geom")
    call = "SELECT count(*) FROM read_chips(files, zones, 1, geom_crs := 32632)"
    assert con.execute(call).fetchone() == (SCENES,)
    assert {Path(path).name for _, path, *_ in server.log()} == {f"s{n}.tif" for n in range(SCENES)}
    headers = server.counts()["requests"]
    assert headers == SCENES
    sampled = 'SELECT scene_id, "1" FROM sample_points(files, zones, 1, geom_crs := 32632) ORDER BY ALL'
    got = con.execute(sampled).fetchall()
    read = server.counts()["requests"] - headers
    assert read >= SCENES
    con.execute(call).fetchall()
    assert con.execute(sampled).fetchall() == got
    assert server.counts()["requests"] == headers + read
    for (scene, value), n in zip(got, range(SCENES), strict=True):
        assert scene.endswith(f"s{n}.tif")
        with rasterio.open(server.folder / f"s{n}.tif") as dataset:
            assert value == (dataset.read(1)[50, 50] if dataset.dataset_mask()[50, 50] else None)


def test_a_file_that_is_changed_on_the_server(con, server):
    path = server.folder / "changing.tif"
    write_scene(path, 1, compress="deflate")
    address = f"{server.url}/changing.tif"
    assert (values(con, address) == pixels(path)).all()
    write_scene(path, 2, compress="none")
    forget(con, server)
    with pytest.raises(duckdb.Error, match="changed"):
        values(con, address)
    assert (values(con, address, on_change="refresh") == pixels(path)).all()
    assert (values(con, address) == pixels(path)).all()
    # What is computed from its bands, too, with the header that the file has now.
    for again in (False, True):
        if again:
            write_scene(path, 3, compress="deflate")
            forget(con, server)
        (chip,) = con.execute(f"SELECT read_chip('{address}', 'band_1 * 0.5', on_change := 'refresh')").fetchone()
        assert chip["dtype"] == "float32"
        assert (rasteret_sql.to_numpy(chip)[0][0] == pixels(path) * np.float32(0.5)).all()


def test_a_signed_address_shows_no_secret(con, server):
    address = f"{server.url}/s0.tif?sig=planted-signature&sv=2024"
    assert (values(con, address) == pixels(server.folder / "s0.tif")).all()
    with pytest.raises(duckdb.Error, match=r"s0\.tif") as caught:
        con.execute(f"SELECT read_chip('{address}', 'B9')").fetchall()
    assert "planted-signature" not in str(caught.value).split("LINE 1")[0]
    con.execute(f"SELECT read_chip('{address}', 'B9', on_error := 'null')").fetchall()
    con.execute(f"SELECT read_chip('{server.url}/none.tif?sig=planted-signature', 1, on_error := 'null')").fetchall()
    shown = str(con.execute("FROM rasteret_failures()").fetchall() + con.execute("FROM rasteret_stats()").fetchall())
    assert "none.tif" in shown
    assert "planted-signature" not in shown


def test_s3(con, server, s3_server):
    path = server.folder / "s1.tif"
    s3_server.store("scene-files").put("some place/s1.tif", path.read_bytes())
    con.execute(
        f"FROM rasteret_create_backend('mine', region := 'us-east-1', default_s3_config := "
        f"{{'endpoint': '{s3_server.endpoint}', 'aws_access_key_id': '{ACCESS_KEY}', "
        f"'aws_secret_access_key': '{SECRET_KEY}'}})"
    ).fetchall()
    assert (values(con, "s3://scene-files/some place/s1.tif", backend="mine") == pixels(path)).all()
    con.execute("CREATE TABLE files AS SELECT 's3://scene-files/some place/s1.tif' AS id")
    total = "SELECT sum(\"1\") FROM read_pixels(files, 1, backend := 'mine')"
    with rasterio.open(path) as dataset:
        valid = dataset.read(1)[dataset.dataset_mask() > 0]
    assert con.execute(total).fetchone() == (float(valid.sum()),)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name here")
@pytest.mark.timeout(60)
def test_what_is_no_file_is_said_and_waited_for_by_nobody(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    (tmp_path / "folder.tif").mkdir()
    os.mkfifo(tmp_path / "pipe.tif")
    with socket.socket(socket.AF_UNIX) as server, rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        server.bind("socket.tif")
        for name, what in (("folder", "a folder"), ("pipe", "a pipe"), ("socket", "a socket")):
            path = tmp_path / f"{name}.tif"
            with pytest.raises(duckdb.Error, match=f"{name}.tif: it is no file that can be read at positions: {what}"):
                con.execute(f"SELECT read_chip('{path}', 1)").fetchall()
            if name != "folder":
                with pytest.raises(duckdb.Error, match="it is neither a file nor a folder"):
                    con.execute(f"FROM rasteret_files('{path}')").fetchall()
        assert con.execute(f"SELECT read_chip('{tmp_path}/pipe.tif', 1, on_error := 'null')").fetchall() == [(None,)]
