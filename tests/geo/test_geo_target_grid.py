"""Grids of a lattice over areas."""

from __future__ import annotations

import pytest
import shapely

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.geo.target_grid import covering, lattice_through, of_shape, resolution_in
from rasteret_sql.geo.wanted_grid import WantedGrid
from rasteret_sql.raster.warp.overview import choose_overview

UTM = "EPSG:32632"


def test_edges_on_lines_of_the_lattice_add_no_pixel():
    lattice = lattice_through((10, 20))
    grid = covering(lattice, UTM, shapely.box(500100, 5599980, 500300, 5600000))
    assert grid.window == Window(50010, -280000, 20, 1)
    assert grid.transform == Affine(10, 0, 500100, 0, -20, 5600000)
    more = covering(lattice, UTM, shapely.box(500099.9, 5599979.9, 500300.1, 5600000))
    assert more.window == Window(50009, -280000, 22, 2)


def test_rounding_of_coordinates_adds_no_pixel():
    lattice = lattice_through((0.1, 0.1), (0.3, 0.3))
    assert covering(lattice, "EPSG:4326", shapely.box(0.1 + 0.2, 0, 0.7, 0.3)).window == Window(0, 0, 4, 3)


def test_areas_of_one_lattice_share_their_pixels():
    lattice = lattice_through((30, 30), (15, 15))
    one, other = (covering(lattice, UTM, shapely.box(x, 0, x + 500, 500)).transform for x in (100.0, 350.0))
    assert (one.c - other.c) % 30 == 0
    assert (one.c - 15) % 30 == 0


def test_a_point_has_the_pixel_that_holds_it():
    assert covering(lattice_through((10, 10)), UTM, shapely.Point(25, 30)).window == Window(2, -3, 1, 1)
    assert covering(lattice_through((10, 10)), UTM, shapely.Point(25, 29)).window == Window(2, -3, 1, 1)


def test_a_rotated_lattice_looks_at_every_vertex():
    turned = Affine(6, 8, 0, 8, -6, 0)  # pixels of 10 × 10
    grid = covering(turned, UTM, shapely.box(0, 0, 60, 80))
    # corners of the box in pixels: (0, 0), (3.6, 4.8), (6.4, -4.8), (10, 0)
    assert grid.window == Window(0, -5, 10, 10)
    assert grid.transform.apply(0, 5) == (0, 0)


def test_a_shape_fills_the_bounds():
    grid = of_shape((4, 10), UTM, (100, 0, 150, 10))
    assert grid.transform == Affine(5, 0, 100, 0, -2.5, 10)
    assert grid.grid.bounds == (100, 0, 150, 10)
    with pytest.raises(InvalidArgumentError, match="an extent in both directions"):
        of_shape((4, 10), UTM, (100, 0, 100, 10))


def test_a_resolution_in_other_units_is_refused_with_its_unit():
    with pytest.raises(InvalidArgumentError, match="in units of its CRS"):
        covering(lattice_through((1e-9, 1e-9)), UTM, shapely.box(0, 0, 10, 10))


def test_resolution_is_kept_in_metres():
    image = Affine(10, 0, 0, 0, -20, 0)
    assert resolution_in(UTM, UTM, image) == (10, 20)
    assert resolution_in("EPSG:3857", UTM, image) == (10, 20)
    assert resolution_in("EPSG:4326", UTM, image) == pytest.approx((8.9932e-5, 17.9864e-5), rel=1e-4)
    assert resolution_in(UTM, UTM, Affine(3, 8, 0, 4, -6, 0)) == (5, 10)


@pytest.mark.parametrize(
    ("pixel", "level"), [(10, 0), (19.7, 0), (20, 1), (39, 1), (40, 2), (78, 2), (80, 3), (1000, 3), (5, 0)]
)
def test_the_overview_is_at_or_above_the_resolution(pixel, level):
    source = Affine(10, 0, 600000, 0, -10, 5600000)
    pixel_map = PixelMap(Affine(pixel, 0, 600000, 0, -pixel, 5600000), UTM, source, UTM, (1000, 1000))
    # 1001 columns have overviews of 501, 251 and 126
    assert choose_overview(pixel_map, Window(0, 0, 10, 8), [1, 1001 / 501, 1001 / 251, 1001 / 126]) == level


def test_the_axis_that_is_finer_decides_on_the_overview():
    source = Affine(10, 0, 600000, 0, -10, 5600000)
    pixel_map = PixelMap(Affine(80, 0, 600000, 0, -20, 5600000), UTM, source, UTM, (1000, 1000))
    assert choose_overview(pixel_map, Window(0, 0, 10, 8), [1, 2, 4, 8]) == 1


@pytest.mark.parametrize("pixel", [1e-300, 1e-9, 1e-6])
@pytest.mark.parametrize("crs", [UTM, "EPSG:3857"])
def test_pixels_that_are_far_too_small_are_refused_before_edges_are_followed(crs, pixel, monkeypatch):
    monkeypatch.setattr("rasteret_sql.geo.wanted_grid.place", None)
    wanted = WantedGrid(crs, lattice_through((pixel, pixel)), None)
    huge, none = wanted.moved([shapely.box(8, 45, 10, 46), shapely.Point(1e300, 1e300)], "EPSG:4326")
    assert none is None
    with pytest.raises(InvalidArgumentError, match="too many pixels over this area"):
        raise huge


@pytest.mark.parametrize("pixel", [1e-300, 1e-200, 1e-7])
def test_pixels_that_are_far_too_small_are_refused_in_one_crs(pixel):
    with pytest.raises(InvalidArgumentError, match="too many pixels over this area"):
        covering(lattice_through((pixel, pixel)), UTM, shapely.box(5e5, 5e6, 5.1e5, 5.1e6))


def test_a_shape_is_moved_as_it_is_by_itself():
    wanted = WantedGrid("EPSG:32632", None, (64, 48))
    squares = [shapely.box(9.0, 46.0, 9.0 + size, 46.0 + size) for size in (2.0, 0.3, 0.05, 1e-3, 1e-5)]
    together = wanted.moved(squares, "EPSG:4326")
    for square, moved in zip(squares, together, strict=True):
        (alone,) = wanted.moved([square], "EPSG:4326")
        assert isinstance(alone, shapely.Polygon)
        assert shapely.equals_identical(moved, alone)
    counts = shapely.get_num_coordinates([*together])
    assert counts[0] > counts[2] > 5, "wide ones have vertices added, for all are not alike"
