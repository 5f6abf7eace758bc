"""The registry, its built-in data files, descriptors and cloud configs."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.resources import files

import pytest

from rasteret_sql.catalog import CloudConfig, DatasetDescriptor, DatasetRegistry
from rasteret_sql.catalog.data_files import PROVIDERS, provider_documents
from rasteret_sql.errors import InvalidArgumentError, UnknownDatasetError
from rasteret_sql.geo.lonlat_boxes import parse_bbox
from rasteret_sql.scenes.dates import parse_date_range

BUILT_IN = [entry for document in provider_documents() for entry in document["datasets"]]
REFERENCE_IDS = [
    "earthsearch/sentinel-2-l2a", "earthsearch/landsat-c2-l2", "earthsearch/naip", "earthsearch/cop-dem-glo-30",
    "earthsearch/cop-dem-glo-90", "pc/sentinel-2-l2a", "pc/io-lulc-annual-v02", "pc/alos-dem", "pc/nasadem",
    "pc/esa-worldcover", "pc/usda-cdl", "aef/v1-annual",
]  # fmt: skip
CHECKED_EXTRAS = [
    "earthsearch/sentinel-2-c1-l2a", "pc/landsat-c2-l2", "pc/naip", "pc/cop-dem-glo-30", "pc/cop-dem-glo-90",
    "pc/sentinel-1-rtc", "pc/hls2-l30", "pc/hls2-s30", "pc/modis-13Q1-061", "pc/modis-09A1-061", "pc/3dep-seamless",
    "pc/jrc-gsw", "earthdata/hls-l30", "earthdata/hls-s30",
]  # fmt: skip


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Each test has a registry of its own."""
    monkeypatch.setattr(DatasetRegistry, "_descriptors", None)
    monkeypatch.setattr(CloudConfig, "_registered", {})


# The data files


def test_every_data_file_is_read():
    folder = files("rasteret_sql.catalog") / "data"
    assert {path.name for path in folder.iterdir()} == {f"{name}.json" for name in PROVIDERS}


@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda entry: entry["id"])
def test_schema_of_the_data_files(entry):
    known = {one.name for one in fields(DatasetDescriptor)}
    assert set(entry) <= known
    descriptor = DatasetDescriptor(**entry)
    for name in ("id", "name", "description", "spatial_coverage", "temporal_range", "license", "license_url"):
        assert getattr(descriptor, name), name
    assert (descriptor.stac_api and descriptor.stac_collection) or descriptor.build_source_uri
    assert descriptor.band_map or descriptor.band_index_map
    parse_bbox(descriptor.example_bbox)
    parse_date_range(descriptor.example_date_range)
    start, end = descriptor.temporal_range
    parse_date_range((start, None if end == "present" else end))
    for url in (descriptor.stac_api, descriptor.license_url, descriptor.s3_credentials_url, descriptor.azure_asset_url):
        assert url is None or url.startswith("https://")
    # Bands that share an asset need sample numbers.
    keys = list((descriptor.band_map or {}).values())
    shared = {band for band, key in (descriptor.band_map or {}).items() if keys.count(key) > 1}
    assert shared <= set(descriptor.band_index_map or {})


@pytest.mark.parametrize("document", provider_documents(), ids=PROVIDERS)
def test_ids_stand_in_the_file_of_their_provider(document):
    assert all(entry["id"].startswith(f"{document['provider']}/") for entry in document["datasets"])
    assert all(CloudConfig.from_value(config) for config in document.get("cloud_configs", {}).values())


def test_all_documented_datasets_are_there():
    ids = [one.id for one in DatasetRegistry.list()]
    assert sorted(ids) == sorted(REFERENCE_IDS + CHECKED_EXTRAS)
    assert [name for name in ids if name in REFERENCE_IDS] == REFERENCE_IDS


def test_band_codes():
    assert list(DatasetRegistry.get("earthsearch/sentinel-2-l2a").band_map)[:4] == ["B01", "B02", "B03", "B04"]
    assert DatasetRegistry.get("earthsearch/landsat-c2-l2").band_map["B5"] == "nir08"
    assert DatasetRegistry.get("pc/sentinel-2-l2a").band_map["B04"] == "B04"
    assert list(DatasetRegistry.get("aef/v1-annual").band_index_map.values()) == list(range(64))


# The registry


def test_search_ignores_case_and_looks_in_id_name_and_description():
    assert {one.id for one in DatasetRegistry.search("SENTINEL-2-L2a")} == {
        "earthsearch/sentinel-2-l2a",
        "pc/sentinel-2-l2a",
    }
    assert "pc/alos-dem" in [one.id for one in DatasetRegistry.search("jaxa")]
    assert DatasetRegistry.search("no such word") == []


def test_life_of_a_descriptor():
    mine = DatasetDescriptor(id="my-org/mine", stac_api="https://x", stac_collection="c", band_map={"R": "red"})
    assert DatasetRegistry.get(mine.id) is None
    DatasetRegistry.register(mine)
    assert DatasetRegistry.get(mine.id) is mine
    assert DatasetRegistry.list()[-1] is mine
    assert DatasetRegistry.unregister(mine.id) is mine
    assert DatasetRegistry.unregister(mine.id) is None


def test_registering_again_replaces_in_place():
    before = [one.id for one in DatasetRegistry.list()]
    DatasetRegistry.register(DatasetDescriptor(id="earthsearch/naip", name="other"))
    assert [one.id for one in DatasetRegistry.list()] == before
    assert DatasetRegistry.get("earthsearch/naip").name == "other"


