"""Items to scenes: place, time, CRS and files; what odd items become."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
import shapely

from rasteret_sql.errors import StacError
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.hrefs import rewrite
from rasteret_sql.stac.item_to_scene import band_names, scene_items
from rasteret_sql.stac.search import StacSource
from tests.stac.stac_items import make_asset, make_item, search_items

FIXTURES = Path(__file__).parent / "fixtures"
DATA = Path(__file__).parents[2] / "examples" / "data"


def scenes(*items, **kwargs):
    return scene_items(items, BandNaming(), **kwargs)


def one(item, **kwargs):
    (scene,), warnings = scenes(item, **kwargs)
    return scene, warnings


def test_a_scene_has_what_its_item_says():
    scene, warnings = one(make_item("s", "2024-05-01T12:30:00+02:00", 10, 50, collection="c", properties={"gsd": 10}))
    assert warnings == []
    assert (scene.id, scene.collection, scene.datetime) == ("s", "c", datetime(2024, 5, 1, 10, 30))
    assert scene.bbox == (10, 50, 11, 51)
    assert shapely.from_wkb(scene.geometry).equals(shapely.box(10, 50, 11, 51))
    assert scene.properties == {"eo:cloud_cover": 5, "gsd": 10}
    assert scene.bands["data"].band_index is None


def test_the_item_is_left_as_it_was():
    item = make_item("s")
    before = json.dumps(item)
    one(item)
    assert json.dumps(item) == before


def test_bbox_is_computed_where_missing_and_flattened():
    item = make_item("s", west=3, south=4)
    assert one({**item, "bbox": None})[0].bbox == (3, 4, 4, 5)
    assert one({**item, "bbox": [3, 4, -10, 4, 5, 900]})[0].bbox == (3, 4, 4, 5)
    assert one({**item, "bbox": [3, 4, "x", 5]})[0].bbox == (3, 4, 4, 5)


def test_bbox_across_the_antimeridian_covers_the_turn():
    assert one(make_item("s") | {"bbox": [179, -10, -179, 10]})[0].bbox == (-180, -10, 180, 10)


def test_geometry_is_two_dimensional():
    item = make_item("s") | {"geometry": {"type": "Point", "coordinates": [1, 2, 3]}}
    assert one(item)[0].geometry == shapely.to_wkb(shapely.Point(1, 2))


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"geometry": None}, "1 item without geometry: s"),
        ({"geometry": {"type": "Polygon", "coordinates": [1]}}, "geometry that is not GeoJSON, which is left out: s"),
        ({"geometry": {"type": "Blob"}}, "geometry that is not GeoJSON"),
        ({"geometry": {"type": "Point", "coordinates": [float("nan"), 1]}}, "geometry that is not GeoJSON"),
        ({"geometry": "POINT (1 2)"}, "geometry that is not GeoJSON"),
        ({"properties": {"datetime": None}}, "1 item without datetime: s"),
        ({"properties": None}, "1 item without datetime: s"),
        ({"properties": {"datetime": "May"}}, "not RFC 3339, which is left out: s"),
        ({"assets": {"x": {"href": "x.json"}}}, "without an asset for any band: s"),
    ],
)
def test_odd_items_are_kept_with_a_warning(change, warning):
    odd = make_item("s") | change
    kept, warnings = scenes(odd, make_item("t"))
    assert [scene.id for scene in kept] == ["s", "t"]
    assert len(warnings) == 1
    assert warning in warnings[0]


def test_start_datetime_serves():
    span = {"datetime": None, "start_datetime": "2024-01-01T00:00:00Z", "end_datetime": "2024-12-31T00:00:00Z"}
    scene, warnings = one(make_item("s", properties=span))
    assert scene.datetime == datetime(2024, 1, 1)
    assert warnings == []
    assert scene.properties["end_datetime"] == "2024-12-31T00:00:00Z"


@pytest.mark.parametrize(
    ("properties", "assets", "epsg"),
    [
        ({"proj:epsg": 32632}, [{}], 32632),
        ({"proj:code": "EPSG:32632"}, [{}], 32632),
        ({"proj:code": "EPSG:32632", "proj:epsg": 4326}, [{}], 32632),
        ({"proj:epsg": None}, [{"proj:code": "EPSG:3031"}], 3031),
        ({"proj:code": "IAU_2015:30100"}, [{}], None),
        ({}, [{"proj:epsg": 32632}, {"proj:epsg": 32632}], 32632),
        ({}, [{"proj:epsg": 32632}, {"proj:epsg": 32633}], None),
    ],
)
def test_epsg(properties, assets, epsg):
    named = {f"b{n}": make_asset(f"{n}.tif", **extra) for n, extra in enumerate(assets)}
    assert one(make_item("s", properties=properties) | {"assets": named})[0].epsg == epsg


def test_the_same_item_twice_is_one_scene():
    item = make_item("s")
    kept, warnings = scenes(item, {**item, "properties": {"datetime": None}})
    assert len(kept) == 1
    assert warnings == []


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_items_with_one_id_the_later_updated_is_used(order):
    old = make_item("s", properties={"updated": "2024-01-01T00:00:00Z"}) | {"assets": {"data": make_asset("/old.tif")}}
    new = make_item("s", properties={"updated": "2024-02-01T00:00:00Z"}) | {"assets": {"data": make_asset("/new.tif")}}
    (scene,), warnings = scenes(*[old, new][::order])
    assert scene.bands["data"].href == "/new.tif"
    assert warnings == ["1 item given twice with different files, the one updated last is used: s"]


def test_warnings_name_a_few_items():
    odd = [make_item(f"s{n}") | {"geometry": None} for n in range(5)]
    assert scenes(*odd)[1] == ["5 items without geometry: s0, s1, s2, ..."]


@pytest.mark.parametrize("bad", [{}, {"id": ""}, {"id": None}, {"id": True}, [], "x"])
def test_items_without_id_are_an_error(bad):
    with pytest.raises(StacError, match="item 2 of the search is no STAC item"):
        scenes(make_item("s"), bad)


def test_properties_that_are_no_object_are_an_error():
    with pytest.raises(StacError, match='item "s" has properties'):
        scenes(make_item("s") | {"properties": [1]})


def test_the_longest_prefix_rewrites():
    patterns = {"https://h/": "s3://all/", "https://h/data/": "s3://data/", "": "x"}
    assert rewrite("https://h/data/a.tif", patterns) == "s3://data/a.tif"
    assert rewrite("https://h/other/a.tif", patterns) == "s3://all/other/a.tif"
    assert rewrite("http://h/data/a.tif", patterns) == "http://h/data/a.tif"
    item = make_item("s") | {"assets": {"data": make_asset("https://h/data/a.tif")}}
    assert one(item, url_patterns=patterns)[0].bands["data"].href == "s3://data/a.tif"


def test_bands_of_a_collection_are_in_the_order_of_the_map():
    item = make_item("s") | {"assets": {"red": make_asset("r.tif"), "nir": make_asset("n.tif")}}
    naming = BandNaming({"N": "nir", "R": "red"})
    assert band_names(scene_items([item], naming)[0], naming) == ("N", "R")
    assert band_names(scenes(item)[0], BandNaming()) == ("red", "nir")


def test_an_item_of_before_roles():
    (item,) = search_items(StacSource(str(FIXTURES / "sentinel2_stac_1_0_beta_item.json")))
    scene, warnings = one(item)
    assert list(scene.bands)[:3] == ["visual", "B01", "B02"]
    assert scene.epsg == 32628
    assert warnings == []


@pytest.mark.parametrize(
    ("collection", "count", "bands", "epsg"),
    [
        ("landsat8-ny-2018", 19, ("blue", "green", "red", "nir08", "swir16", "swir22", "pan", "qa"), 32618),
        ("sentinel2-eopatch-slovenia", 68, ("ndvi", "clm"), 32633),
        ("sentinel-s2-l2a-cogs", 1, ("B04", "B11", "SCL"), 32629),
        ("naip", 6, ("Red", "Green", "Blue", "NIR"), 26916),
    ],
)
def test_the_bundled_catalog(collection, count, bands, epsg):
    items = search_items(StacSource(str(DATA / "catalog" / "catalog.json"), collection))
    found, warnings = scene_items(items, BandNaming())
    assert warnings == []
    assert len(found) == count
    assert found[0].epsg == epsg
    assert all(tuple(scene.bands) == bands for scene in found)
    assert all(Path(band.href).is_file() for scene in found for band in scene.bands.values())


def test_the_bundled_belgian_collection():
    found, _ = scene_items(search_items(StacSource(str(DATA / "sentinel2-openeo-belgium"))), BandNaming())
    assert [scene.datetime.day for scene in found] == [1, 4, 6]
    samples = [{name: band.band_index for name, band in scene.bands.items()} for scene in found]
    assert samples == [{"B04": 0, "B03": 1, "B02": 2}] * 3
