"""Collections in a bucket that only a backend reaches: what it was given to, uses it for all that lies there."""

import json
import os
import uuid

import numpy as np
import obstore
import pytest
import rasterio
import shapely
from index_catalog import item, write_catalog

import rasteret_sql
from rasteret_sql.index.place import mirror
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.io.settings import IoSettings, change_io_settings
from tests.servers.fixtures import *  # noqa: F403
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY

BANDS = {"B04": "red", "B08": "nir"}


class Bucket:
    """A bucket of a server that the process knows nothing of."""

    def __init__(self, server, name):
        self.url, self._store = f"s3://{name}", server.store(name)
        self.config = {
            "endpoint": server.endpoint,
            "region": "us-east-1",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        }
        self.backend = rasteret_sql.create_backend(default_s3_config=self.config)
        self.create = "FROM rasteret_create_backend('mine', default_s3_config := {" + (
            ", ".join(f"'{name}': '{value}'" for name, value in self.config.items()) + "})"
        )

    def names(self, prefix=""):
        return sorted(meta["path"] for page in obstore.list(self._store, prefix or None) for meta in page)

    def put(self, directory):
        for file in directory.iterdir():
            obstore.put(self._store, f"catalog/{file.name}", file)
        return f"{self.url}/catalog/items.json"


@pytest.fixture
def bucket(s3_server, monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody is there
    monkeypatch.setenv(mirror.CACHE_VARIABLE, str(tmp_path / "cache"))
    default_backend.cache_clear()
    yield Bucket(s3_server, f"bkt-{uuid.uuid4().hex[:12]}")
    default_backend.cache_clear()


@pytest.fixture
def catalog(tmp_path):
    return write_catalog(tmp_path / "catalog")


def add_item(catalog):
    items = json.loads(catalog.read_text())["features"]
    files = {"red": "./s0_B04.tif", "nir": "./s0_B08.tif"}
    items.append(item("new", "2025-01-01T00:00:00Z", files))
    catalog.write_text(json.dumps({"type": "FeatureCollection", "features": items}))


def pixels(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1), shapely.box(*dataset.bounds), dataset.crs.to_string()


def test_python_reaches_workspace_index_and_files_by_the_backend(bucket, catalog):
    """A build, its life, its parts, its pixels and its export."""
    bucket.put(catalog.parent)
    workspace = f"{bucket.url}/ws"
    made = rasteret_sql.build_from_stac(
        name="bay",
        stac_api=f"{bucket.url}/catalog/{catalog.name}",
        band_map=BANDS,
        workspace_dir=workspace,
        backend=bucket.backend,
    )
    assert len(made) == 3
    assert [name for name in bucket.names("ws") if name.endswith("_manifest.json")]
    expected, bounds, crs = pixels(catalog.parent / "s0_B04.tif")
    part = made.subset(date_range=("2024-01-01", "2030-01-01"))
    read = part.where("id = 's0'").get_numpy([bounds], "B04", geometry_crs=crs)
    np.testing.assert_array_equal(read[0], expected)
    add_item(catalog)
    bucket.put(catalog.parent)
    assert len(made.append()) == 4
    assert len(made.refresh()) == 4
    made.export(f"{bucket.url}/exported")
    assert [name for name in bucket.names("exported") if name.endswith(".parquet")]
    for again in (
        rasteret_sql.load(f"{bucket.url}/exported", workspace_dir=workspace, backend=bucket.backend),
        rasteret_sql.load("bay", workspace_dir=workspace, backend=bucket.backend),
    ):
        assert len(again) == 4
        read = again.where("id = 's0'").get_numpy([bounds], "B04", geometry_crs=crs)
        np.testing.assert_array_equal(read[0], expected)


@pytest.mark.exhaustive
def test_sql_reaches_them_by_the_backend_of_the_connection(bucket, catalog):
    workspace = f"{bucket.url}/ws"
    with rasteret_sql.connect(workspace_dir=workspace, backend=bucket.backend) as con:
        build = "SELECT count(*) FROM rasteret_build_from_stac('bay', ?, band_map := {'B04': 'red', 'B08': 'nir'})"
        assert con.execute(build, [str(catalog)]).fetchone() == (3,)
        add_item(catalog)
        assert con.execute("SELECT added FROM rasteret_append('bay')").fetchone() == (1,)
        con.execute(f"FROM rasteret_export('bay', '{bucket.url}/exported')").fetchall()
    with rasteret_sql.connect(workspace_dir=workspace, backend=bucket.backend) as other:
        assert other.execute("SELECT count(*) FROM rasteret.bay").fetchone() == (4,)
        assert other.execute("SELECT name, size FROM rasteret_collections()").fetchall() == [("bay", 4)]
        load = f"SELECT count(*) FROM rasteret_load('{bucket.url}/exported', name := 'exported')"
        assert other.execute(load).fetchone() == (4,)
        assert other.execute("SELECT scenes FROM rasteret_drop('bay')").fetchone() == (4,)
        assert not [name for name in bucket.names("ws") if name.endswith("_manifest.json")]


@pytest.mark.exhaustive
def test_a_collection_opened_by_a_backend_goes_on_with_it(bucket, catalog, tmp_path):
    """The backend is named once, where the collection is built; the session has none."""
    with rasteret_sql.connect(workspace_dir=tmp_path / "here") as con:
        con.execute(bucket.create).fetchall()
        build = (
            "SELECT count(*) FROM rasteret_build_from_stac('bay', ?, band_map := {'B04': 'red', 'B08': 'nir'}, "
            f"workspace_dir := '{bucket.url}/ws', backend := 'mine')"
        )
        assert con.execute(build, [str(catalog)]).fetchone() == (3,)
        add_item(catalog)
        assert con.execute("SELECT added, scenes FROM rasteret_append('bay')").fetchone() == (1, 4)
        assert con.execute("SELECT checked FROM rasteret_refresh('bay')").fetchone() == (4,)
        assert con.execute("SELECT count(*) FROM rasteret.bay").fetchone() == (4,)
        assert con.execute("SELECT scenes FROM rasteret_drop('bay', backend := 'mine')").fetchone() == (4,)
        assert not [name for name in bucket.names("ws") if name.endswith("_manifest.json")]


@pytest.fixture
def one_retry():
    change_io_settings(retries=1)
    yield
    change_io_settings(retries=IoSettings().retries)


@pytest.mark.usefixtures("one_retry")
def test_without_the_backend_nothing_is_reached(bucket, catalog, tmp_path):
    with pytest.raises(rasteret_sql.RasteretError, match="no connection could be made"):
        rasteret_sql.load(f"{bucket.url}/exported", workspace_dir=tmp_path)
