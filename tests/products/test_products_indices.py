"""The catalogue of spectral indices: the numbers of spyndex's formulas, computed by Python itself."""

import json
import math
from importlib import resources

import numpy as np
import pytest

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.pixels import Computation
from rasteret_sql.expr.tree import columns
from rasteret_sql.products.common_names import common_names, product_of
from rasteret_sql.products.indices import LETTERS, index_meant, indices
from rasteret_sql.products.translate_indices import translate
from tests.sampling import some

S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12", "SCL")
CONSTANTS = {
    "C1": 6.0, "C2": 7.5, "L": 1.0, "alpha": 0.1, "beta": 0.05, "c": 1.0, "cexp": 1.16, "epsilon": 1, "eta": 0.5,
    "fdelta": 0.581, "g": 2.5, "gamma": 1.0, "k": 0.0, "lmb": 1, "n": 5, "nexp": 2.0, "omega": 2.0, "p": 2.0,
    "sigma": 0.5, "sla": 1.0, "slb": 0.0,
}  # fmt: skip
"""Defaults of spyndex 0.12."""


def reflectance():
    """A value of each letter, and of constants without a default."""
    rng = np.random.default_rng(0)
    names = {letter for index in indices().values() for letter in index.bands}
    return {name: float(value) for name, value in zip(sorted(names), rng.uniform(0.05, 0.6, len(names)), strict=True)}


def kernel(a, b):
    return math.exp(-((a - b) ** 2) / (2 * CONSTANTS["sigma"] ** 2))


def test_there_are_280():
    assert len(indices()) == 280


@pytest.mark.parametrize("name", some(sorted(indices()), 10))
def test_an_index_is_its_formula(name):
    index, values = indices()[name], reflectance()
    kernels = {
        f"k{a}{b}": kernel(values[a], CONSTANTS["L"] if b == "L" else values[b]) for a in "NRGB" for b in "NRGBL"
    }
    right = eval(index.formula, {"__builtins__": {}}, CONSTANTS | kernels | values)
    arrays = {letter: (np.array([values[letter]]), None) for letter in columns(index.node)}
    made = Computation.of(index.node, {letter: np.dtype("float64") for letter in arrays})
    (found,), valid = made.compute(arrays)
    if isinstance(right, complex) or not math.isfinite(right):
        assert not valid[0]
    else:
        assert valid is None
        assert found == pytest.approx(right, rel=1e-5, abs=1e-7)


def test_evi_has_its_gain_and_not_the_green_band():
    """N 0.4, R 0.1, B 0.05: 2.5 · 0.3 / (0.4 + 0.6 - 0.375 + 1)."""
    arrays = {"N": (np.array([0.4]), None), "R": (np.array([0.1]), None), "B": (np.array([0.05]), None)}
    made = Computation.of(indices()["EVI"].node, dict.fromkeys(arrays, np.dtype("float64")))
    assert made.compute(arrays)[0][0] == pytest.approx(2.5 * 0.3 / 1.625, rel=1e-6)


def test_case_counts_where_two_names_differ_by_it_alone():
    assert index_meant("BAI").name == "BAI"
    assert index_meant("BaI").name == "BaI"
    assert index_meant("bai") is None
    assert index_meant("ndvi").name == "NDVI"
    assert index_meant("B04") is None


def test_by_the_bands_of_a_collection():
    names = common_names(S2_BANDS, product_of("earthsearch/sentinel-2-l2a", S2_BANDS), {})
    assert (names["nir"], names["red"], names["swir16"], names["rededge071"]) == ("B08", "B04", "B11", "B05")
    assert set(columns(index_meant("NDVI").of(names, "sentinel-2", "it"))) == {"B08", "B04"}
    assert index_meant("NBR").missing(names, "sentinel-2") == []
    assert index_meant("CRSWIR").missing(names, "sentinel-2") == []
    assert index_meant("CRSWIR").missing(names, "") == ["lambdaN2", "lambdaS1", "lambdaS2"]
    with pytest.raises(
        InvalidArgumentError, match=r"NDVI = \(N - R\)/\(N \+ R\) cannot be computed in it, which lacks R"
    ):
        index_meant("NDVI").of({"nir": "B08"}, "", "it")


@pytest.mark.parametrize(
    ("source", "bands", "expected"),
    [
        ("pc/landsat-c2-l2", ("B2", "B4", "B5", "qa_pixel"), {"blue": "B2", "red": "B4", "nir08": "B5"}),
        ("x/landsat", ("SR_B4", "ST_B10"), {"red": "SR_B4", "lwir11": "ST_B10"}),
        ("earthdata/hls-s30", ("B04", "B8A", "Fmask"), {"red": "B04", "nir08": "B8A"}),
        ("earthdata/hls-l30", ("B04", "B05", "Fmask"), {"red": "B04", "nir08": "B05"}),
        ("anything", ("red", "NIR", "other"), {"red": "red", "nir": "NIR"}),
        ("anything", ("one", "two"), {}),
    ],
)
def test_common_names(source, bands, expected):
    assert common_names(bands, product_of(source, bands), {}) == expected


def test_keys_of_assets_are_common_names_first():
    assert common_names(("B3", "B4"), "landsat", {"B3": "red", "B4": "nir08"}) == {"red": "B3", "nir08": "B4"}


def test_all_letters_have_names():
    wanted = {letter for index in indices().values() for letter in index.bands if not letter.startswith("lambda")}
    assert wanted - set(LETTERS) == {"PAR"}


def test_the_data_are_made_by_the_script(tmp_path):
    """From the formulas in the data, as spyndex has them."""
    data = json.loads((resources.files("rasteret_sql.products") / "data" / "indices.json").read_text())
    source = {
        one["name"]: {
            "long_name": one["long_name"], "application_domain": one["domain"], "formula": one["formula"],
            "reference": one["reference"],
        }
        for one in data
    }  # fmt: skip
    (tmp_path / "spectral-indices-dict.json").write_text(json.dumps({"SpectralIndices": source}))
    (tmp_path / "constants.json").write_text(json.dumps({name: {"default": one} for name, one in CONSTANTS.items()}))
    assert translate(tmp_path) == data
