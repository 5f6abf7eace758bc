"""Tiles of web maps: their bounds and pixels, against PROJ and against numbers of the tiling's own description."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.web_mercator import (
    HALF,
    MAX_ZOOM,
    MapTile,
    from_lonlat,
    lattice,
    metres_a_pixel,
    on_map,
    to_lonlat,
    zoom_of,
)
from tests.geo.tiles_of_places import tile_at
from tests.sampling import examples

PROJ = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)


def test_the_map_and_a_tile_by_hand():
    assert pytest.approx(20037508.342789244, abs=1e-6) == HALF
    assert metres_a_pixel(0) == pytest.approx(156543.03392804097)
    assert MapTile(1, 1, 0).bounds == pytest.approx((0, 0, HALF, HALF))
    assert MapTile(1, 1, 0).lonlat == pytest.approx((0, 0, 180, 85.0511287798066))
    # San Francisco in the description of OpenStreetMap's tiles
    assert tile_at(-122.4194, 37.7749, 12) == MapTile(12, 655, 1583)
    assert MapTile(12, 655, 1583).parent(11) == MapTile(11, 327, 791)


@settings(max_examples=examples(100))
@given(st.floats(-180, 180), st.floats(-85, 85), st.integers(0, MAX_ZOOM))
def test_places_as_proj_has_them(lon, lat, z):
    x, y = PROJ.transform(lon, lat)
    (own_x,), (own_y,) = from_lonlat(np.array([lon]), np.array([lat]))
    assert (own_x, own_y) == pytest.approx((x, y), abs=1e-6)
    (lon_back,), (lat_back,) = to_lonlat(np.array([x]), np.array([y]))
    assert (lon_back, lat_back) == pytest.approx((lon, lat), abs=1e-9)
    west, south, east, north = tile_at(lon, lat, z).bounds
    assert west - 1e-6 <= x <= east + 1e-6
    assert south - 1e-6 <= y <= north + 1e-6


def test_neighbours_are_of_one_lattice():
    one, right = MapTile(12, 2213, 1453).grid(), MapTile(12, 2214, 1453).grid()
    assert one.lattice == right.lattice == lattice(12)
    assert one.window.col_end == right.window.col_off
    assert one.grid.outline().bounds == pytest.approx(MapTile(12, 2213, 1453).bounds, abs=1e-6)
    assert MapTile(12, 2213, 1453).grid(512).window.shape == (512, 512)


def test_zooms_whose_pixels_are_as_small():
    assert [zoom_of(metres_a_pixel(z)) for z in (0, 9, 24)] == [0, 9, 24]
    assert zoom_of(metres_a_pixel(9) * 1.001) == 9
    assert zoom_of(metres_a_pixel(9) * 0.9) == 10
    assert (zoom_of(1e9), zoom_of(1e-9)) == (0, MAX_ZOOM)


def test_a_geometry_on_the_map():
    (point,) = shapely.get_coordinates(on_map(shapely.Point(180, 89)))
    assert point == pytest.approx((HALF, HALF))
    assert math.isclose(on_map(shapely.box(0, 0, 1, 1)).bounds[2], 111319.49079327358)


@pytest.mark.parametrize("place", [(-1, 0, 0), (25, 0, 0), (3, 8, 0), (3, 0, 8), (3, -1, 0)])
def test_what_is_no_tile(place):
    with pytest.raises(InvalidArgumentError, match="is no tile; expected z from 0 to 24"):
        MapTile(*place)
