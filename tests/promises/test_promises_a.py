"""Promises A2, A3, A9 to A13, A18, A19 and A22: the reference page of create_backend and StorageBackend."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from obstore.auth.earthdata import NasaEarthdataCredentialProvider
from obstore.auth.planetary_computer import PlanetaryComputerCredentialProvider
from obstore.store import HTTPStore, MemoryStore

import rasteret_sql as rasteret
from rasteret_sql import CloudConfig, Collection, ObstoreBackend, StorageBackend
from rasteret_sql.catalog.dataset_backend import backend_for
from rasteret_sql.io.loop import run
from tests.promises.conftest import area
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY, S3Server

S2 = "earthsearch/sentinel-2-l2a"
BAY = {"bbox": (-122.5, 37.5, -122.0, 38.0), "date_range": ("2024-01-01", "2024-03-31")}


class Files:
    """A backend of the user's own, as the page shows one: two methods, no base class. This one is not even async."""

    def __init__(self, prefix: str, directory: Path) -> None:
        self.prefix, self.directory = prefix, directory
        self.asked: list[str] = []

    def get_range(self, url: str, start: int, length: int) -> bytes:
        self.asked.append(url)
        return (self.directory / url.removeprefix(self.prefix)).read_bytes()[start : start + length]

    def get_ranges(self, url: str, ranges: list[tuple[int, int]]) -> list[bytes]:
        return [self.get_range(url, start, length) for start, length in ranges]


class AsyncFiles(Files):
    async def get_range(self, url: str, start: int, length: int) -> bytes:  # type: ignore[override]
        return super().get_range(url, start, length)

    async def get_ranges(self, url: str, ranges: list[tuple[int, int]]) -> list[bytes]:  # type: ignore[override]
        return [await self.get_range(url, start, length) for start, length in ranges]


@pytest.fixture(params=[Files, AsyncFiles])
def own(request, site):
    return request.param(f"{site.files.url}/", site.files.directory)


def bay(site, home, **given):
    return rasteret.build(S2, **{"name": "bay", "stac_api": site.url, "workspace_dir": home, **BAY, **given})


def test_a2_every_data_access_method_takes_a_backend(own, site, home):
    """And uses it: pixels come from nowhere else."""
    calls = (rasteret.build, rasteret.build_from_stac, rasteret.build_from_table, rasteret.load, rasteret.connect)
    for call in (*calls, Collection.get_numpy):
        assert inspect.signature(call).parameters["backend"].default is None
    collection = bay(site, home, backend=own)
    before = site.files.counts()["requests"]
    del own.asked[:]
    with rasteret.connect(backend=own) as con:
        mean = "SELECT zonal_stats(id, 'B11', geometry).mean FROM rasteret_load(?)"
        assert con.execute(mean, [str(collection.path)]).fetchall()
    assert own.asked
    assert site.files.counts()["requests"] == before


def test_a9_a13_a18_a_class_of_ones_own_reads_headers_and_pixels(own, site, home):
    """No subclass is needed (A9); methods may be awaited (A13) or plain. It sees the addresses of the index."""
    assert isinstance(own, StorageBackend)
    assert not issubclass(type(own), rasteret.io.routed_backend.RoutedBackend)
    before = site.files.counts()["requests"]
    collection = bay(site, home, backend=own)
    headers = len(own.asked)
    assert headers >= 2 * len(collection.bands)
    pixels = collection.get_numpy(area("sf-jan"), ["B09"], backend=own, date_range=("2024-01-01", "2024-01-31"))
    assert np.unique(pixels).tolist() == [site.value("sf-jan", "nir09")]
    assert len(own.asked) > headers
    assert all(url.startswith(site.files.url) for url in own.asked)
    assert site.files.counts()["requests"] == before


