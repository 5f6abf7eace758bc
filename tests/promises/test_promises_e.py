"""Promises E1 to E38: the guide to building collections, its snippets as they stand but for the addresses."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import rasteret_sql as rasteret
from rasteret_sql import Collection
from tests.promises.conftest import SEVEN, area

LANDSAT = {f"B{n + 1}": asset for n, asset in enumerate(SEVEN)}
DATES = ("2024-01-01", "2024-06-30")
S2 = {"collection": "sentinel-2-l2a"}


def madrid(site, **given):
    given = {
        "name": "madrid-s2",
        "bbox": (-3.75, 40.38, -3.65, 40.48),
        "date_range": DATES,
    } | given
    return rasteret.build_from_stac(stac_api=site.url, collection="sentinel-2-l2a", **given)


def test_e1_e2_e3_the_quick_start(site, home):
    """(net) Headers are kept with the scenes below ~/rasteret_workspace, and the second run asks nothing."""
    build = lambda: rasteret.build(  # noqa: E731
        "earthsearch/sentinel-2-l2a",
        name="sf-bay",
        bbox=(-122.5, 37.7, -122.3, 37.9),
        date_range=("2024-06-01", "2024-07-15"),
        stac_api=site.url,
    )
    collection = build()
    assert (collection.name, len(collection)) == ("sf-bay", 1)
    assert {"B02", "B03", "B04", "B08"} <= set(collection.bands)
    assert list((home / "rasteret_workspace").rglob("*.parquet"))
    before = site.requests()
    assert len(build()) == 1
    assert site.requests() == before


def test_e4_other_parameters_are_another_index(site, home):
    """The reference keys its cache by name and months alone."""
    assert len(madrid(site)) == 1
    assert madrid(site, bbox=(-122.5, 37.5, -122.0, 38.0)).subset(bbox=area("sf-jan")).head(1).num_rows == 1
    with pytest.raises(ValueError, match=r"scene|item"):
        madrid(site, query={"eo:cloud_cover": {"lt": 1}})
    with pytest.raises(ValueError, match=r"scene|item"):
        madrid(site, date_range=("2024-01-01", "2024-06-29"))


def test_e5_e6_e7_e8_full_control(site, home):
    """The last day is part of the range: the scene is of 30 June, 11:00."""
    collection = madrid(site, query={"eo:cloud_cover": {"lt": 20}}, force=True, max_concurrent=100)
    assert collection.to_table(["id"]).column("id").to_pylist() == ["madrid"]
    sent = next(seen.parameters for seen in reversed(site.api.seen) if seen.path == "/search")
    assert sent["datetime"].endswith("/2024-07-01T00:00:00Z")
    assert list(map(float, sent["bbox"])) == [-3.75, 40.38, -3.65, 40.48]


def test_e9_e10_a_band_map_of_seven(site, home):
    collection = rasteret.build_from_stac(
        name="custom-landsat",
        stac_api=site.url,
        collection="landsat-custom",
        bbox=(-120.0, 35.0, -119.5, 35.5),
        date_range=("2024-01-01", "2024-12-31"),
        band_map={
            "B1": "coastal",
            "B2": "blue",
            "B3": "green",
            "B4": "red",
            "B5": "nir",
            "B6": "swir1",
            "B7": "swir2",
        },
    )
    assert collection.bands == list(LANDSAT)
    assert np.unique(collection.get_numpy(area("landsat"), ["B6"])).tolist() == [site.value("landsat", "swir1")]


def test_e11_bands_of_one_file(site, home):
    """(net) Four bands of the asset "image", in both languages."""
    collection = rasteret.build_from_stac(
        name="naip-iowa",
        stac_api=site.url,
        collection="naip",
        bbox=(-93.8, 41.9, -93.6, 42.1),
        date_range=("2022-01-01", "2022-12-31"),
        band_map={"R": "image", "G": "image", "B": "image", "NIR": "image"},
        band_index_map={"R": 0, "G": 1, "B": 2, "NIR": 3},
    )
    expected = {band: site.value("iowa", "image", n) for n, band in enumerate(("R", "G", "B", "NIR"))}
    for band, value in expected.items():
        assert np.unique(collection.get_numpy(area("iowa"), [band])).tolist() == [value]
    with rasteret.connect() as con:
        rows = con.execute(
            "SELECT zonal_stats(id, 'NIR', geometry).mean FROM rasteret_build_from_stac('naip-sql', $api, "
            "collection := 'naip', band_map := {'R': 'image', 'NIR': 'image'}, band_index_map := {'R': 0, 'NIR': 3})",
            {"api": site.url},
        ).fetchall()
    assert rows == [(expected["NIR"],)]


def test_e22_to_e27_an_export_holds_everything(site, home, monkeypatch):
    collection = madrid(site)
    collection.export("./shared_collections/my_collection")
    files = sorted(Path("shared_collections/my_collection").rglob("*.parquet"))
    assert files
    schema = pq.read_schema(files[0])
    assert "geo" in {key.decode() for key in schema.metadata}
    assert {"id", "datetime", "geometry", "red_metadata"} <= set(schema.names)
    searches = site.api.count()
    reloaded = rasteret.load("./shared_collections/my_collection")
    assert (reloaded.name, reloaded.bands, reloaded.data_source) == (
        collection.name, collection.bands, collection.data_source
    )  # fmt: skip
    assert (reloaded.start_date, reloaded.end_date) == (collection.start_date, collection.end_date)
    columns = ["id", "datetime", "geometry"]
    assert reloaded.to_table(columns).to_pylist() == collection.to_table(columns).to_pylist()
    assert np.array_equal(reloaded.get_numpy(area("madrid"), ["red"]), collection.get_numpy(area("madrid"), ["red"]))
    assert site.api.count() == searches


def test_e28_a_copied_export_loads(site, home):
    madrid(site).export("out")
    shutil.copytree("out", "elsewhere/copy")
    shutil.rmtree("out")
    moved = rasteret.load("elsewhere/copy")
    assert np.unique(moved.get_numpy(area("madrid"), ["red"])).tolist() == [site.value("madrid", "red")]
    with rasteret.connect() as con:
        assert con.execute("SELECT id FROM rasteret_load('elsewhere/copy', name := 'moved')").fetchall() == [
            ("madrid",)
        ]


def test_e29_e30_e31_e35_e36_listing(site, home):
    for month in ("01", "06"):
        rasteret.build_from_stac(
            name="bay", stac_api=site.url, bbox=(-122.5, 37.5, -122.0, 38.0),
            date_range=(f"2024-{month}-01", f"2024-{month}-30"), **S2,
        )  # fmt: skip
    madrid(site)
    cached = Collection.list_collections()
    assert sorted((item["name"], item["size"]) for item in cached) == [("bay", 1), ("madrid-s2", 1)]
    assert all(item["data_source"] for item in cached)
    workspace = home / "mnt" / "project_x" / "collections"
    madrid(site, workspace_dir=workspace)
    assert len(Collection.list_collections(workspace)) == 1


def test_e32_a_backend_reads_headers_and_pixels(site, home):
    from tests.promises.test_promises_c import Counting

    backend = Counting()
    collection = madrid(site, backend=backend)
    built = len(backend.read)
    assert built
    # of a band that no other test reads: decoded tiles are kept for the whole process
    collection.get_numpy(area("madrid"), [collection.bands[-1]])
    assert len(backend.read) > built


def test_e33_e34_force_and_other_bands(site, home):
    assert madrid(site, band_map={"R": "red"}).bands == ["R"]
    searches = site.api.count()
    assert madrid(site, band_map={"R": "red", "N": "nir"}, force=True).bands == ["R", "N"]
    assert site.api.count() > searches
