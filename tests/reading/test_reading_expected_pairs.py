"""What a statement is expected to ask for: what it left out of one scene it leaves out of the next."""

from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from rasteret_sql.reading.expected_pairs import ExpectedPairs
from rasteret_sql.reading.read_ahead import Order

COUNT = 30


def grid(numbers):
    return SimpleNamespace(numbers=np.array(numbers, np.int64), count=COUNT)


def asked(expected, grids, pairs):
    """Ask for (scene, position) pairs."""
    scenes, positions = (np.array(each) for each in zip(*pairs, strict=True))
    return expected.ask(scenes, positions, lambda scene: grids[scene] if scene < len(grids) else None)


def test_without_a_condition_all_are_expected():
    grids, expected = [grid(range(10)), grid(range(5, 12))], ExpectedPairs()
    assert asked(expected, grids, [(0, n) for n in range(4)]) is Order.NEXT
    assert asked(expected, grids, [(0, n) for n in range(4, 10)] + [(1, 0), (1, 1)]) is Order.NEXT
    assert asked(expected, grids, [(1, n) for n in range(2, 7)]) is Order.NEXT
    assert [expected.size(each) for each in grids] == [10, 7]


def test_what_is_left_out_of_one_scene_is_not_expected_of_the_next():
    grids, expected = [grid(range(10)), grid([8, 1, 12, 3, 2]), grid(range(10))], ExpectedPairs()
    assert asked(expected, grids, [(0, 1), (0, 2)]) is Order.GAPS
    assert asked(expected, grids, [(0, 3), (0, 7)]) is Order.GAPS
    # 8 and 9 were left out, too; 12 is met here first.
    assert asked(expected, grids, [(1, 1), (1, 2)]) is Order.SHORTER
    assert expected.positions(grids[1]).tolist() == [1, 2, 3, 4]
    assert expected.positions(grids[2]).tolist() == [1, 2, 3, 7]
    assert asked(expected, grids, [(1, 3), (1, 4), (2, 1), (2, 2), (2, 3)]) is Order.NEXT
    assert asked(expected, grids, [(2, 4), (2, 7)]) is Order.GAPS  # one that was left out before
    assert expected.positions(grids[0]).tolist() == [1, 2, 3, 4, 7]


def test_scenes_of_which_nothing_is_asked_for_say_nothing_of_the_geometries():
    grids, expected = [grid(range(5)) for _ in range(4)], ExpectedPairs()
    assert asked(expected, grids, [(0, n) for n in range(5)]) is Order.NEXT
    assert asked(expected, grids, [(2, n) for n in range(5)]) is Order.GAPS
    assert expected.size(grids[3]) == 5


def test_what_comes_back_is_begun_anew():
    grids, expected = [grid(range(5)), grid(range(5))], ExpectedPairs()
    assert asked(expected, grids, [(0, 0), (0, 4)]) is Order.GAPS
    assert asked(expected, grids, [(0, 2)]) is Order.ELSEWHERE
    assert expected.size(grids[1]) == 5
    assert asked(expected, grids, [(1, 3), (1, 2)]) is Order.ELSEWHERE
    assert asked(expected, grids, [(1, 3), (0, 4)]) is Order.ELSEWHERE


def test_scenes_that_are_read_one_by_one_are_passed_over():
    grids, expected = [grid(range(5)), None, grid(range(5))], ExpectedPairs()
    assert asked(expected, grids, [(0, n) for n in range(5)]) is Order.NEXT
    assert asked(expected, grids, [(2, n) for n in range(5)]) is Order.NEXT


@given(st.sets(st.integers(0, COUNT - 1)), st.integers(1, 9), st.randoms())
def test_a_condition_on_geometries_is_known_after_a_scene(left_out, chunk, random):
    grids = [grid(random.sample(range(COUNT), COUNT)) for _ in range(4)]
    pairs = [
        (scene, position)
        for scene, one in enumerate(grids)
        for position, number in enumerate(one.numbers.tolist())
        if number not in left_out
    ]
    expected = ExpectedPairs()
    for begin in range(0, len(pairs), chunk):
        some = pairs[begin : begin + chunk]
        order = asked(expected, grids, some)
        if pairs[max(begin - 1, 0)][0] > 0:  # the call before was of the second scene, or a later one
            assert order is Order.NEXT
            wanted = [number for number in range(COUNT) if number not in left_out]
            assert sorted(grids[0].numbers[expected.positions(grids[0])].tolist()) == wanted
    assert expected.size(grids[0]) >= COUNT - len(left_out)
