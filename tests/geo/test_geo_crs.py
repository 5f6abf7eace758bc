"""One spelling for each CRS, and transforms equal to pyproj's."""

from __future__ import annotations

import threading

import numpy as np
import pyproj
import pytest
import shapely

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.crs import normalize_crs, same_crs, transform_geometries, transform_points, transformer

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


@pytest.mark.parametrize("given", ["garbage", "EPSG:999999", "", "-4326", "0", "9" * 30, None, True, 4.5, {"a": 1}])
def test_unknown_is_an_error_that_says_what_is_accepted(given: object) -> None:
    with pytest.raises(InvalidCrsError, match="'EPSG:32632'"):
        normalize_crs(given)


def test_axes_are_x_y_and_ring_is_moved_vertex_by_vertex() -> None:
    box = shapely.box(8.9, 47.9, 9.1, 48.1)
    shapes = np.array([box, None, shapely.Point(9, 48), shapely.Polygon()], dtype=object)
    moved = transform_geometries(shapes, "EPSG:4326", "EPSG:32632")
    expected = pyproj.Transformer.from_crs(4326, 32632, always_xy=True).transform(*shapely.get_coordinates(box).T)
    np.testing.assert_array_equal(shapely.get_coordinates(moved[0]), np.column_stack(expected))
    assert moved[1] is None
    assert moved[2].x == pytest.approx(500000, abs=1e-6)
    assert moved[3].is_empty
    assert shapes[0] is box


def test_equal_crs_is_no_work() -> None:
    shapes = np.array([shapely.Point(1, 2)], dtype=object)
    assert transform_geometries(shapes, "EPSG:4326", "OGC:CRS84") is shapes
    assert same_crs("EPSG:4326", "OGC:CRS84")
    assert not same_crs("EPSG:4326", "EPSG:32632")


def test_points_forth_and_back() -> None:
    xs, ys = np.array([9.0, 9.5, 8.2]), np.array([48.0, 47.0, -3.0])
    back = transform_points(*transform_points(xs, ys, "EPSG:4326", "EPSG:32632"), "EPSG:32632", "EPSG:4326")
    np.testing.assert_allclose(back, (xs, ys), atol=1e-9)


def test_metres_given_as_degrees_is_an_error_with_bounds() -> None:
    shapes = np.array([shapely.Point(9, 48), shapely.box(500000, 5e6, 500100, 5.1e6)], dtype=object)
    with pytest.raises(
        InvalidCrsError, match=r"bounds \(500000, 5000000, 500100, 5100000\) in 'EPSG:4326'.*'EPSG:32632'"
    ):
        transform_geometries(shapes, "EPSG:4326", "EPSG:32632")


def test_each_thread_has_its_own_transformer() -> None:
    mine = transformer("EPSG:4326", "EPSG:32632")
    assert transformer("EPSG:4326", "EPSG:32632") is mine
    others: list[object] = []
    thread = threading.Thread(target=lambda: others.append(transformer("EPSG:4326", "EPSG:32632")))
    thread.start()
    thread.join()
    assert others[0] is not mine
