"""Values in units by the item, the file and the product, as the providers' documents have them."""

import json
from pathlib import Path

import numpy as np
import pytest

from rasteret_sql.expr.pixels import Computation
from rasteret_sql.products.common_names import product_of
from rasteret_sql.products.units import in_units
from rasteret_sql.stac.item_band import item_band, with_offset_of_item
from rasteret_sql.tiff.header import ItemBand

RECORDED = Path(__file__).parents[1] / "stac" / "fixtures" / "recorded"


@pytest.mark.parametrize(
    ("product", "band", "stored", "right"),
    [
        ("landsat-c2-l2", "B4", [7273, 43636], [7273 * 2.75e-5 - 0.2, 43636 * 2.75e-5 - 0.2]),
        ("landsat-c2-l2", "SR_B7", [10000], [0.075]),
        ("landsat-c2-l2", "ST_B10", [44177], [44177 * 0.00341802 + 149]),
        ("hls-s30", "B8A", [2500], [0.25]),
        ("hls-l30", "B10", [2500], [25.0]),
        ("modis-13", "NDVI", [5000], [0.5]),
        ("aef", "A07", [127, -127, 0, -128], [(127 / 127.5) ** 2, -((127 / 127.5) ** 2), 0, None]),
    ],
)
def test_by_the_product(product, band, stored, right):
    node, _ = in_units(product, band)
    pixels = np.array(stored, np.int8 if product == "aef" else np.uint16)
    values, valid = Computation.of(node, {band: pixels.dtype}).compute({band: (pixels, None)})
    there = [True] * len(stored) if valid is None else valid.tolist()
    assert there == [one is not None for one in right]
    assert [value for value, ok in zip(values, there, strict=True) if ok] == pytest.approx(
        [one for one in right if one is not None], rel=1e-6
    )


@pytest.mark.parametrize(
    ("source", "bands", "product"),
    [
        ("pc/landsat-c2-l2", ("B4",), "landsat-c2-l2"),
        ("landsat-c2l2-sr", ("red",), "landsat-c2-l2"),
        ("mine", ("SR_B4", "SR_B5"), "landsat-c2-l2"),
        ("landsat8-ny-2018", ("red", "pan"), "landsat"),
        ("landsat-c2-l1", ("red", "pan"), "landsat"),
    ],
)
def test_only_level_2_of_collection_2_has_its_scale(source, bands, product):
    assert product_of(source, bands) == product
    assert (in_units(product_of(source, bands), "red") is not None) == (product == "landsat-c2-l2")


@pytest.mark.parametrize("band", ["qa_pixel", "SCL", "Fmask"])
@pytest.mark.parametrize("product", ["landsat-c2-l2", "sentinel-2", "hls-s30", ""])
def test_classes_have_no_units(product, band):
    assert in_units(product, band) is None


@pytest.mark.parametrize(
    ("asset", "sample", "said"),
    [
        ({"raster:bands": [{"scale": 0.0001, "offset": -0.1, "unit": "1"}]}, None, ItemBand(None, 0.0001, -0.1, "1")),
        ({"bands": [{"raster:scale": 2, "raster:offset": 3}, {"raster:scale": 5}]}, 1, ItemBand(None, 5.0)),
        ({"raster:scale": 2.5, "unit": "m"}, None, ItemBand(None, 2.5, None, "m")),
        (
            {"eo:bands": [{"name": "B04", "common_name": "red"}], "raster:bands": [{"scale": 0.5}]},
            None,
            ItemBand("red", 0.5),
        ),
        ({"bands": [{"eo:common_name": "nir"}]}, None, ItemBand("nir")),
        ({"raster:bands": [{"scale": "much", "offset": float("nan")}]}, None, None),
        ({"bands": 5, "raster:bands": [7]}, None, None),
        ({}, None, None),
    ],
)
def test_an_asset_says(asset, sample, said):
    assert item_band(asset, sample) == said


def sentinel(**properties):
    return {"collection": "sentinel-2-l2a", "properties": properties}


@pytest.mark.parametrize(
    ("key", "said", "item", "scale_offset"),
    [
        # Earth Search: the offset that is listed was taken off the pixels, or not
        ("red", ItemBand("red", 0.0001, -0.1), sentinel(**{"earthsearch:boa_offset_applied": True}), (0.0001, 0.0)),
        ("red", ItemBand("red", 0.0001, -0.1), sentinel(**{"earthsearch:boa_offset_applied": False}), (0.0001, -0.1)),
        ("red", ItemBand("red", 0.0001, -0.1), sentinel(), (0.0001, -0.1)),
        # Planetary Computer: only the processing baseline is said
        ("B04", ItemBand("red"), sentinel(**{"s2:processing_baseline": "04.00"}), (0.0001, -0.1)),
        ("B04", None, sentinel(**{"s2:processing_baseline": "05.11"}), (0.0001, -0.1)),
        ("B04", None, sentinel(**{"s2:processing_baseline": "03.01"}), (0.0001, 0.0)),
        ("B04", None, sentinel(**{"sentinel:processing_baseline": "04.00", "sentinel:boa_offset_applied": True}),
         (0.0001, 0.0)),
        # not reflectance, not Sentinel-2, nothing said
        ("SCL", None, sentinel(**{"s2:processing_baseline": "04.00"}), None),
        ("AOT", None, sentinel(**{"s2:processing_baseline": "04.00"}), None),
        ("B04", None, {"collection": "other", "properties": {"s2:processing_baseline": "04.00"}}, None),
        ("B04", None, sentinel(), None),
        ("B04", None, {}, None),
    ],
)  # fmt: skip
def test_the_offset_of_sentinel_2(key, said, item, scale_offset):
    found = with_offset_of_item(said, key, item)
    assert (None if found is None else (found.scale, found.offset)) == scale_offset


def items(found):
    """The items in a recorded answer."""
    if isinstance(found, dict) and found.get("type") == "Feature":
        yield found
    elif isinstance(found, dict | list):
        for one in found.values() if isinstance(found, dict) else found:
            yield from items(one)


@pytest.mark.parametrize(
    ("name", "collection", "key", "reflectance"),
    [
        # (stored 1000) the offset was taken off; the same without a flag; by the baseline; never had one
        ("earth-search-v1_cli_filter_cql2json_paged", "sentinel-2-l2a", "red", 0.1),
        ("earth-search-v1_cli_filter_cql2json_paged", "sentinel-2-c1-l2a", "red", 0.0),
        ("earth-search-v0_s2", "sentinel-s2-l2a-cogs", "B04", 0.1),
        ("pc_sentinel2_items", "sentinel-2-l2a", "B04", 0.0),
        ("pc_landsat_c2_l2_items", "landsat-c2-l2", "red", 1000 * 2.75e-5 - 0.2),
        ("pc_landsat_c2_l2_items", "landsat-c2-l2", "lwir11", 1000 * 0.00341802 + 149),
        ("earth-search-v1_multiple_collections", "landsat-c2-l2", "red", 1000 * 2.75e-5 - 0.2),
    ],
)
def test_recorded_items(name, collection, key, reflectance):
    answers = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))
    found = [one for one in items(answers) if one["collection"] == collection and key in one["assets"]]
    assert found
    for one in found:
        said = with_offset_of_item(item_band(one["assets"][key], None), key, one)
        assert 1000 * said.scale + (said.offset or 0) == pytest.approx(reflectance)
