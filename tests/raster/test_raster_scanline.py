"""Masks on shapes that a reader can check by hand, and identities that all masks keep."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.scanline import polygon_mask
from tests.sampling import examples

PIXELS = Affine(1, 0, 0, 0, 1, 0)


def mask(shape: shapely.Geometry, all_touched: bool = False) -> list[str]:
    found = polygon_mask(shape, PIXELS, Window(0, 0, 4, 3), all_touched)
    return ["".join(".#"[v] for v in row) for row in found.astype(int)]


def test_box_on_pixel_borders() -> None:
    assert mask(shapely.box(1, 1, 3, 2)) == ["....", ".##.", "...."]
    assert mask(shapely.box(1, 1, 3, 2), all_touched=True) == ["....", ".##.", "...."]


def test_pixel_belongs_when_its_centre_is_inside() -> None:
    assert mask(shapely.box(0.4, 0.4, 2.4, 1.6)) == ["##..", "##..", "...."]
    assert mask(shapely.box(0.6, 0.6, 2.6, 1.6)) == ["....", ".##.", "...."]
    assert mask(shapely.box(0.6, 0.6, 2.6, 1.6), all_touched=True) == ["###.", "###.", "...."]


def test_hole_is_left_out() -> None:
    ring = shapely.Polygon(shapely.box(0, 0, 4, 3).exterior, [shapely.box(1, 1, 3, 2).exterior])
    assert mask(ring) == ["####", "#..#", "####"]


def test_overlapping_parts_are_both_in() -> None:
    overlapping = shapely.MultiPolygon([shapely.box(0, 0, 3, 2), shapely.box(1, 1, 4, 3)])
    assert mask(overlapping) == ["###.", "####", ".###"]


def test_a_sliver_between_centres_has_no_pixel_unless_touched() -> None:
    sliver = shapely.box(0, 0.6, 4, 0.7)
    assert mask(sliver) == ["....", "....", "...."]
    assert mask(sliver, all_touched=True) == ["####", "....", "...."]


def test_point_and_line() -> None:
    assert mask(shapely.Point(2.5, 1.5)) == ["....", "..#.", "...."]
    assert mask(shapely.LineString([(0.5, 0.5), (3.5, 2.5)])) == ["#...", ".##.", "...#"]
    assert mask(shapely.GeometryCollection([shapely.Point(0, 0), shapely.box(3, 0, 4, 3)])) == ["#..#", "...#", "...#"]


def test_empty_geometry_and_empty_window() -> None:
    assert mask(shapely.Polygon()) == ["....", "....", "...."]
    assert mask(shapely.MultiPolygon(), all_touched=True) == ["....", "....", "...."]
    assert polygon_mask(shapely.box(0, 0, 1, 1), PIXELS, Window(0, 0, 0, 3)).shape == (3, 0)


def test_transform_on_one_line_is_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be inverted"):
        polygon_mask(shapely.box(0, 0, 1, 1), Affine(1, 1, 0, 1, 1, 0), Window(0, 0, 2, 2))


coordinate = st.floats(-5, 25, allow_nan=False).map(lambda v: round(v, 2))


@settings(max_examples=examples(150))
@given(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=12, unique=True), st.booleans())
def test_a_window_is_a_cut_of_the_whole(points: list[tuple[float, float]], all_touched: bool) -> None:
    polygon = shapely.Polygon(points)
    whole = polygon_mask(polygon, PIXELS, Window(0, 0, 20, 20), all_touched)
    assert not polygon_mask(polygon, PIXELS, Window(-40, 0, 10, 20), all_touched).any()
    part = polygon_mask(polygon, PIXELS, Window(5, 7, 9, 6), all_touched)
    if not all_touched:
        np.testing.assert_array_equal(part, whole[7:13, 5:14])
    assert polygon_mask(polygon, PIXELS, Window(0, 0, 20, 20), True)[whole].all()


@settings(max_examples=examples(100))
@given(st.lists(st.tuples(coordinate, coordinate), min_size=3, max_size=12, unique=True))
def test_centres_inside_are_those_that_contain_them(points: list[tuple[float, float]]) -> None:
    polygon = shapely.Polygon(points)
    assume(polygon.is_valid)
    columns, rows = np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5)
    inside = shapely.contains_xy(polygon, columns.ravel(), rows.ravel()).reshape(20, 20)
    clear = shapely.distance(shapely.points(columns, rows), polygon.boundary) > 1e-9
    np.testing.assert_array_equal(polygon_mask(polygon, PIXELS, Window(0, 0, 20, 20))[clear], inside[clear])
