"""Blocks of pixels that wait to be asked for: few of them, and those of one table apart from those of another."""

import numpy as np

from rasteret_sql.reading.pixel_blocks import Block, WaitingBlocks


def block(value, pixels=100):
    return Block([np.full(pixels, value, "uint8")], [None])


def test_the_latest_are_kept():
    waiting = WaitingBlocks(most_bytes=300)
    for number in range(3):
        waiting.put(1, number, block(number))
    assert waiting.get(1, 0) is not None
    waiting.put(1, 3, block(3))
    assert [waiting.get(1, number) is not None for number in range(4)] == [True, False, True, True]
    assert len(waiting) == 3


def test_one_that_is_larger_than_all_is_kept_alone():
    waiting = WaitingBlocks(most_bytes=300)
    waiting.put(1, 0, block(0))
    waiting.put(1, 1, block(1, pixels=1000))
    assert waiting.get(1, 0) is None
    assert waiting.get(1, 1) is not None
    waiting.put(1, 2, block(2))
    assert len(waiting) == 1


def test_a_block_that_is_put_again_counts_once():
    waiting = WaitingBlocks(most_bytes=300)
    for _ in range(5):
        waiting.put(1, 0, block(7))
    waiting.put(1, 1, block(1))
    waiting.put(2, 0, block(2))
    assert len(waiting) == 3
    assert waiting.get(1, 0).values[0][0] == 7
    assert waiting.get(2, 0).values[0][0] == 2


def test_pixels_are_taken_of_each_band():
    values, missing = np.empty((2, 3)), np.zeros((2, 3), bool)
    hidden = np.array([False, True, False])
    made = Block([np.array([1, 2, 3], "int16"), None, np.array([4.5, 5.5, 6.5])], [hidden, None, None])
    made.take(np.array([2, 1]), values, missing)
    np.testing.assert_array_equal(missing, [[False, True, False], [True, True, False]])
    np.testing.assert_array_equal(values[~missing], [3, 6.5, 5.5])
