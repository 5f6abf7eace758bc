"""Workspaces, exports and loads in an object store: E28, E37, and `The index itself may live on s3`."""

import json
import shutil
import uuid
from pathlib import Path

import duckdb
import obstore
import pytest
from index_catalog import CountingBackend, item, request, write_catalog

import rasteret_sql
from rasteret_sql.errors import InvalidArgumentError, MissingObjectError
from rasteret_sql.index.change.build import build
from rasteret_sql.index.change.export import export_collection
from rasteret_sql.index.place import mirror as remote
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.place.workspace import collection_names, find_collection, list_collections
from rasteret_sql.index.read.scene_scan import scan_sql
from rasteret_sql.io.remote_directory import ChangedMeanwhileError, RemoteDirectory
from rasteret_sql.io.routed_backend import default_backend
from tests.sampling import exhaustive
from tests.servers.azure import ACCOUNT, ACCOUNT_KEY
from tests.servers.fixtures import *  # noqa: F403

FILES = {"red": "./s0_B04.tif", "nir": "./s0_B08.tif"}


class Bucket:
    def __init__(self, store, url):
        self.store = store
        self.url = url

    def names(self):
        return sorted(meta["path"] for page in obstore.list(self.store) for meta in page)


@pytest.fixture(params=["s3", exhaustive("az")])
def bucket(request, monkeypatch, tmp_path):
    name = f"bkt-{uuid.uuid4().hex[:12]}"
    server = request.getfixturevalue("s3_server" if request.param == "s3" else "azure_server")
    variables = (
        server.environment
        if request.param == "s3"
        else {
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
            "AZURE_STORAGE_ENDPOINT": server.endpoint,
        }
    )
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv(remote.CACHE_VARIABLE, str(tmp_path / "cache"))
    default_backend.cache_clear()  # it keeps what it read of the environment
    yield Bucket(server.store(name), f"{request.param}://{name}")
    default_backend.cache_clear()


@pytest.fixture
def catalog(tmp_path):
    return write_catalog(tmp_path / "catalog")


def rows(index):
    return duckdb.sql(f"SELECT * FROM ({scan_sql(index)}) ORDER BY id").fetchall()


def add_item(catalog, **changes):
    items = json.loads(catalog.read_text())["features"]
    items.append(item("new", "2025-01-01T00:00:00Z", FILES, **changes))
    catalog.write_text(json.dumps({"type": "FeatureCollection", "features": items}))


def test_e37_a_workspace_in_a_bucket_is_built_once(bucket, catalog, tmp_path):
    workspace = f"{bucket.url}/ws"
    url = build(request(catalog, workspace))
    assert url.startswith(workspace)
    assert f"ws/{url.rpartition('/')[2]}/_manifest.json" in bucket.names()
    shutil.rmtree(tmp_path / "cache")
    backend = CountingBackend()
    assert build(request(catalog, workspace, backend=backend)) == url
    assert backend.requests == []
    here = open_collection(build(request(catalog, tmp_path / "ws")))
    assert rows(open_collection(url)) == rows(here)
    assert collection_names(workspace) == {"bay": url}
    assert [(entry["name"], entry["size"], entry["path"]) for entry in list_collections(workspace)] == [("bay", 3, url)]
    assert find_collection("BAY", workspace).origin == url


def test_e37_from_sql_and_python_with_the_life_of_a_collection(bucket, catalog):
    workspace = f"{bucket.url}/deep/ws"
    build_sql = (
        "SELECT id, zonal_stats(id, 'B04', geometry).mean FROM rasteret_build_from_stac('bay', $catalog, "
        "band_map := {'B04': 'red', 'B08': 'nir'}, force := $force)"
    )
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        first = con.execute(build_sql, {"catalog": str(catalog), "force": False}).fetchall()
        assert [row[0] for row in first] == ["s0", "s1", "s2"]
        before = bucket.names()
        add_item(catalog)
        assert con.execute("SELECT found, added, scenes FROM rasteret_append('bay')").fetchall() == [(4, 1, 4)]
        assert set(before) < set(bucket.names())
        with rasteret_sql.connect(workspace_dir=workspace) as other:
            assert other.execute("SELECT count(*) FROM rasteret.bay").fetchone() == (4,)
            assert other.execute("SELECT name, size FROM rasteret_collections()").fetchall() == [("bay", 4)]
        again = con.execute(build_sql, {"catalog": str(catalog), "force": True}).fetchall()
        assert dict(first).items() <= dict(again).items()
        assert not set(before) & set(bucket.names()) - {name for name in before if name.endswith("_manifest.json")}
        assert con.execute("SELECT scenes FROM rasteret_drop('bay')").fetchall() == [(4,)]
        assert bucket.names() == []
    collection = rasteret_sql.build_from_stac(name="py", stac_api=catalog, workspace_dir=workspace)
    assert len(collection) == 4


