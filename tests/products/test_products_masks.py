"""Masks in words, against values of which the products' documents say what they are."""

import numpy as np
import pytest

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.pixels import Computation
from rasteret_sql.products.masks import KINDS, kinds_asked, mask_bands, mask_condition
from rasteret_sql.products.planet import planet_bands

LANDSAT = {
    1: "nodata",
    21824: "",  # clear land, all confidences low
    21952: "water",
    22280: "clouds",  # high confidence
    23888: "shadows",
    30048: "snow",
    54596: "clouds",  # cirrus alone
    21826: "clouds",  # dilated
}
"""Values of QA_PIXEL → what they are; from USGS LSDS-1619 and files of Landsat 8."""
AEROSOL = {1: "nodata", 0b10: "", 0b110: "water", 0b11000010: "aerosols", 0b10000010: "", 0b11000110: "aerosols water"}
RADSAT = {0: "", 1: "saturated", 1 << 6: "saturated", 1 << 8: "saturated", 1 << 11: ""}
"""Bit 11 is occlusion by terrain."""
HLS = {
    64: "", 194: "clouds aerosols", 100: "clouds water", 72: "shadows", 80: "snow", 255: "nodata", 65: "", 128: "",
}  # fmt: skip
"""Values of Fmask; 100 is an example of the user guide: low aerosol, water, adjacent to cloud; bit 0 is not used."""
SCL = {
    0: "nodata", 1: "saturated", 2: "", 3: "shadows", 4: "", 5: "", 6: "water", 7: "", 8: "clouds", 9: "clouds",
    10: "clouds", 11: "snow",
}  # fmt: skip
MODIS = {
    0b001000: "", 0b001001: "clouds", 0b001010: "clouds", 0b001011: "", 0b001100: "shadows", 1 << 12 | 8: "snow",
    1 << 15 | 8: "snow", 0: "water", 1 << 10 | 8: "clouds", 3 << 8 | 8: "clouds", 1 << 8 | 8: "",
    3 << 6 | 8: "aerosols", 65535: "nodata",
}  # fmt: skip
"""Values of the state of MOD09A1; bits 3-5 are 1 on land; bits 0-1 of 3 are assumed clear."""


@pytest.mark.parametrize(
    ("source", "band", "values"),
    [
        ("pc/landsat-c2-l2", "qa_pixel", LANDSAT),
        ("pc/landsat-c2-l2", "qa_radsat", RADSAT),
        ("pc/landsat-c2-l2", "qa_aerosol", AEROSOL),
        ("earthdata/hls-s30", "Fmask", HLS),
        ("earthsearch/sentinel-2-l2a", "SCL", SCL),
        ("anything", "scl", SCL),
        ("earthsearch/sentinel-2-c1-l2a", "cloud", {0: "", 49: "", 50: "clouds", 100: "clouds"}),
        ("earthsearch/sentinel-2-c1-l2a", "snow", {49: "", 50: "snow"}),
        ("mine", "clm", {0: "", 1: "clouds", 255: "nodata"}),
        ("mine", "QA60", {0: "", 1024: "clouds", 2048: "clouds", 4096: ""}),
        ("ga/s2", "oa_fmask", {0: "nodata", 1: "", 2: "clouds", 3: "shadows", 4: "snow", 5: "water"}),
        ("bdc/S2-16D", "Fmask", {0: "", 1: "water", 2: "shadows", 3: "snow", 4: "clouds", 255: "nodata"}),
        ("pc/modis-09A1-061", "STATE", MODIS),
    ],
)
def test_each_value_is_what_the_document_says(source, band, values):
    stored = np.array(list(values), np.uint16)
    tables = [one for one in mask_bands() if one.found([band]) and all(word in source for word in one.dataset)]
    told = {value: set() for value in values}
    for kind in tables[0].kinds:
        node = mask_condition([kind], source, ("B04", band), "it")
        masked = Computation.of(node, {band: stored.dtype}).true({band: (stored, None)})
        for value, is_masked in zip(values, masked, strict=True):
            told[value] |= {kind} if is_masked else set()
    # Where nothing was seen, the other bits and classes mean nothing.
    assert {value: kinds for value, kinds in told.items() if "nodata" not in kinds} == {
        value: set(words.split()) for value, words in values.items() if words != "nodata"
    }
    assert {value for value, kinds in told.items() if "nodata" in kinds} == {
        value for value, words in values.items() if words == "nodata"
    }


def test_bands_of_planet_are_each_of_one_kind():
    names = ("clear", "snow", "shadow", "haze_light", "haze_heavy", "cloud", "confidence", "udm1")
    ones = np.eye(8, dtype=np.uint8)
    pixels = {name: (ones[number], None) for number, name in enumerate(names)}
    told = {}
    for kind in ("clouds", "shadows", "snow", "nodata"):
        made = Computation.of(mask_condition([kind], "mine", names, "it"), dict.fromkeys(names, ones.dtype))
        masked = made.true({name: pixels[name] for name in made.bands})
        told[kind] = [name for name, is_masked in zip(names, masked, strict=True) if is_masked]
    assert told == {
        "clouds": ["haze_light", "haze_heavy", "cloud"],
        "shadows": ["shadow"],
        "snow": ["snow"],
        "nodata": ["udm1"],
    }


