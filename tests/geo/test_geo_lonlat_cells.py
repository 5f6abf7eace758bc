"""Cells of the globe: a join by cells finds each pair of boxes that meet, once."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import shapely

from rasteret_sql.geo.crs import LONLAT, transformer
from rasteret_sql.geo.grid import Affine, Grid
from rasteret_sql.geo.lonlat_cells import COLUMNS, cells, first_cells, geometry_boxes, grid_box, may_meet

ANYWHERE = (-np.inf, -np.inf, np.inf, np.inf)


def joined(images, geometries):
    """How often the join of `hosts/spark/pair_frames.py` finds each pair."""
    found = Counter()
    (begin, numbers), (start, others) = cells(images, images=True), cells(geometries, images=False)
    (cols, rows), (cols_of, rows_of) = first_cells(images), first_cells(geometries)
    for one in range(len(images)):
        for other in range(len(geometries)):
            common = set(numbers[begin[one] : begin[one + 1]]) & set(others[start[other] : start[other + 1]])
            is_later = (cols_of[other] - cols[one] + 180) % 360 >= 180
            first = max(rows[one], rows_of[other]) * COLUMNS + (cols_of[other] if is_later else cols[one])
            found[one, other] += sum(cell < 0 or cell == first for cell in common)
    return found


def random_boxes(count, seed):
    random = np.random.default_rng(seed)
    corner = np.column_stack([random.uniform(-185, 185, count), random.uniform(-85, 80, count)])
    size = random.choice([0.0, 0.3, 2.0, 40.0], (count, 2)) * random.uniform(0.5, 1, (count, 2))
    boxes = np.column_stack([corner, corner + size])
    boxes[::7] = ANYWHERE
    boxes[3] = np.nan
    return boxes


def test_a_pair_that_meets_is_found_once_and_no_pair_twice():
    images, geometries = random_boxes(60, 1), random_boxes(80, 2)
    found = joined(images, geometries)
    meeting = 0
    for (one, other), times in found.items():
        meets = bool(may_meet(images[one : one + 1], geometries[other : other + 1])[0])
        assert times <= 1, (images[one], geometries[other])
        assert times == 1 or not meets, (images[one], geometries[other])
        meeting += meets
    assert meeting > 1000


def test_boxes_across_the_antimeridian_meet_in_whichever_turn():
    fiji = np.array([[179.2, -18.0, 181.1, -16.0]])
    west = np.array([[-179.5, -17.5, -179.4, -17.4]])
    assert may_meet(fiji, west).tolist() == may_meet(west, fiji).tolist() == [True]
    assert joined(fiji, west) == joined(west, fiji) == {(0, 0): 1}
    assert joined(fiji, west + np.array([5.0, 0.0, 5.0, 0.0])) == {(0, 0): 0}


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:3035", "EPSG:3857", "EPSG:4258", LONLAT])
def test_the_box_of_a_geometry_holds_its_window_on_an_image(crs):
    random = np.random.default_rng(5)
    lon, lat = random.uniform(12, 18, 50), random.uniform(45, 60, 50)
    x, y = transformer(LONLAT, crs).transform(lon, lat)
    size = random.uniform(0, 0.5, 50) * (1 if crs in (LONLAT, "EPSG:4258") else 100_000)
    bounds = np.column_stack([x, y, x + size, y + size / 3])
    boxes = geometry_boxes(bounds, crs)
    assert np.isfinite(boxes).all()
    for box, bound in zip(boxes, bounds, strict=True):
        # The corners of its box in the CRS of an image, seen from the globe.
        ring = shapely.get_coordinates(shapely.segmentize(shapely.box(*bound), max(bound[2] - bound[0], 1e-9) / 8))
        image = np.column_stack(transformer(crs, "EPSG:32633").transform(*ring.T))
        window = (*image.min(0), *image.max(0))
        corners = shapely.get_coordinates(shapely.box(*window))
        back = np.column_stack(transformer("EPSG:32633", LONLAT).transform(*corners.T))
        assert (back >= box[:2]).all(), (back, box)
        assert (back <= box[2:]).all(), (back, box)


def test_geometries_that_are_nowhere_or_perhaps_anywhere():
    bounds = np.array([[np.nan] * 4, [10.0, 89.0, 11.0, 89.5], [5.0, 5.0, 5.0, 5.0]])
    boxes = geometry_boxes(bounds, LONLAT)
    assert np.isnan(boxes[0]).all()
    assert tuple(boxes[1]) == ANYWHERE
    assert boxes[2] == pytest.approx([4.98, 4.98, 5.02, 5.02], abs=1e-3)


def test_the_box_of_an_image():
    tile = Grid(Affine(10.0, 0.0, 600000.0, 0.0, -10.0, 5100000.0), 10980, 10980)
    west, south, east, north = grid_box("EPSG:32632", tile)
    assert (west, south, east, north) == pytest.approx((10.3, 45.0, 11.8, 46.1), abs=0.2)
    pole = Grid(Affine(1000.0, 0.0, -2e6, 0.0, -1000.0, 2e6), 4000, 4000)
    assert grid_box("EPSG:3413", pole) == ANYWHERE