@pytest.mark.exhaustive
def test_a_name_means_one_collection_in_a_bucket(bucket, catalog):
    workspace = f"{bucket.url}/names"
    first = build(request(catalog, workspace))
    assert not [name for name in bucket.names() if "_names/" in name]
    with pytest.warns(RuntimeWarning, match='"bay" means .* from now on'):
        second = build(request(catalog, workspace, search={"max_items": 1}))
    assert find_collection("bay", workspace).place == second
    with pytest.warns(RuntimeWarning, match='"bay" means .* from now on'):
        assert build(request(catalog, workspace)) == first
    with rasteret_sql.connect(workspace_dir=workspace) as con:
        assert con.execute("SELECT name, size, path FROM rasteret_collections()").fetchall() == [("bay", 3, first)]
        assert con.execute("SELECT count(*) FROM rasteret_load('bay')").fetchone() == (3,)
        assert con.execute("SELECT scenes, path FROM rasteret_drop('bay')").fetchall() == [(3, first)]
    assert bucket.names() == []


def test_e28_an_export_to_a_bucket_loads_from_it(bucket, catalog, tmp_path):
    index = open_collection(build(request(catalog, tmp_path / "ws")))
    target = f"{bucket.url}/shared/bay"
    assert export_collection(index, target) == target
    assert all(name.startswith("shared/bay/year=") for name in bucket.names())
    assert rows(open_collection(target)) == rows(index)
    single = bucket.names()[0]
    assert open_collection(f"{bucket.url}/{single}").count_rows() == 1
    collection = rasteret_sql.load(target, name="loaded")
    assert len(collection) == 3
    counts = collection.sql("SELECT zonal_stats(id, 'B04', geometry).count FROM scenes").fetchall()
    assert all(count > 0 for (count,) in counts)


def test_a_reader_of_the_old_files_is_not_disturbed_by_a_rebuild(bucket, catalog):
    url = build(request(catalog, f"{bucket.url}/ws"))
    old = open_collection(url)
    before = rows(old)
    copies = Path(old.path)
    kept = copies.with_name("kept")
    shutil.copytree(copies, kept)
    add_item(catalog)
    build(request(catalog, f"{bucket.url}/ws", force=True))
    assert rows(open_collection(kept)) == before
    assert open_collection(url).count_rows() == 4


def test_of_two_writers_one_is_told_to_try_again(bucket, catalog):
    url = build(request(catalog, f"{bucket.url}/ws"))
    with pytest.raises(ChangedMeanwhileError, match="run the same again"), remote.changing(url, None) as copy:
        manifest = copy / "_manifest.json"
        manifest.write_text(manifest.read_text().replace('"generation":1', '"generation":2'))
        tree = RemoteDirectory(url)
        text, etag = tree.read("_manifest.json")
        tree.write("_manifest.json", text.replace(b'"generation":1', b'"generation":7'), replacing=etag)
    assert open_collection(url).manifest.generation == 7


def test_nothing_there_and_no_directory(bucket):
    with pytest.raises(MissingObjectError, match=r"there is no collection at (s3|az)://"):
        open_collection(f"{bucket.url}/nothing")
    with pytest.raises(InvalidArgumentError, match="web server"):
        RemoteDirectory("http://127.0.0.1:1/x").files()
    with pytest.raises(InvalidArgumentError, match="no directory of an object store"):
        RemoteDirectory("https://example.com/x?signature=secret")


def test_an_export_loads_from_google(google_server, catalog, tmp_path, monkeypatch):
    """Its emulator takes no writes of obstore, so that files are put there by its own API."""
    index = open_collection(build(request(catalog, tmp_path / "ws")))
    export_collection(index, tmp_path / "out")
    for file in (tmp_path / "out").rglob("*.parquet"):
        name = file.relative_to(tmp_path / "out").as_posix()
        google_server.put("bkt-loads", f"shared/bay/{name}", file.read_bytes())
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google_server.url)
    monkeypatch.setenv(remote.CACHE_VARIABLE, str(tmp_path / "cache"))
    default_backend.cache_clear()
    try:
        assert rows(open_collection("gs://bkt-loads/shared/bay")) == rows(index)
    finally:
        default_backend.cache_clear()
