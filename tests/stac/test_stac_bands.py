"""Names of bands, from maps and from what items say."""

from __future__ import annotations

import pytest

from rasteret_sql.errors import InvalidArgumentError, StacError
from rasteret_sql.stac.bands import BandNaming, name_bands
from tests.stac.stac_items import make_asset, make_item


def item(name="i", **assets):
    return make_item(name) | {"assets": assets}


def shown(items, naming=None):
    """Names, and for the last item `band → (href, sample)`."""
    named = name_bands(items, naming or BandNaming())
    return named.names, {name: (band.href, band.band_index) for name, band in named.of_item[-1].items()}


RGB = make_asset("rgb.tif", "Red", "Green", "Blue")


def test_single_band_assets_are_called_by_their_keys():
    one = item(red=make_asset("r.tif"), nir=make_asset("n.tif", "B08"))
    assert shown([one]) == (("red", "nir"), {"red": ("r.tif", None), "nir": ("n.tif", None)})


@pytest.mark.parametrize("key", ["eo:bands", "bands", "raster:bands"])
def test_bands_of_one_file_are_called_by_their_names(key):
    one = item(image=make_asset("rgb.tif", "Red", "Green", "Blue", key=key))
    assert shown([one]) == (
        ("Red", "Green", "Blue"),
        {"Red": ("rgb.tif", 0), "Green": ("rgb.tif", 1), "Blue": ("rgb.tif", 2)},
    )


def test_common_names_serve_where_there_are_no_names():
    bands = {"bands": [{"eo:common_name": "red"}, {"eo:common_name": "nir"}]}
    assert shown([item(image={"href": "x.tif", **bands})])[0] == ("red", "nir")


@pytest.mark.parametrize("names", [("a", "a"), ("a", None), (None, None)])
def test_nameless_or_equal_bands_are_numbered_from_1(names):
    bands = {"raster:bands": [{"name": name} if name else {"data_type": "uint8"} for name in names]}
    assert shown([item(image={"href": "x.tif", **bands})]) == (
        ("image_1", "image_2"),
        {"image_1": ("x.tif", 0), "image_2": ("x.tif", 1)},
    )


def test_a_picture_of_other_assets_gives_way_in_every_item():
    visual = make_asset("tci.tif", "red", "nir")
    full = item("a", red=make_asset("r.tif"), nir=make_asset("n.tif"), visual=visual)
    alone = item("b", visual=visual)
    names, bands = shown([full, alone])
    assert names == ("red", "nir", "visual_1", "visual_2")
    assert bands == {"visual_1": ("tci.tif", 0), "visual_2": ("tci.tif", 1)}


def test_of_two_files_with_equal_bands_the_data_keeps_its_names():
    one = item(tci=make_asset("tci.tif", "r", "g", roles=["visual"]), sr=make_asset("sr.tif", "r", "g"))
    assert shown([one])[1] == {
        "tci_1": ("tci.tif", 0),
        "tci_2": ("tci.tif", 1),
        "r": ("sr.tif", 0),
        "g": ("sr.tif", 1),
    }


def test_keys_that_are_file_names_do_not_name_bands():
    a, b = item("a", **{"a.tif": make_asset("/d/a.tif", "B04")}), item("b", **{"b.tif": make_asset("/d/b.tif", "B04")})
    assert shown([a, b]) == (("B04",), {"B04": ("/d/b.tif", None)})


def test_order_is_that_of_the_first_item_then_what_later_ones_add():
    a, b = item("a", z=make_asset("z.tif"), a=make_asset("a.tif")), item("b", b=make_asset("b.tif"))
    assert shown([a, b])[0] == ("z", "a", "b")


def test_only_tiffs_with_data_are_bands():
    one = item(
        data={"href": "https://h/d.TIF?sig=1"},
        typed={"href": "https://h/d", "type": "IMAGE/TIFF"},
        thumbnail={"href": "t.tif"},
        small={"href": "s.tif", "roles": ["overview"]},
        meta={"href": "m.tif", "roles": ["metadata"]},
        info={"href": "i.json", "type": "application/json"},
        jp2={"href": "x.jp2", "type": "image/jp2"},
        s3_data={"href": "s3://b/d.tif"},
        broken="x",
    )
    assert shown([one])[0] == ("data", "typed")


def test_alternates_serve_an_asset_without_href():
    alternate = {"https": {"href": "https://h/x.tif"}, "s3": {"href": "s3://b/x.tif"}}
    assert shown([item(data={"type": "image/tiff", "alternate": alternate})])[1] == {"data": ("s3://b/x.tif", None)}


def test_items_without_tiff_are_an_error_that_lists_assets():
    with pytest.raises(StacError, match=r"none of 1 items has a TIFF.*info \(application/json\)"):
        shown([item(info={"href": "i.json", "type": "application/json"})])
    assert name_bands([], BandNaming()).names == ()


