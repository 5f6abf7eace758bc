"""merge_ranges: every wanted byte once, nothing split, gaps and sizes as promised."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rasteret_sql.byte_ranges import GAP, MAX_REQUEST, ByteRange, merge_ranges

ranges = st.sets(st.builds(ByteRange, st.integers(0, 5_000_000), st.integers(1, 400_000)), max_size=40)


@given(ranges, st.integers(0, 200_000), st.integers(1, 2_000_000))
def test_every_range_is_inside_one_request(wanted, gap, limit):
    merged = merge_ranges(wanted, gap, limit)
    assert sorted(part for m in merged for part in m.parts) == sorted(wanted)
    for request in merged:
        assert request.span.offset == min(p.offset for p in request.parts)
        assert request.span.end == max(p.end for p in request.parts)


@given(ranges, st.integers(0, 200_000), st.integers(1, 2_000_000))
def test_requests_do_not_overlap(wanted, gap, limit):
    merged = merge_ranges(wanted, gap, limit)
    assert bool(merged) == bool(wanted)
    for one, other in itertools.pairwise(merged):
        assert one.span.end <= other.span.offset


@given(ranges, st.integers(0, 200_000), st.integers(1, 2_000_000))
def test_gaps_stay_small(wanted, gap, limit):
    merged = merge_ranges(wanted, gap, limit)
    assert bool(merged) == bool(wanted)
    for request in merged:
        end = request.parts[0].end
        for part in request.parts[1:]:
            assert part.offset - end <= gap
            end = max(end, part.end)


def test_neighbours_merge_up_to_the_largest_request():
    tiles = [ByteRange(i * 300_000, 300_000) for i in range(7)]
    assert [m.span.length for m in merge_ranges(tiles)] == [900_000, 900_000, 300_000]
    assert MAX_REQUEST == 1024 * 1024


def test_a_tile_larger_than_the_limit_is_one_request():
    assert merge_ranges([ByteRange(8, 5_000_000)])[0].span == ByteRange(8, 5_000_000)


def test_the_gap_is_inclusive():
    near, far = ByteRange(100 + GAP, 10), ByteRange(101 + GAP, 10)
    assert len(merge_ranges([ByteRange(0, 100), near])) == 1
    assert len(merge_ranges([ByteRange(0, 100), far])) == 2


def test_nothing_gives_nothing():
    assert merge_ranges([]) == []
