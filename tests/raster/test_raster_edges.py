"""Orientation of many rings at once, beside that of each alone."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rasteret_sql.raster.edges import _are_clockwise, is_clockwise
from tests.sampling import examples

NUMBERS = st.sampled_from([0.0, 1.0, 2.0, 3.0, 1.0 + 5e-6, 2.0 - 5e-6])
RINGS = st.lists(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=7), min_size=1, max_size=5)


@settings(max_examples=examples(1000))
@given(RINGS)
def test_many_rings_turn_as_each_does_alone(rings):
    """Small numbers, so that vertices repeat, lie side by side or within the bound of OGR, and turns are flat."""
    closed = [np.array([*ring, ring[0]]) for ring in rings]
    counts = np.array([len(ring) for ring in closed])
    last = np.cumsum(counts)
    many = _are_clockwise(np.concatenate(closed), last - counts, last)
    assert many.tolist() == [is_clockwise(ring) for ring in closed]


def test_a_square_by_hand():
    square = np.array([(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
    both = np.concatenate([square, square[::-1]])
    assert _are_clockwise(both, np.array([0, 5]), np.array([5, 10])).tolist() == [True, False]
