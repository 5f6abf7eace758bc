"""Masks equal to rasterio's geometry_mask, pixel for pixel."""

from __future__ import annotations

import affine
import numpy as np
import pytest
import shapely
import shapely.affinity
from random_polygons import TRANSFORMS, in_crs, random_polygon, random_window
from rasterio.features import geometry_mask, shapes

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.scanline import polygon_mask
from tests.sampling import exhaustive, some

NORTH_UP = TRANSFORMS["north-up"]


def expected(geometry: shapely.Geometry, transform: Affine, window: Window, all_touched: bool) -> np.ndarray:
    of_window = affine.Affine(*transform.shifted(window.col_off, window.row_off))
    return geometry_mask([geometry], window.shape, of_window, all_touched=all_touched, invert=True)


@pytest.mark.parametrize("all_touched", some([False, True], 2), ids=["centres", "all_touched"])
@pytest.mark.parametrize(
    ("name", "number"),
    [*((name, 150) for name in ("north-up", "rotated")), *(exhaustive((name, 600)) for name in TRANSFORMS)],
)
def test_random_polygons_equal_rasterio(name: str, number: int, all_touched: bool) -> None:
    transform = TRANSFORMS[name]
    rng = np.random.default_rng(sum(map(ord, name)) + all_touched)
    assert number > 0
    for i in range(number):
        polygon, window = random_polygon(rng, transform), random_window(rng)
        ours, theirs = (
            polygon_mask(polygon, transform, window, all_touched),
            expected(polygon, transform, window, all_touched),
        )
        assert ours.dtype == np.bool_
        np.testing.assert_array_equal(ours, theirs, err_msg=f"polygon {i}, {window}: {polygon.wkt[:300]}")


@pytest.mark.parametrize("all_touched", some([False, True], 3), ids=["centres", "all_touched"])
@pytest.mark.parametrize("kind", some(["MultiLineString", "MultiPoint", "Point", "LineString"], 2))
def test_points_and_lines_equal_rasterio(kind: str, all_touched: bool) -> None:
    rng = np.random.default_rng(len(kind))
    assert len(TRANSFORMS) > 5
    for name, transform in TRANSFORMS.items():
        for i in range(30):
            size = (1, 5, 40, 1e4)[rng.integers(4)]
            xy = rng.uniform(-size / 4, size, (int(rng.integers(2, 7)), 2))
            xy = np.round(xy * 2) / 2 if i % 2 else xy
            shape = {
                "Point": lambda xy: shapely.Point(xy[0]),
                "MultiPoint": shapely.MultiPoint,
                "LineString": shapely.LineString,
                "MultiLineString": lambda xy: shapely.MultiLineString([xy, xy[::-1] * 0.7 + 3]),
            }[kind](xy)
            shape = shapely.affinity.affine_transform(shape, in_crs(transform))
            window = random_window(rng)
            np.testing.assert_array_equal(
                polygon_mask(shape, transform, window, all_touched),
                expected(shape, transform, window, all_touched),
                err_msg=f"{name} {i} {window} {shape.wkt[:200]}",
            )


@pytest.mark.parametrize("all_touched", [False, True], ids=["centres", "all_touched"])
def test_wide_windows_equal_rasterio(all_touched: bool) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        polygon = shapely.affinity.affine_transform(
            shapely.MultiPoint(rng.uniform(-100, 1100, (12, 2))).convex_hull, in_crs(NORTH_UP)
        )
        window = Window(0, 0, 1000, 700)
        np.testing.assert_array_equal(
            polygon_mask(polygon, NORTH_UP, window, all_touched), expected(polygon, NORTH_UP, window, all_touched)
        )


@pytest.mark.parametrize("all_touched", [False, True], ids=["centres", "all_touched"])
@pytest.mark.parametrize("offset", [0.0, 5.0, 15.0])
@pytest.mark.parametrize("down", [-1.0, 1.0], ids=["north-up", "south-up"])
def test_a_mask_of_20_m_made_polygons_on_a_grid_of_30_m(offset: float, down: float, all_touched: bool) -> None:
    """Hundreds of rings, with holes, whose edges run along rows of pixel centres where the offset is 5 or 15."""
    mask = (np.random.default_rng(8).random((60, 60)) < 0.6).astype("uint8")
    pixels = affine.Affine(20, 0, 0, 0, 20 * down, 0)
    found = [shapely.geometry.shape(one) for one, _ in shapes(mask, mask=mask.astype(bool), transform=pixels)]
    geometry = shapely.multipolygons(found)
    assert len(found) > 90
    assert shapely.get_num_interior_rings(found).sum() > 50
    transform, window = Affine(30, 0, -offset, 0, 30 * down, -offset * down), Window(1, 1, 40, 40)
    ours = polygon_mask(geometry, transform, window, all_touched)
    np.testing.assert_array_equal(ours, expected(geometry, transform, window, all_touched))
