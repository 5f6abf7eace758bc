"""Neighbouring zones on an image of another CRS: no pixel is in two of them, and none in neither."""

from itertools import pairwise

import numpy as np
import pyproj
import pytest
import shapely

from rasteret_sql.geo.grid import Affine, Grid, Window
from rasteret_sql.geo.placement import place
from rasteret_sql.raster.scanline import polygon_mask
from tests.sampling import some

GRIDS = {
    # Centres of pixels lie exactly on the meridians 0, 90, 180 and -90 of a map around the pole.
    "EPSG:3413": Grid(Affine(5000.0, 0.0, -3850000.0, 0.0, -5000.0, 5850000.0), 1520, 2240),
    "EPSG:5070": Grid(Affine(1000.0, 0.0, -2356095.0, 0.0, -1000.0, 3172605.0), 4600, 2900),
    "EPSG:32633": Grid(Affine(10.0, 0.0, 399960.0, 0.0, -10.0, 5300040.0), 3000, 3000),
}
ZONES = {
    "EPSG:3413": ((-180, -90, 0, 90, 180), (60, 75, 90)),
    "EPSG:5070": ((-125, -110, -96, -80, -67), (30, 37, 40, 49)),
    "EPSG:32633": ((13.7, 13.8, 13.9, 14.0), (47.6, 47.7, 47.8)),
}


@pytest.mark.parametrize("crs", some(GRIDS, 3))
def test_each_pixel_is_in_one_of_the_boxes_that_tile_a_box(crs):
    grid = GRIDS[crs]
    meridians, parallels = ZONES[crs]
    boxes = [
        shapely.box(west, south, east, north)
        for west, east in pairwise(meridians)
        for south, north in pairwise(parallels)
    ]
    # The next one runs the other way, so that shared edges do as well.
    boxes = [box if at % 2 else shapely.reverse(box) for at, box in enumerate(boxes)]
    times = np.zeros((grid.height, grid.width), dtype=np.uint8)
    for placed in place(boxes, "EPSG:4326", crs, [grid] * len(boxes)):
        times += polygon_mask(placed, grid.transform, Window(0, 0, grid.width, grid.height))
    column, row = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    t = grid.transform
    lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(
        t.a * column + t.c, t.e * row + t.f
    )
    clear = np.minimum(np.abs(lat - parallels[0]), np.abs(lat - parallels[-1])) > 1e-6
    if meridians[-1] - meridians[0] < 360:
        clear &= np.minimum(np.abs(lon - meridians[0]), np.abs(lon - meridians[-1])) > 1e-6
    inside = (lon >= meridians[0]) & (lon <= meridians[-1]) & (lat >= parallels[0]) & (lat <= parallels[-1])
    assert inside.any()
    assert clear.mean() > 0.9999
    np.testing.assert_array_equal(times[clear], inside[clear])