def test_a_built_in_stays_away_once_unregistered():
    DatasetRegistry.unregister("earthsearch/naip")
    assert "earthsearch/naip" not in [one.id for one in DatasetRegistry.list()]


def test_unknown_datasets_say_what_exists():
    says = r'"earthsearch/sentinel2": did you mean "earthsearch/sentinel-2-l2a"'
    with pytest.raises(UnknownDatasetError, match=says):
        DatasetRegistry.require("earthsearch/sentinel2")
    with pytest.raises(KeyError):
        DatasetRegistry.require("x")


def test_only_descriptors_are_registered():
    with pytest.raises(InvalidArgumentError, match="takes a DatasetDescriptor, not dict"):
        DatasetRegistry.register({"id": "x"})


# Descriptors


@pytest.mark.parametrize("entry", BUILT_IN, ids=lambda entry: entry["id"])
def test_json_round_trip(entry):
    descriptor = DatasetDescriptor(**entry)
    assert DatasetDescriptor(**json.loads(json.dumps(descriptor.to_dict()))) == descriptor


def test_only_the_id_is_mandatory():
    assert DatasetDescriptor(id="a/b").name == ""
    with pytest.raises(TypeError):
        DatasetDescriptor()
    with pytest.raises(TypeError):
        DatasetDescriptor(id="a/b", colour="blue")


def test_roles_and_columns_say_the_same():
    aef = DatasetRegistry.get("aef/v1-annual")
    assert aef.column_map == {"fid": "id", "geom": "geometry", "year": "datetime", "crs": "proj:epsg"}
    by_columns = DatasetDescriptor(id="x", column_map={"fid": "id"}, href_column="path", bbox_columns={"minx": "west"})
    assert by_columns.field_roles == {"id": "fid", "href": "path"}
    by_roles = DatasetDescriptor(id="x", field_roles={"id": "fid", "href": "path"}, bbox_columns={"minx": "west"})
    assert (by_roles.column_map, by_roles.href_column) == ({"fid": "id"}, "path")
    assert DatasetDescriptor(id="x").field_roles == {"bbox": "bbox"}
    assert (aef.source_field("datetime"), aef.source_field("other")) == ("year", "other")
    assert aef.surface_has_field("index", "year")
    assert not aef.surface_supports_filter("index", "geometry")
    with pytest.raises(ValueError, match='no table "indx": did you mean "index"'):
        aef.surface_has_field("indx", "year")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"id": ""}, "dataset id"),
        ({"stac_api": 5}, "stac_api has to be text"),
        ({"requires_auth": "yes"}, "requires_auth has to be true or false"),
        ({"band_map": {"R": 1}}, "band_map has to map"),
        ({"band_index_map": {"R": "1"}}, "band_index_map has to map"),
        ({"bbox_columns": {"west": "w"}}, 'bbox_columns names "west"'),
        ({"temporal_range": "2020"}, "temporal_range"),
        ({"example_bbox": (1, 2, 3)}, "example_bbox"),
        ({"surface_fields": {"table": ["id"]}}, 'no table "table"'),
        ({"cloud_config": {"provder": "aws"}}, 'no field "provder": did you mean "provider"'),
        ({"cloud_config": {"region": "eu"}}, "lacks its provider"),
    ],
)
def test_bad_descriptors(given, says):
    with pytest.raises(InvalidArgumentError, match=says):
        DatasetDescriptor(**{"id": "a/b", **given})


# Cloud configs


def test_defaults_of_a_config():
    config = CloudConfig("aws")
    assert (config.requester_pays, config.region, config.url_patterns) == (False, "us-west-2", {})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"provider": "amazon"}, "'amazon' is unknown; .*aws, gcp, azure"),
        ({"provider": "aws", "requester_pays": "yes"}, "true or false"),
        ({"provider": "aws", "url_patterns": ["x"]}, "url_patterns"),
        ({"provider": "aws", "region": 1}, "region"),
    ],
)
def test_bad_configs(given, says):
    with pytest.raises(InvalidArgumentError, match=says):
        CloudConfig.from_value(given)


def test_configs_are_found_by_id_collection_and_last_part():
    mine = CloudConfig("gcp", region="eu")
    CloudConfig.register("My-Collection", mine)
    assert CloudConfig.get_config("my-collection") is mine
    assert CloudConfig.get_config("my-org/my-collection") is mine
    assert CloudConfig.get_config("x/y", "my-collection") is mine
    assert CloudConfig.get_config("x/y") is None


def test_configs_of_built_in_datasets_are_registered_beforehand():
    assert CloudConfig.get_config("earthsearch/landsat-c2-l2").requester_pays
    assert CloudConfig.get_config("LANDSAT-C2-L2").url_patterns == {
        "https://landsatlook.usgs.gov/data/": "s3://usgs-landsat/"
    }
    assert not CloudConfig.get_config("sentinel-2-l2a").requester_pays
    assert CloudConfig.get_config("pc/landsat-c2-l2") is None


def test_a_descriptors_config_takes_effect_with_it():
    config = {"provider": "aws", "url_patterns": {"s3://b/": "https://h/"}}
    DatasetRegistry.register(DatasetDescriptor(id="my-org/mine", cloud_config=config))
    assert CloudConfig.get_config("my-org/mine").url_patterns == {"s3://b/": "https://h/"}
