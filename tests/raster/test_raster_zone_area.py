"""Pixels of zones in windows of any size are as many as their mask has."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster import zone_area
from rasteret_sql.raster.coverage import coverage_fraction
from rasteret_sql.raster.scanline import polygon_mask
from rasteret_sql.raster.zone_area import zone_pixels
from tests.sampling import some_tuples

GRIDS = [Affine(10, 0, 1000, 0, -10, 9000), Affine(3, 1, 40, -0.5, -4, 90)]
ZONES = [
    shapely.Point(300, 200).buffer(170.31).difference(shapely.Point(310, 190).buffer(60.17)),
    shapely.MultiPolygon([shapely.box(20.3, 30.2, 120.1, 90.7), shapely.box(80.9, 60.8, 260.4, 333.6)]),
    shapely.Polygon([(10.13, 10.71), (400.37, 300.91), (401.3, 10.23), (9.83, 301.2)]),  # a bow tie
]


@pytest.mark.parametrize("grid", some_tuples(GRIDS, 9))
@pytest.mark.parametrize("zone", ZONES)
def test_as_many_as_the_mask_has(grid, zone, monkeypatch):
    monkeypatch.setattr(zone_area, "_CLOSE", 3000)
    affine = [grid.a, grid.b, grid.d, grid.e, grid.c, grid.f]
    zone = shapely.affinity.affine_transform(zone, affine)  # pixels as units
    window = Window(-30, 5, 500, 340)
    plain = zone_pixels(zone, grid, window)
    assert plain == np.count_nonzero(polygon_mask(zone, grid, window)) > 5000
    touched = zone_pixels(zone, grid, window, all_touched=True)
    assert touched == np.count_nonzero(polygon_mask(zone, grid, window, all_touched=True)) > plain
    weighted = zone_pixels(zone, grid, window, weighted=True)
    assert weighted == pytest.approx(float(coverage_fraction(zone, grid, window).sum()), rel=1e-9)


@pytest.mark.exhaustive
def test_a_large_zone_is_counted_along_its_edges():
    zone = shapely.box(0.3, 0.3, 60_000.3, 30_000.3)
    assert zone_pixels(zone, Affine(1, 0, 0, 0, -1, 30_001), Window(0, 0, 60_001, 30_001)) == 1.8e9
