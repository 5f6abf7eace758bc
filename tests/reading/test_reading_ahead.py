"""What is read before a statement asks for it: the next pairs, twice as many as were asked for, each once."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from rasteret_sql.reading.read_ahead import _MOST_AHEAD, _TIMES, Order, Place, ReadAhead


def place_of(sizes, at):
    """Scene and position of the so-manieth pair."""
    for scene, size in enumerate(sizes):
        if at < size:
            return Place(scene, at)
        at -= size
    raise IndexError(at)


def number_of(sizes, scene, position):
    return sum(sizes[:scene]) + position


def asked(ahead, sizes, begin, end, order=Order.NEXT):
    ahead.ask(place_of(sizes, end - 1), end - begin, order, lambda scene: sizes[scene] if scene < len(sizes) else 0)
    found = []
    while spans := ahead.more(lambda scene: sizes[scene] if scene < len(sizes) else 0):
        found.append(spans)
    return found


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=40), st.integers(1, 2048))
def test_a_statement_that_goes_on_finds_all_after_its_second_call(sizes, chunk):
    ahead, total, reach = ReadAhead(), sum(sizes), 0
    for begin in range(0, total, chunk):
        end = min(begin + chunk, total)
        own = begin >= reach  # it has to be read for the call itself
        assert own or end <= reach or begin < 2 * chunk
        reach = max(reach, end)
        for batch in asked(ahead, sizes, begin, end):
            for scene, first, last in batch:
                assert number_of(sizes, scene, first) == reach  # one after the other, none twice
                assert first < last <= sizes[scene]
                reach += last - first
        # A scene's rest goes with what is read of it, as much again and a little.
        assert reach - end <= min(2 * _TIMES * begin, 3 * _MOST_AHEAD)
        if begin >= 2 * chunk:
            assert reach > end or reach == total
    assert reach == total


def test_nothing_is_read_ahead_of_one_call_or_of_calls_out_of_order():
    sizes = [5000, 5000, 5000]
    ahead = ReadAhead()
    assert asked(ahead, sizes, 0, 2048) == []
    assert asked(ahead, sizes, 6000, 8048, Order.ELSEWHERE) == []
    assert asked(ahead, sizes, 2048, 4096, Order.ELSEWHERE) == []
    (batch,) = asked(ahead, sizes, 4096, 6144)
    # A rest that is not much more than was asked for is read with it, and the next scene up to twice as many.
    assert batch == [(1, 1144, 5000), (2, 0, 240)]


def test_scenes_with_few_pairs_are_read_together():
    sizes = [5] * 3000
    ahead = ReadAhead()
    asked(ahead, sizes, 0, 2048)
    asked(ahead, sizes, 2048, 4096)
    batches = asked(ahead, sizes, 4096, 6144)
    assert len(batches) == 1
    assert len(batches[0]) > 300


def test_scenes_with_many_pairs_are_read_one_by_one():
    sizes = [20_000] * 9
    ahead, seen = ReadAhead(), []
    for begin in range(0, sum(sizes), 2048):
        for batch in asked(ahead, sizes, begin, min(begin + 2048, sum(sizes))):
            seen += [batch]
    whole = [batch for batch in seen if batch[0].begin == 0 and batch[-1].end == 20_000]
    assert len(whole) >= 7
    assert all(len(batch) == 1 for batch in whole)


def test_scenes_that_cannot_be_read_ahead_end_it():
    sizes = [3000, 3000, 0, 3000]
    ahead = ReadAhead()
    asked(ahead, sizes, 0, 2048)
    batches = asked(ahead, sizes, 2048, 4096)
    assert [span for batch in batches for span in batch] == [(1, 1096, 3000)]
    assert asked(ahead, sizes, 4096, 6000) == []
