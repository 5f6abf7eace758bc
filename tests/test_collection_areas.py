"""What `Collection.get_numpy` takes for areas, and what a STAC address may be in Python."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

import rasteret_sql


@pytest.fixture(scope="module")
def pixels():
    return np.arange(1, 64 * 64 + 1, dtype="uint16").reshape(64, 64)


@pytest.fixture(scope="module")
def collection(tmp_path_factory, pixels):
    directory = tmp_path_factory.mktemp("areas")
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint16", "crs": "EPSG:32632"}
    with rasterio.open(directory / "a.tif", "w", transform=from_origin(600_000, 5_100_000, 10, 10), **profile) as file:
        file.write(pixels, 1)
    feature = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "one",
        "links": [],
        "geometry": {"type": "Point", "coordinates": [10.295, 46.044]},
        "bbox": [10.29, 46.04, 10.31, 46.05],
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "assets": {"a": {"href": "a.tif", "type": "image/tiff"}},
    }
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    # A path object is an address, too.
    return rasteret_sql.build_from_stac(name="areas", stac_api=directory / "items.json", workspace_dir=directory / "ws")


def test_a_box_on_the_grid_is_its_pixels(collection, pixels):
    box = (600_010, 5_099_700, 600_300, 5_099_990)
    np.testing.assert_array_equal(collection.get_numpy(box, ["a"], geometry_crs=32632)[0], pixels[1:30, 1:30])


def test_boxes_in_a_list_are_areas(collection, pixels):
    boxes = [(600_010, 5_099_700, 600_300, 5_099_990), (600_000, 5_099_710, 600_290, 5_100_000)]
    found = collection.get_numpy(boxes, ["a"], geometry_crs=32632)
    np.testing.assert_array_equal(found, [pixels[1:30, 1:30], pixels[0:29, 0:29]])


@pytest.mark.parametrize(
    ("area", "message"),
    [
        (shapely.Polygon(), "not an empty Polygon"),
        (shapely.MultiPolygon(), "not an empty MultiPolygon"),
        (shapely.Point(10.295, 46.044), "not a Point"),
        ([None], "not nothing"),
        ([], "the list is empty"),
        ([10.0, 46.0, 10.1, 46.1], "a bbox is a tuple"),
        ((10.0, 46.0, 10.0, 46.1), "is empty"),
        ((0, 0, 1, 1), "no valid data found"),
        ((-170, -5, -169, -4), "no valid data found"),
    ],
)
def test_areas_that_cannot_be_read(collection, area, message):
    with pytest.raises(ValueError, match=message):
        collection.get_numpy(area, ["a"])


def test_signed_urls_are_no_places_for_collections(collection, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = "s3://user:PASSWORD@bucket/areas?token=SECRET"
    with pytest.raises(ValueError, match=r"s3://bucket/areas is no directory") as exported:
        collection.export(url)
    with pytest.raises(ValueError, match=r"s3://bucket/areas is no directory") as loaded:
        rasteret_sql.load(url)
    con = rasteret_sql.connect(workspace_dir=collection.path.parent)
    with con, pytest.raises(Exception, match=r"s3://bucket/areas is no directory") as written:
        con.execute("FROM rasteret_export('areas', ?)", [url])
    for error in (exported, loaded, written):
        assert "PASSWORD" not in str(error.value)
        assert "SECRET" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
