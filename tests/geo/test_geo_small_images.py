"""Boxes of many small images at once, beside those of their regions and rasterio's transformed bounds."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from rasterio.warp import transform_bounds

from rasteret_sql.geo.grid import Affine
from rasteret_sql.geo.image_region import image_region
from rasteret_sql.geo.small_images import PlacedImage, boxes_of_small_images

PLACES = [
    ("EPSG:32633", 399_960, 5_100_000, 10),
    ("EPSG:32733", 200_000, 9_900_000, 60),
    ("EPSG:3035", 4_321_000, 3_210_000, 20),
    ("EPSG:5070", -1_900_000, 2_300_000, 30),
    ("EPSG:3857", 1_500_000, 6_000_000, 10),
    ("EPSG:3413", -2_000_000, -1_500_000, 30),
    ("EPSG:3034", 3_000_000, 1_500_000, 25),
]


def image(crs, x, y, pixel, *, turn=0.0):
    """Of 2000 × 1500 pixels."""
    cos, sin = np.cos(turn) * pixel, np.sin(turn) * pixel
    return PlacedImage(Affine(cos, sin, x, sin, -cos, y), 2000, 1500, crs)


@pytest.mark.parametrize("part", [1, 1 / 5, 1 / 20])
@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_boxes_are_those_of_regions_and_of_gdal(turn, part):
    # smaller ones have fewer points on an edge
    images = [image(*place, pixel * part, turn=turn) for *place, pixel in PLACES]
    boxes = boxes_of_small_images(images)
    for one, box in zip(images, boxes, strict=True):
        assert box is not None, one.crs
        size = np.hypot(box[2] - box[0], box[3] - box[1])
        region = image_region(one.transform, one.width, one.height, one.crs)
        assert box == pytest.approx(shapely.bounds(region).tolist(), abs=2e-4 * size)
        if not turn:
            (west, north), (east, south) = (one.transform.apply(*at) for at in ((0, 0), (one.width, one.height)))
            gdal = transform_bounds(one.crs, "OGC:CRS84", west, south, east, north, densify_pts=100)
            assert box == pytest.approx(gdal, abs=1e-4 * size)


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(image("EPSG:32601", 300_000, 5_000_000, 10), id="beside the antimeridian"),
        pytest.param(image("EPSG:32660", 700_000, 7_000_000, 100), id="across the antimeridian"),
        pytest.param(image("EPSG:3413", -10_000, 10_000, 10), id="the pole"),
        pytest.param(image("EPSG:32633", 400_000, 9_000_000, 10), id="far north"),
        pytest.param(image("EPSG:32633", 400_000, 5_100_000, 1000), id="large"),
        pytest.param(image("EPSG:4326", 14, 46, 0.0001), id="in lon/lat"),
        pytest.param(image("+proj=geos +h=35785831 +lon_0=0 +sweep=y", 5_500_000, 5_500_000, 100), id="off the disc"),
    ],
)
def test_what_needs_a_closer_look(one):
    assert boxes_of_small_images([one, image(*PLACES[0]), one])[::2] == [None, None]


def test_images_of_all_sizes_at_once():
    images = [image(*place, pixel * part) for part in (1 / 50, 1, 1 / 7) for *place, pixel in PLACES]
    together = boxes_of_small_images(images)
    assert None not in together
    assert together == [boxes_of_small_images([one])[0] for one in images]


def test_none():
    assert boxes_of_small_images([]) == []