def test_a10_a11_a12_ranges_of_each_backend(site):
    """Exact lengths, in the order asked for; no ranges give none."""
    name = next(site.files.directory.glob("madrid_*.tif")).name
    data, url = (site.files.directory / name).read_bytes(), f"{site.files.url}/{name}"
    for backend in (
        rasteret.create_backend(),
        ObstoreBackend(HTTPStore.from_url(site.files.url, client_options={"allow_http": True}), f"{site.files.url}/"),
    ):
        assert bytes(run(backend.get_range(url, 5, 11))) == data[5:16]
        parts = run(backend.get_ranges(url, [(100, 3), (0, 8), (4, 1)]))
        assert [bytes(part) for part in parts] == [data[100:103], data[:8], data[4:5]]
        assert run(backend.get_ranges(url, [])) == []
        assert inspect.iscoroutinefunction(backend.get_range)


def test_a3_providers_of_obstore_are_accepted():
    """Constructed as obstore has it; each serves its own cloud."""
    container = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2"
    for provider in (
        PlanetaryComputerCredentialProvider(container),
        NasaEarthdataCredentialProvider("https://data.lpdaac.earthdatacloud.nasa.gov/s3credentials"),
    ):
        assert isinstance(rasteret.create_backend(credential_provider=provider), StorageBackend)


def test_a19_built_in_datasets_work_without_a_backend(site, home):
    """(net) Most: those that are open, that say how they are paid, or where credentials are to be had."""
    every = rasteret.DatasetRegistry.list()
    without = [
        one
        for one in every
        if not one.requires_auth or one.s3_credentials_url or backend_for(one.id, build=True) is not None
    ]
    assert [one.id for one in every if one not in without] == []
    collection = bay(site, home)
    pixels = collection.get_numpy(area("sf-jan"), ["B04"], date_range=("2024-01-01", "2024-01-31"))
    assert np.unique(pixels).tolist() == [site.value("sf-jan", "red")]


# A22: the sections of examples on that page. Planetary Computer and NASA Earthdata run in test_promises_guide.py.


@pytest.fixture
def bucket(s3_server: S3Server, site, monkeypatch):
    """The files of the site in a private bucket; no key in the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    store = s3_server.store("examples-of-the-page")
    for file in site.files.directory.glob("madrid_red.tif"):
        store.put(file.name, file.read_bytes())
    return s3_server


def madrid(site, home, backend, **given):
    collection = rasteret.build_from_stac(
        name="madrid", stac_api=site.url, collection="sentinel-2-l2a", bbox=(-3.9, 40.3, -3.5, 40.6),
        date_range=("2024-06-01", "2024-06-30"), band_map={"R": "red"}, backend=backend, workspace_dir=home, **given,
    )  # fmt: skip
    return np.unique(collection.get_numpy(area("madrid"), ["R"], backend=backend)).tolist()


def test_a22_custom_s3_region_and_with_cloud_config(bucket, site, home):
    """Keys in default_s3_config; the config leads from the address of the items to the bucket."""
    config = CloudConfig(
        provider="aws", region="us-east-1", url_patterns={f"{site.files.url}/": "s3://examples-of-the-page/"}
    )
    backend = rasteret.create_backend(
        cloud_config=config,
        region="us-west-2",
        default_s3_config={"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY},
    )
    before = site.files.counts()["requests"]
    assert madrid(site, home, backend) == [site.value("madrid", "red")]
    assert site.files.counts()["requests"] == before
    assert backend.store_of("s3://another-bucket/x")[0].config["region"] == "us-west-2"


def test_a22_custom_obstore_backend(site, home):
    """In memory, below a prefix (A14, A15)."""
    store = MemoryStore()
    store.put("madrid_red.tif", (site.files.directory / "madrid_red.tif").read_bytes())
    backend = ObstoreBackend(store, url_prefix=f"{site.files.url}/")
    before = site.files.counts()["requests"]
    assert madrid(site, home, backend) == [site.value("madrid", "red")]
    assert site.files.counts()["requests"] == before


def test_a22_custom_backend_implementation(own, site, home):
    assert madrid(site, home, own) == [site.value("madrid", "red")]
    assert own.asked