def test_a_mask_of_planet_without_heavy_haze():
    """Version 2.1 has one class of haze; a collection may leave the empty band out."""
    node = mask_condition(["clouds"], "mine", ("clear", "snow", "shadow", "haze_light", "cloud"), "it")
    pixels = {"haze_light": (np.array([0, 1, 0], np.uint8), None), "cloud": (np.array([0, 0, 1], np.uint8), None)}
    made = Computation.of(node, {name: np.dtype("uint8") for name in pixels})
    assert made.true(pixels).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("key", "asset", "listed", "names"),
    [
        ("ortho_analytic_4b_sr", {}, [], ["blue", "green", "red", "nir"]),
        ("20240101_3B_udm2_tif", {"pl:asset_type": "ortho_udm2"}, [], ["clear", "snow", "shadow", "haze_light",
         "haze_heavy", "cloud", "confidence", "udm1"]),
        ("ortho_analytic_4b", {}, [{"scale": 0.01}] * 4, ["blue", "green", "red", "nir"]),
        ("ortho_analytic_4b", {}, [{"name": "b1"}, {}, {}, {}], ["b1", None, None, None]),
        ("ortho_analytic_4b", {}, [{}] * 5, [None] * 5),
        ("red", {}, [], []),
        ("red", {}, [{}], [None]),
    ],
)  # fmt: skip
def test_names_of_the_bands_of_planet(key, asset, listed, names):
    found = planet_bands(key, asset, listed)
    assert [one.get("name") for one in found] == names
    assert [{k: v for k, v in one.items() if k != "name" or v == "b1"} for one in found] == (
        list(listed) or [{}] * len(names)
    )


def test_every_table_is_whole():
    assert len(mask_bands()) > 10
    for one in mask_bands():
        assert one.source, one.product
        assert set(one.kinds) <= set(KINDS), one.product
        assert set(one.known_by) <= set(one.bands), one.product
        bands = [names[0] for names in one.bands.values()]
        node = mask_condition(list(one.kinds), "-".join(one.dataset), bands, "it")
        Computation.of(node, dict.fromkeys(bands, np.dtype("uint16")))


def test_nodata_is_also_what_is_not_valid():
    made = Computation.of(mask_condition(["nodata"], "", ("SCL",), "it"), {"SCL": np.dtype("uint8")})
    stored, valid = np.array([0, 4, 5], np.uint8), np.array([True, True, False])
    assert made.true({"SCL": (stored, valid)}).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("clouds", ["clouds"]),
        ("Clouds and Shadows", ["clouds", "shadows"]),
        ("clouds, snow", ["clouds", "snow"]),
        ("SCL = 9", None),
        ("clouds and SCL = 9", None),
        ("cloud", None),
    ],
)
def test_words(text, kinds):
    assert kinds_asked(text) == kinds


def test_several_kinds_are_any_of_them():
    made = Computation.of(mask_condition(["clouds", "snow"], "", ("SCL",), "it"), {"SCL": np.dtype("uint8")})
    stored = np.arange(12, dtype=np.uint8)
    assert np.flatnonzero(made.true({"SCL": (stored, None)})).tolist() == [8, 9, 10, 11]


def test_kinds_of_several_mask_bands():
    """Each kind is told by the first band that tells it: Landsat's QA_PIXEL, and saturation by QA_RADSAT."""
    node = mask_condition(["clouds", "saturated"], "landsat-c2-l2", ("qa_pixel", "qa_radsat", "red"), "it")
    made = Computation.of(node, {"qa_pixel": np.dtype("uint16"), "qa_radsat": np.dtype("uint16")})
    pixels = {
        "qa_pixel": (np.array([21824, 22280, 21824], np.uint16), None),
        "qa_radsat": (np.array([0, 0, 4], np.uint16), None),
    }
    assert made.true(pixels).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("source", "bands", "says"),
    [
        ("x/y", ("B04",), r"no mask band that is known\. .*over its bands \(B04\).*Known are Sentinel-2 L2A \(SCL\);"),
        ("somebody/else", ("Fmask",), r"Fmask of it is a mask band of HLS V2 \('hls'\) and Brazil Data Cube \('bdc'\)"),
        ("mine", ("oa_fmask",), r"tells saturated: that of Digital Earth Australia tells clouds, shadows, snow, water"),
        ("x/y", ("B-4", "B5"), r"'B5 IN \(8, 9\)'"),
        ("x/y", ("B-4",), r"""'"B-4" IN \(8, 9\)'"""),
        ("x/y", [f"B{n}" for n in range(30)], r"B19 and 10 more"),
    ],
)
def test_kinds_that_no_mask_band_tells(source, bands, says):
    with pytest.raises(InvalidArgumentError, match=says):
        mask_condition(["saturated"], source, bands, "it")
