"""Files that do not say where they lie, and items that do: by any field of the projection extension."""

import json

import numpy as np
import pyarrow as pa
import pyproj
import pytest
import rasterio
from pyproj import CRS

import rasteret_sql
from tests.sampling import some
from tests.stac.stac_items import make_asset, make_item

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

PLACE = rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)
BOX = (500010, 4999970, 500030, 4999990)
MOLLWEIDE = CRS("ESRI:54009")


def write_tiff(path, **where):
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, **where) as out:
        out.write(np.arange(16, dtype="u1").reshape(1, 4, 4))


def built(folder, properties, asset=None, crs=32633, **options):
    west, south = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(5e5, 5e6)
    one = make_item("a", west=west - 0.5, south=south - 0.5, properties=properties)
    one["assets"] = {"B04": make_asset("B04.tif", **(asset or {}))}
    path = folder / "item.json"
    path.write_text(json.dumps(one))
    options = {"name": "c", "stac_api": str(path), "workspace_dir": folder / "workspace"} | options
    return rasteret_sql.build_from_stac(**options)


def middle(collection, crs=32633):
    return collection.get_numpy(BOX, ["B04"], geometry_crs=crs)[0].tolist()


@pytest.mark.parametrize(
    ("fields", "crs"),
    some(
        [
            ({"proj:code": "ESRI:54009"}, "ESRI:54009"),
            ({"proj:wkt2": MOLLWEIDE.to_wkt()}, "ESRI:54009"),
            ({"proj:projjson": MOLLWEIDE.to_json_dict()}, "ESRI:54009"),
            ({"proj:epsg": None, "proj:wkt2": CRS(32633).to_wkt()}, 32633),
            ({"proj:code": "EPSG:32633"}, 32633),
            ({"proj:epsg": 32633}, 32633),
            ({"proj:code": "nonsense", "proj:projjson": CRS(32633).to_json_dict()}, 32633),
        ],
        9,
    ),
)
@pytest.mark.parametrize("of", ["item", "asset"])
def test_the_crs_of_a_file_without_one(tmp_path, fields, crs, of):
    write_tiff(tmp_path / "B04.tif", transform=PLACE)
    here, there = (fields, {}) if of == "item" else ({}, fields)
    assert middle(built(tmp_path, here, there, crs=crs), crs) == [[5, 6], [9, 10]]


@pytest.mark.parametrize(
    "fields",
    some(
        [
            {"proj:transform": [10, 0, 5e5, 0, -10, 5e6]},
            {"proj:transform": [10, 0, 5e5, 0, -10, 5e6, 0, 0, 1], "proj:shape": [4, 4]},
            {"proj:bbox": [5e5, 4999960, 500040, 5e6], "proj:shape": [4, 4]},
        ],
        3,
    ),
)
def test_the_transform_of_a_file_without_one(tmp_path, fields):
    write_tiff(tmp_path / "B04.tif")
    assert middle(built(tmp_path, {"proj:code": "EPSG:32633", **fields})) == [[5, 6], [9, 10]]


def test_what_the_file_says_wins(tmp_path):
    write_tiff(tmp_path / "B04.tif", crs="EPSG:32633", transform=PLACE)
    wrong = {"proj:code": "ESRI:54009", "proj:transform": [1, 0, 0, 0, -1, 0]}
    assert middle(built(tmp_path, wrong)) == [[5, 6], [9, 10]]


def test_what_the_asset_says_wins_over_its_item(tmp_path):
    write_tiff(tmp_path / "B04.tif")
    asset = {"proj:code": "EPSG:32633", "proj:transform": list(PLACE[:6])}
    collection = built(tmp_path, {"proj:code": "ESRI:54009", "proj:transform": [1, 0, 0, 0, -1, 0]}, asset)
    assert middle(collection) == [[5, 6], [9, 10]]


def test_a_transform_of_another_image_is_not_taken(tmp_path):
    write_tiff(tmp_path / "B04.tif")
    said = {"proj:code": "EPSG:32633", "proj:transform": [5, 0, 5e5, 0, -5, 5e6], "proj:shape": [8, 8]}
    with pytest.raises(rasteret_sql.errors.RasteretError, match="georeference"):
        middle(built(tmp_path, said))


def test_an_export_keeps_the_place(tmp_path):
    write_tiff(tmp_path / "B04.tif")
    fields = {"proj:wkt2": MOLLWEIDE.to_wkt(), "proj:transform": list(PLACE[:6])}
    built(tmp_path, fields, crs="ESRI:54009").export(tmp_path / "out")
    assert middle(rasteret_sql.load(tmp_path / "out"), "ESRI:54009") == [[5, 6], [9, 10]]


def test_a_table_says_it_too(tmp_path):
    write_tiff(tmp_path / "B04.tif")
    west, south = pyproj.Transformer.from_crs("ESRI:54009", 4326, always_xy=True).transform(5e5, 5e6)
    table = pa.table({
        "id": ["a"], "datetime": ["2024-01-01T00:00:00Z"], "assets": [{"B04": {"href": str(tmp_path / "B04.tif")}}],
        "bbox": [[west - 0.5, south - 0.5, west + 0.5, south + 0.5]], "proj:code": ["ESRI:54009"],
        "proj:transform": [list(PLACE[:6])], "proj:shape": [[4, 4]],
    })  # fmt: skip
    collection = rasteret_sql.build_from_table(table, name="t", enrich_cog=True, workspace_dir=tmp_path / "workspace")
    assert middle(collection, "ESRI:54009") == [[5, 6], [9, 10]]
