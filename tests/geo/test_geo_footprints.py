"""Footprints against areas in lon/lat: turns, jumps across the antimeridian, poles; places counted by hand."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from rasteret_sql.geo.footprints import Area, as_kept, box_footprints, cut_at_antimeridian
from tests.sampling import some, some_tuples

NONE = (np.nan,) * 4


def ring(*lons, south=-17.0, north=-16.0):
    """A ring through these longitudes along the south, and back along the north."""
    return shapely.Polygon([(x, south) for x in lons] + [(x, north) for x in reversed(lons)])


NEARLY = shapely.Polygon([(-180, 89.9), (180, 89.9), (180, -88.9), (179.94, -89.9), (-179.97, -89.9)])
"""The globe as rounding leaves it."""


def longitudes(footprint, box=NONE, lat=-16.5):
    """Whole longitudes, -180 to 179, at which a footprint is met."""
    shapes, boxes = np.array([footprint], dtype=object), np.array([box], dtype=float)
    return {x for x in range(-180, 180) if Area(shapely.Point(x, lat)).meets(shapes, boxes)[0]}


def span(west, east):
    """Whole longitudes from west to east, which may lie beyond 180."""
    return {(x + 180) % 360 - 180 for x in range(west, east + 1)}


SHORT = span(179, 182)
WIDE = set(range(-180, 180))


@pytest.mark.parametrize(
    "box",
    some_tuples(
        [NONE, (178.5, -17, -177.5, -16), (-177.5, -17, 178.5, -16), (-180, -17, 180, -16), (178.5, -17, 182.5, -16)], 5
    ),
    ids=["no box", "west > east", "smallest and largest", "whole turn", "beyond 180"],
)
@pytest.mark.parametrize(
    "footprint",
    [
        ring(178.5, -177.5),
        ring(-177.5, 178.5),
        ring(178.5, 179.5, -179.5, -177.5),
        ring(178.5, 182.5),
        ring(-181.5, -177.5),
        shapely.MultiPolygon([ring(178.5, 180), ring(-180, -177.5)]),
        shapely.MultiPolygon([ring(178.5, -177.5), ring(-179, -178)]),
    ],
    ids=["ring", "clockwise", "more vertices", "beyond 180", "beyond -180", "cut", "in several parts"],
)
def test_across_the_antimeridian_in_every_writing(footprint, box):
    assert longitudes(footprint, box) == SHORT
    (cut,), _ = as_kept(np.array([footprint]), np.array([box], dtype=float))
    assert longitudes(cut) == SHORT


@pytest.mark.parametrize(
    ("footprint", "box", "found"),
    some([
        (ring(-100, 100), (-100, -17, 100, -16), span(-100, 100)),
        (ring(-100, 100), NONE, span(-100, 100)),
        (ring(-100, 100), (100, -17, -100, -16), span(100, 260)),
        (ring(-170, 0, 170), NONE, span(-170, 170)),
        (ring(-180, 180), NONE, WIDE),
        (ring(0, 360), NONE, WIDE),
        (ring(-180, 180, south=-90, north=90), (-180, -90, 180, 90), WIDE),
        (ring(-179.875, 179.875, south=-90, north=90), (-180, -90, 180, 90), span(-179, 179)),
        (ring(-170, 170, south=-60, north=60), NONE, span(-170, 170)),
        (ring(-177.5, 178.5, south=-60, north=-10), (178.5, -60, -177.5, -10), SHORT),
        (ring(350.5, 9.5), NONE, span(-9, 9)),
        (ring(*range(-180, 181, 10)).difference(shapely.box(-1, -16, 1, -15)), NONE, WIDE),
        (NEARLY, NONE, WIDE),
    ], 3),
    ids=[
        "200 degrees", "200 degrees without box", "its box says the other side", "steps say so", "the turn",
        "the turn from 0", "the globe", "the globe but half a pixel", "most of the globe", "a strip whose box says so",
        "across Greenwich in 0 to 360", "steps of a whole turn", "the globe but for its corners",
    ],
)  # fmt: skip
def test_footprints_wider_than_half_the_globe(footprint, box, found):
    assert longitudes(footprint, box) == found


def test_a_hole_goes_with_its_ring():
    holed = shapely.Polygon(
        [(170.5, -17), (-170.5, -17), (-170.5, -16), (170.5, -16)],
        [[(-178.5, -16.9), (-175.5, -16.9), (-175.5, -16.1), (-178.5, -16.1)]],
    )
    assert longitudes(holed) == span(171, 181) | span(185, 189)


@pytest.mark.parametrize("sign", some([1, -1], 99))
@pytest.mark.parametrize(
    "lons", some_tuples([(-135, -45, 45, 135), (135, 45, -45, -135), (0, 90, 180, 270), (20, 140, -100)], 3)
)
def test_a_ring_around_a_pole_holds_it(lons, sign):
    cap = shapely.Polygon([(x, sign * 80.0) for x in lons])
    assert longitudes(cap, lat=sign * 85.0) == WIDE
    assert longitudes(cap, lat=sign * 75.0) == set()
    assert longitudes(cap, lat=-sign * 85.0) == set()


def test_a_band_around_the_globe_stops_before_the_pole():
    south = [(x, 50.0) for x in range(-180, 181, 20)]
    band = shapely.Polygon([*south, (180, 80), (-180, 80)])
    assert longitudes(band, lat=60) == WIDE
    assert longitudes(band, lat=85) == set()


def test_missing_and_empty_footprints_meet_nothing():
    shapes = np.array([None, shapely.Polygon(), shapely.box(0, 0, 1, 1)], dtype=object)
    assert Area.of_box((-180, -90, 180, 90)).meets(shapes).tolist() == [False, False, True]


def test_several_geometries_are_one_area():
    shapes = shapely.box(np.arange(0, 9000) % 300 - 150, 0, np.arange(0, 9000) % 300 - 149.5, 1)
    area = Area(
        [shapely.Point(10.2, 0.5), shapely.Point(-349.8, 0.5), shapely.Point(-20.2, 0.5), shapely.Point(60, 50)]
    )
    found = np.flatnonzero(area.meets(shapes)) % 300 - 150
    assert sorted(set(found.tolist())) == [10]
    assert len(found) == 30


@given(st.integers(-179, 179), st.integers(1, 150), st.integers(-180, 179), st.integers(1, 150), st.booleans())
def test_boxes_meet_where_whole_degrees_do(west, width, other, length, jump):
    """Both boxes stop a quarter of a degree before the ends of their cells, so that none only touch."""
    there, asked = span(west, west + width - 1), span(other, other + length - 1)
    lons = np.array([west + 0.25, west + width - 0.25])
    if jump:
        lons = (lons + 180) % 360 - 180
    footprint = shapely.Polygon([(lons[0], 0), (lons[1], 0), (lons[1], 1), (lons[0], 1)])
    box = np.array([[lons[0], 0, lons[1], 1]])
    area = Area.of_box((other + 0.25, 0, other + length - 0.25, 1))
    assert area.meets(np.array([footprint]), box).tolist() == [bool(there & asked)]


def test_what_does_not_cross_is_left_alone():
    shapes = np.array([shapely.box(10, 0, 11, 1), None, shapely.box(-180, -90, 180, 90), ring(178, 184)], dtype=object)
    assert cut_at_antimeridian(shapes) is shapes


def test_boxes_stand_for_footprints():
    made = box_footprints(np.array([(178, 0, -178, 1), (1, 2, 3, 4), NONE, (0, 5, 1, 4)]))
    assert made[0].equals(shapely.MultiPolygon([shapely.box(178, 0, 180, 1), shapely.box(-180, 0, -178, 1)]))
    assert made[1].equals(shapely.box(1, 2, 3, 4))
    assert made[2] is None
    assert made[3] is None


def test_a_scene_across_the_antimeridian_keeps_a_box_that_no_comparison_misses():
    shapes = np.array([ring(178.5, -177.5), ring(178.5, -177.5), shapely.box(1, 2, 3, 4), None], dtype=object)
    boxes = np.array([NONE, (178.5, -17, -177.5, -16), (1, 2, 3.5, 4), (170, 1, -170, 2)])
    kept, sides = as_kept(shapes, boxes)
    assert sides.tolist() == [[-180, -17, 180, -16], [-180, -17, 180, -16], [1, 2, 3.5, 4], [-180, 1, 180, 2]]
    assert kept[0].equals(shapely.MultiPolygon([ring(178.5, 180), ring(-180, -177.5)]))
    assert kept[2] is shapes[2]