def test_a_map_gives_exactly_its_bands_in_its_order():
    one = item(red=make_asset("r.tif"), nir=make_asset("n.tif"), blue=make_asset("b.jp2", type="image/jp2"))
    naming = BandNaming({"NIR": "nir", "R": "red", "B": "blue"})
    names, bands = shown([one], naming)
    assert names == ("NIR", "R", "B")
    assert bands["R"] == ("r.tif", None)
    assert bands["B"] == ("b.jp2", None)  # the map is trusted


def test_an_item_need_not_have_every_band():
    naming = BandNaming({"R": "red", "N": "nir"})
    full, part = item("a", red=make_asset("r.tif"), nir=make_asset("n.tif")), item("b", nir=make_asset("n.tif"))
    assert shown([full, part], naming) == (("R", "N"), {"N": ("n.tif", None)})


def test_an_asset_that_no_item_has_is_an_error():
    says = r'no item has the asset "rad" of band "R"; did you mean "red"\? Known: red'
    with pytest.raises(InvalidArgumentError, match=says):
        shown([item(red=make_asset("r.tif"))], BandNaming({"R": "rad"}))


def test_built_in_maps_leave_out_what_is_not_there():
    naming = BandNaming({"B1": "coastal", "B4": "red"}, strict=False)
    named = name_bands([item(red=make_asset("r.tif"))], naming)
    assert named.names == ("B4",)
    assert 'left out B1: band_map: no item has the asset "coastal"' in named.warnings[0]


def test_built_in_maps_that_fit_nothing_give_way_to_the_items():
    naming = BandNaming({"B04": "red", "B08": "nir"}, strict=False)
    assert shown([item(B08=make_asset("n.tif"), B04=make_asset("r.tif"))], naming)[0] == ("B04", "B08")
    assert shown([item(ndvi=make_asset("v.tif"))], naming)[0] == ("ndvi",)


def test_samples_of_a_shared_file():
    naming = BandNaming({"R": "image", "N": "image"}, {"R": 0, "N": 3})
    assert shown([item(image=make_asset("x.tif"))], naming)[1] == {"R": ("x.tif", 0), "N": ("x.tif", 3)}


@pytest.mark.parametrize("label", ["name", "common_name"])
def test_samples_are_found_by_name(label):
    image = {"href": "x.tif", "eo:bands": [{label: "red"}, {label: "nir"}]}
    assert shown([item(image=image)], BandNaming({"NIR": "image", "Red": "image"}))[1] == {
        "NIR": ("x.tif", 1),
        "Red": ("x.tif", 0),
    }
    assert shown([item(image=image)], BandNaming({"NIR": "image"}))[1] == {"NIR": ("x.tif", 1)}


def test_samples_that_cannot_be_found_need_a_band_index_map():
    with pytest.raises(InvalidArgumentError, match=r'band "A" is in asset "image".*Red, Green, Blue.*band_index_map'):
        shown([item(image=RGB)], BandNaming({"A": "image", "B": "image"}))
    with pytest.raises(InvalidArgumentError, match=r"does not name its samples.*band_index_map"):
        shown([item(image=make_asset("x.tif"))], BandNaming({"A": "image", "B": "image"}))
    with pytest.raises(InvalidArgumentError, match="band_index_map"):
        shown([item(image=RGB)], BandNaming({"NIR": "image"}))


def test_a_band_index_map_alone_is_for_items_of_one_file():
    naming = BandNaming(band_index_map={"A00": 0, "A63": 63})
    assert shown([item(image=make_asset("x.tif"))], naming) == (
        ("A00", "A63"),
        {"A00": ("x.tif", 0), "A63": ("x.tif", 63)},
    )
    with pytest.raises(InvalidArgumentError, match="one TIFF asset, but one has a, b"):
        shown([item(a=make_asset("a.tif"), b=make_asset("b.tif"))], naming)


@pytest.mark.parametrize(
    ("band_map", "band_index_map", "says"),
    [
        ({"R": 1}, None, "maps band names to asset keys"),
        ({"R": "red"}, {"R": -1}, "sample numbers from 0"),
        ({"R": "red"}, {"R": True}, "sample numbers from 0"),
        ({"R": "red"}, {"N": 1}, 'names "N", not in band_map'),
    ],
)
def test_bad_maps(band_map, band_index_map, says):
    with pytest.raises(InvalidArgumentError, match=says):
        BandNaming(band_map, band_index_map)


@pytest.mark.parametrize("maps", [{"band_map": ["red"]}, {"band_map": "red"}, {"band_index_map": [0]}])
def test_a_map_that_is_none_is_refused(maps):
    with pytest.raises(InvalidArgumentError, match="is a mapping of band names"):
        BandNaming(**maps)
