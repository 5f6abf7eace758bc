"""Geometries of other CRS in longitude and latitude: their edges are straight where they were given."""

import numpy as np
import pyproj
import pytest
import shapely

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.crs import normalize_crs
from rasteret_sql.geo.grid import Affine, Grid
from rasteret_sql.geo.placement import on_lonlat, on_lonlat_where_possible, place
from tests.sampling import some

BOXES = [
    ("EPSG:32633", (399960, 5190240, 509760, 5300040)),
    ("EPSG:3035", (2500000, 1400000, 7400000, 5500000)),
    ("EPSG:3413", (-1e6, -1e6, 1e6, 1e6)),
    ("EPSG:32760", (100000, 8e6, 900000, 8.2e6)),
    ("EPSG:27561", (600000, 100000, 700000, 200000)),
]


@pytest.mark.parametrize(("crs", "box"), some(BOXES, 3), ids=str)
@pytest.mark.parametrize("exact", [1e-6, 1e-4])
def test_positions_beside_its_edges_are_in_it_or_not_as_pyproj_says(crs, box, exact):
    (placed,) = on_lonlat_where_possible(np.array([shapely.box(*box)], dtype=object), crs, exact)
    west, south, east, north = box
    there = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform
    # A little more than twice as far as edges may stray, in metres.
    off = 250_000 * exact
    along = np.linspace(0.003, 0.997, 400)
    x, y = west + along * (east - west), south + along * (north - south)
    shapely.prepare(placed)
    for sign, inside in ((1, True), (-1, False)):
        sides = [
            (x, np.full(400, south + sign * off)),
            (x, np.full(400, north - sign * off)),
            (np.full(400, west + sign * off), y),
            (np.full(400, east - sign * off), y),
        ]
        for side in sides:
            lon, lat = there(*side)
            assert (shapely.intersects_xy(placed, lon, lat) == inside).all()
    assert placed.bounds[0] >= -180
    assert placed.bounds[2] <= 180


def test_the_pole_is_in_a_box_around_it():
    (placed,) = on_lonlat(np.array([shapely.box(-1e6, -1e6, 1e6, 1e6)]), "EPSG:3413")
    assert placed.bounds == (-180, pytest.approx(77.0, abs=0.1), 180, 90)


@pytest.mark.parametrize("native", ["EPSG:4326", "EPSG:32633"])
def test_a_zone_beyond_the_plane_of_its_projection_is_on_no_image(native):
    grid = Grid(Affine(1.0, 0.0, 0.0, 0.0, -1.0, 10.0), 10, 10)
    assert place([shapely.box(1e30, 1e30, 2e30, 2e30)], "EPSG:3031", native, [grid])[0] is None


def test_no_place_is_an_error_with_bounds_or_none():
    shapes = np.array([shapely.box(9, 48, 10, 49), shapely.box(500000, 5e6, 500100, 5.1e6)], dtype=object)
    with pytest.raises(
        InvalidCrsError, match=r"bounds \(500000, 5000000, 500100, 5100000\) in 'EPSG:4258'.*'EPSG:4326'"
    ):
        on_lonlat(shapes, "EPSG:4258")
    first, second = on_lonlat_where_possible(shapes, "EPSG:4258")
    assert first.equals_exact(shapes[0], 1e-9)
    assert second is None


@pytest.mark.parametrize(
    ("source", "native", "there", "elsewhere"),
    [
        # PROJ's Krovak gives a place in the sea off Norway the coordinates of one in Czechia.
        ("EPSG:4326", "EPSG:5514", (16.61, 49.2), (8.637, 69.288)),
        # A position beside the oval of a sinusoidal map is no place, though its longitude of 360 and more is a number.
        ("+proj=sinu +R=6371007.181", "EPSG:4326", (1e6, 8e6), (1.9e7, 8e6)),
    ],
)
def test_a_point_that_a_projection_puts_at_another_place(source, native, there, elsewhere):
    source = normalize_crs(source)
    grid = Grid(Affine(5000.0, 0.0, -900_000.0, 0.0, -5000.0, -900_000.0), 100, 70)
    if native == "EPSG:4326":
        grid = Grid(Affine(1.0, 0.0, -180.0, 0.0, -1.0, 90.0), 360, 180)
    points = [shapely.Point(there), shapely.Point(elsewhere)]
    placed = place(points, source, native, [grid] * 2)
    x, y = pyproj.Transformer.from_crs(source, native, always_xy=True).transform(*there)
    assert (placed[0].x, placed[0].y) == pytest.approx((x, y))
    assert placed[1] is None
