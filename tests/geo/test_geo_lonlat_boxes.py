"""Boxes in lon/lat: what is compared of them, by hand and against a count of whole degrees."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio.warp
from hypothesis import given
from hypothesis import strategies as st

from rasteret_sql.geo.lonlat_boxes import (
    are_unclear,
    box_in,
    box_of_row,
    box_rows,
    longitude_limits,
    numbers_meet,
    whole_turn,
)


def possible(west, east, asked_west, asked_east):
    return west > east or any(
        west <= last and east >= first for last, first in longitude_limits(asked_west, asked_east)
    )


@given(st.integers(-180, 179), st.integers(1, 89), st.integers(-180, 179), st.integers(1, 359))
def test_a_narrow_box_is_possible_where_it_shares_a_degree(west, width, asked, length):
    shared = {lon % 360 for lon in range(west, west + width)} & {lon % 360 for lon in range(asked, asked + length)}
    found = possible(west + 0.25, west + width - 0.25, asked + 0.25, asked + length - 0.25)
    assert found == bool(shared)


@pytest.mark.parametrize("box", [(-179, 178), (-91, 91), (179, -179), (1, 359)])
def test_a_box_that_may_jump_is_always_possible(box):
    assert possible(*box, 10, 11)


def test_boxes_that_do_not_say_where_they_are():
    boxes = np.array([(-90, 0, 90, 1), (-90, 0, 89.9, 1), (179, 0, -179, 1), (np.nan,) * 4])
    assert are_unclear(boxes).tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("box", "asked", "wanted"),
    [
        ((-178, 0, 179, 1), (10, 0, 11, 1), True),
        ((-178, 0, -177, 1), (170, 0, 190, 1), True),
        ((-169, 0, -168, 1), (170, 0, 190, 1), False),
        ((175, 2, 176, 3), (170, 0, 190, 1), False),
    ],
)
def test_servers_compare_numbers(box, asked, wanted):
    assert numbers_meet(box, asked) is wanted


def test_boxes_are_rows_and_back():
    boxes = [(1.0, 2.0, 3.0, 4.0), None, whole_turn(-5.0, 6.0)]
    rows = box_rows(boxes)
    assert rows.shape == (3, 4)
    assert [box_of_row(row) for row in rows] == [(1.0, 2.0, 3.0, 4.0), None, (-180.0, -5.0, 180.0, 6.0)]
    assert box_rows([]).shape == (0, 4)


def test_a_box_in_another_crs_is_that_of_rasterio():
    box = (10.0, 48.0, 12.0, 49.0)
    wanted = rasterio.warp.transform_bounds("OGC:CRS84", "EPSG:32632", *box, densify_pts=41)
    assert box_in(box, "EPSG:32632") == pytest.approx(wanted, abs=1e-3)
