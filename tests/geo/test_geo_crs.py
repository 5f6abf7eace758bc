"""One spelling for each CRS, and transforms equal to pyproj's."""

from __future__ import annotations

import threading

import numpy as np
import pyproj
import pytest

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.crs import normalize_crs, same_crs, transformer
from tests.sampling import some

UTM = pyproj.CRS("EPSG:32632")


@pytest.mark.parametrize(
    "given",
    [
        32632,
        np.int32(32632),
        "32632",
        " EPSG:32632 ",
        "epsg:32632",
        "urn:ogc:def:crs:EPSG::32632",
        UTM.to_wkt(),
        UTM.to_wkt("WKT1_GDAL"),
        UTM.to_wkt("WKT1_ESRI"),
        UTM.to_json(),
        UTM.to_json_dict(),
    ],
)
def test_every_form_of_a_code(given: object) -> None:
    assert normalize_crs(given) == "EPSG:32632"


@pytest.mark.parametrize("given", ["OGC:CRS84", "urn:ogc:def:crs:OGC:1.3:CRS84", pyproj.CRS("OGC:CRS84").to_wkt()])
def test_crs84_is_lonlat(given: str) -> None:
    assert normalize_crs(given) == "EPSG:4326"


@pytest.mark.parametrize("given", ["+proj=utm +zone=32 +datum=WGS84", "ESRI:102008", "EPSG:32632+5773"])
def test_what_is_not_exactly_a_code_is_wkt(given: str) -> None:
    spelled = normalize_crs(given)
    assert "CRS[" in spelled
    assert normalize_crs(spelled) == spelled


@pytest.mark.parametrize(
    "given", some(["garbage", "EPSG:999999", "", "-4326", "0", "9" * 30, None, True, 4.5, {"a": 1}], 4)
)
def test_unknown_is_an_error_that_says_what_is_accepted(given: object) -> None:
    with pytest.raises(InvalidCrsError, match="'EPSG:32632'"):
        normalize_crs(given)


def test_equal_crs() -> None:
    assert same_crs("EPSG:4326", "OGC:CRS84")
    assert not same_crs("EPSG:4326", "EPSG:32632")


def test_each_thread_has_its_own_transformer() -> None:
    mine = transformer("EPSG:4326", "EPSG:32632")
    assert transformer("EPSG:4326", "EPSG:32632") is mine
    others: list[object] = []
    thread = threading.Thread(target=lambda: others.append(transformer("EPSG:4326", "EPSG:32632")))
    thread.start()
    thread.join()
    assert others[0] is not mine


def test_one_position_is_an_array_as_many_are() -> None:
    for shape in ((1,), (1, 1), (2,)):
        x, y = transformer("EPSG:4326", "EPSG:32632").transform(np.full(shape, 9.0), np.full(shape, 46.0))
        assert x.shape == y.shape == shape
        assert np.allclose(x, 500_000)
    assert transformer("EPSG:4326", "EPSG:32632").transform(9.0, 46.0)[0] == pytest.approx(500_000)
