"""Assets whose lists of bands are those of the whole item: each file is read as what it is."""

import json

import numpy as np
import pytest
import rasterio

import rasteret_sql
from tests.sampling import some
from tests.stac.stac_items import make_asset, make_item

BOX = (500000, 4999960, 500040, 5000000)
COLOURS = {"B04": "red", "B03": "green", "B02": "blue"}
LISTS = [
    {"eo:bands": [{"name": key, "common_name": name} for key, name in COLOURS.items()]},
    {"eo:bands": [{"name": name} for name in COLOURS.values()]},
    {"bands": [{"name": name} for name in COLOURS.values()]},
    {"raster:bands": [{"nodata": 0}] * 3},
]


def write_tiff(path, *values):
    profile = {"driver": "GTiff", "width": 4, "height": 4, "count": len(values), "dtype": "uint8"}
    with rasterio.open(
        path, "w", crs="EPSG:32633", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5e6), **profile
    ) as out:
        out.write(np.stack([np.full((4, 4), value, "u1") for value in values]))


def scene(name, assets):
    return make_item(name, west=14.5, south=44.5, assets=assets)


def built(folder, items, **options):
    path = folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return rasteret_sql.build_from_stac(name="c", stac_api=str(path), workspace_dir=folder / "workspace", **options)


def value(collection, band):
    return int(np.nanmax(collection.get_numpy(BOX, [band], geometry_crs=32633)))


@pytest.mark.parametrize("listed", some(LISTS, 4))
def test_single_band_files_that_repeat_the_items_list_are_called_by_their_keys(tmp_path, listed):
    assets = {}
    for number, key in enumerate(COLOURS, 1):
        write_tiff(tmp_path / f"{key}.tif", number)
        assets[key] = make_asset(f"{key}.tif", **listed)
    collection = built(
        tmp_path,
        [scene("a", assets), scene("b", assets)],
    )
    assert list(collection.bands) == list(COLOURS)
    assert [value(collection, key) for key in COLOURS] == [1, 2, 3]


@pytest.mark.parametrize("listed", some(LISTS[:3], 3))
def test_a_band_map_to_such_assets(tmp_path, listed):
    assets = {}
    for number, key in enumerate(COLOURS, 1):
        write_tiff(tmp_path / f"{key}.tif", number)
        assets[key] = make_asset(f"{key}.tif", **listed)
    names = {"nir": "B04", "green": "B03", "x": "B02"}
    collection = built(tmp_path, [scene("a", assets)], band_map=names)
    assert [value(collection, name) for name in names] == [1, 2, 3]


def test_a_file_of_all_listed_bands_keeps_their_names(tmp_path):
    write_tiff(tmp_path / "visual.tif", 7, 8, 9)
    write_tiff(tmp_path / "B08.tif", 5)
    assets = {"B08": make_asset("B08.tif", *COLOURS.values()), "visual": make_asset("visual.tif", *COLOURS.values())}
    collection = built(tmp_path, [scene("a", dict(reversed(assets.items())))])
    assert [value(collection, name) for name in ("red", "green", "blue", "B08")] == [7, 8, 9, 5]


def test_a_file_of_fewer_bands_than_listed_is_numbered(tmp_path):
    write_tiff(tmp_path / "two.tif", 1, 2)
    collection = built(tmp_path, [scene("a", {"two": make_asset("two.tif", *COLOURS.values())})])
    assert list(collection.bands) == ["two_1", "two_2"]
    assert [value(collection, name) for name in collection.bands] == [1, 2]
