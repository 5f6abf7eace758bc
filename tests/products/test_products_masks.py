"""Masks in words, against values of which the products' documents say what they are."""

import numpy as np
import pytest

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.band_expression import parse_band_expression
from rasteret_sql.expr.pixels import Computation
from rasteret_sql.products.masks import kinds_asked, mask_condition

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
HLS = {64: "", 194: "clouds", 100: "clouds water", 72: "shadows", 80: "snow", 255: "nodata"}
"""Values of Fmask; 100 is an example of the user guide: low aerosol, water, adjacent to cloud."""
SCL = {
    0: "nodata", 1: "", 2: "", 3: "shadows", 4: "", 5: "", 6: "water", 7: "", 8: "clouds", 9: "clouds", 10: "clouds",
    11: "snow",
}  # fmt: skip
MODIS = {0b001000: "", 0b001001: "clouds", 0b001010: "clouds", 0b001100: "shadows", 1 << 12 | 8: "snow", 0: "water"}
"""Values of the state of MOD09A1; bits 3-5 are 1 on land."""


@pytest.mark.parametrize(
    ("source", "band", "values"),
    [
        ("pc/landsat-c2-l2", "qa_pixel", LANDSAT),
        ("earthdata/hls-s30", "Fmask", HLS),
        ("earthsearch/sentinel-2-l2a", "SCL", SCL),
        ("anything", "scl", SCL),
        ("ga/s2", "oa_fmask", {0: "nodata", 1: "", 2: "clouds", 3: "shadows", 4: "snow", 5: "water"}),
        ("bdc/S2-16D", "Fmask", {0: "", 1: "water", 2: "shadows", 3: "snow", 4: "clouds", 255: "nodata"}),
        ("pc/modis-09A1-061", "STATE", MODIS),
    ],
)
@pytest.mark.parametrize("kind", ["clouds", "shadows", "snow", "water"])
def test_each_value_is_what_the_document_says(source, band, values, kind):
    condition, found = mask_condition([kind], source, ("B04", band), "it")
    assert found == band
    stored = np.array(list(values), np.uint16)
    made = Computation.of(parse_band_expression(condition).node, {"qa": stored.dtype})
    masked = made.true({"qa": (stored, None)})
    told = {
        value: bool(is_masked) for value, is_masked in zip(values, masked, strict=True) if values[value] != "nodata"
    }
    assert told == {value: kind in words.split() for value, words in values.items() if words != "nodata"}


def test_nodata_is_also_what_is_not_valid():
    condition, _ = mask_condition(["nodata"], "", ("SCL",), "it")
    made = Computation.of(parse_band_expression(condition).node, {"qa": np.dtype("uint8")})
    stored, valid = np.array([0, 4, 5], np.uint8), np.array([True, True, False])
    assert made.true({"qa": (stored, valid)}).tolist() == [True, False, True]


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
    condition, _ = mask_condition(["clouds", "snow"], "", ("SCL",), "it")
    made = Computation.of(parse_band_expression(condition).node, {"qa": np.dtype("uint8")})
    stored = np.arange(12, dtype=np.uint8)
    assert np.flatnonzero(made.true({"qa": (stored, None)})).tolist() == [8, 9, 10, 11]


def test_a_collection_without_a_mask_band():
    with pytest.raises(InvalidArgumentError, match=r"no mask band that is known, of Sentinel-2 L2A \(SCL\)"):
        mask_condition(["clouds"], "x/y", ("B04",), "it")
    with pytest.raises(InvalidArgumentError, match="no mask band"):
        mask_condition(["clouds"], "somebody/else", ("Fmask",), "it")
