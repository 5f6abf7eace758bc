"""Coverage fractions on shapes that a reader can check by hand."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from rasteret_sql.errors import InvalidGeometryError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.coverage import coverage_fraction

PIXELS = Affine(1, 0, 0, 0, 1, 0)
WHOLE = Window(0, 0, 3, 3)


def test_half_cell_square_on_three_by_three() -> None:
    fractions = coverage_fraction(shapely.box(0.5, 0.5, 2.5, 2.5), PIXELS, WHOLE)
    np.testing.assert_array_equal(fractions, [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]])


def test_box_inside_one_pixel() -> None:
    fractions = coverage_fraction(shapely.box(1.25, 1.25, 1.75, 1.5), PIXELS, WHOLE)
    assert fractions[1, 1] == 0.125
    assert np.count_nonzero(fractions) == 1


def test_triangle_covers_half_of_the_pixels_on_its_diagonal() -> None:
    fractions = coverage_fraction(shapely.Polygon([(0, 0), (3, 3), (0, 3)]), PIXELS, WHOLE)
    np.testing.assert_array_equal(fractions, [[0.5, 0, 0], [1, 0.5, 0], [1, 1, 0.5]])


def test_hole_is_taken_out() -> None:
    ring = shapely.Polygon(shapely.box(0, 0, 3, 3).exterior, [shapely.box(0.5, 1, 2, 2).exterior])
    np.testing.assert_array_equal(coverage_fraction(ring, PIXELS, WHOLE), [[1, 1, 1], [0.5, 0, 1], [1, 1, 1]])


def test_window_inside_a_large_polygon_is_all_ones() -> None:
    fractions = coverage_fraction(shapely.box(-1e6, -1e6, 1e6, 1e6), PIXELS, Window(10, 20, 5, 4))
    np.testing.assert_array_equal(fractions, np.ones((4, 5)))


def test_window_beside_the_polygon_is_all_zeros() -> None:
    for window in (Window(5, 0, 3, 3), Window(0, 5, 3, 3), Window(0, 0, 0, 3)):
        assert not coverage_fraction(shapely.box(0, 0, 3, 3), PIXELS, window).any()


def test_ring_direction_does_not_matter() -> None:
    polygon = shapely.box(0.5, 0.5, 2.5, 2.5)
    np.testing.assert_array_equal(
        coverage_fraction(polygon, PIXELS, WHOLE), coverage_fraction(shapely.reverse(polygon), PIXELS, WHOLE)
    )


def test_bow_tie_is_repaired_first() -> None:
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    np.testing.assert_allclose(coverage_fraction(bow_tie, PIXELS, Window(0, 0, 2, 2)), np.full((2, 2), 0.5))


def test_sum_of_fractions_is_the_area_on_a_rotated_image() -> None:
    transform = Affine(8, 3, 1000, 2, -9, 2000)
    polygon = shapely.Point(1100, 1800).buffer(50)
    fractions = coverage_fraction(polygon, transform, Window(-50, -50, 200, 200))
    assert fractions.sum() * abs(transform.determinant) == pytest.approx(polygon.area, rel=1e-12)


def test_points_and_lines_are_an_error() -> None:
    with pytest.raises(InvalidGeometryError, match="LineString covers no fraction"):
        coverage_fraction(shapely.LineString([(0, 0), (1, 1)]), PIXELS, WHOLE)


def test_empty_polygon_covers_nothing() -> None:
    assert not coverage_fraction(shapely.Polygon(), PIXELS, WHOLE).any()
