"""What parsing asks for: nothing for a COG whose header came with the first read, else only what is missing, once."""

import numpy as np
import pytest
from craft import HEADER_PREFETCH, LONG, LONG8, grey, header_of, image_tags, pixels_of, tiff

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import CorruptTiffError
from rasteret_sql.tiff.parse import NeedBytes, SparseBytes, parse_header

IMAGE = np.arange(480, dtype="u1").reshape(20, 24)


def pyramid(**more):
    return tiff(grey(IMAGE), grey(IMAGE[::2, ::2], subfile=1), grey(IMAGE[::4, ::4], subfile=1), **more)


def test_a_header_within_the_first_read_needs_no_more():
    reads = []
    header_of(pyramid(), reads=reads)
    assert reads == []


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("prefetch", [0, 1, 8, 9, 16, 100, 500, 700, 1000])
def test_any_first_read_leads_to_the_same_header(order, big, prefetch, size):
    data = pyramid(order=order, big=big)
    header = header_of(data, prefetch=prefetch, size=size)
    assert [level.width for level in header.levels] == [24, 12, 6]
    np.testing.assert_array_equal(pixels_of(data, header.levels[0])[0], IMAGE)


def test_far_directories_take_a_request_each_and_their_values_come_with_them():
    data = pyramid(gap=100_000)
    reads = []
    header_of(data, reads=reads)
    assert len(reads) == 3
    assert all(span.length <= 16384 for span in reads)


def test_all_far_tables_of_known_directories_are_asked_for_at_once():
    tiles = 6000
    tags = image_tags(tiles * 16, 16, tile_width=16, tile_height=16)
    tags |= {324: (LONG, np.full(tiles, 8).tolist()), 325: (LONG, np.full(tiles, 1).tolist())}
    data = tiff((tags, []))
    # The writer puts values in front of the directory: parse from the directory alone.
    start = int.from_bytes(data[4:8], "little")
    chunks = SparseBytes(data[:8], size=len(data))
    chunks.add(start, data[start:])
    with pytest.raises(NeedBytes) as need:
        parse_header(chunks, "far.tif")
    assert need.value.ranges == (ByteRange(8, 2 * tiles * 4),)


def test_more_values_than_tiles_are_not_read():
    tags, _ = grey(IMAGE)
    tags |= {273: (LONG8, [8] + [0] * 50_000), 279: (LONG8, [480] + [0] * 50_000)}
    data = tiff((tags, []), big=True)
    start = int.from_bytes(data[8:16], "little")
    chunks = SparseBytes(data[:16], size=len(data))
    chunks.add(start, data[start:])
    with pytest.raises(NeedBytes) as need:
        parse_header(chunks, "more.tif")
    assert sum(span.length for span in need.value.ranges) == 16


def test_ranges_beyond_a_known_end_are_an_error_and_never_asked_for():
    data = bytearray(pyramid())
    data[4:8] = (10**6).to_bytes(4, "little")
    with pytest.raises(CorruptTiffError, match=r"a\.tif: the image directory at byte 1000000 .* only \d+ bytes"):
        parse_header(SparseBytes(data[:100], size=len(data)), "a.tif")
    with pytest.raises(NeedBytes):
        parse_header(SparseBytes(data[:100]), "a.tif")


def test_sparse_bytes_joins_its_parts():
    chunks = SparseBytes(b"0123", size=20)
    chunks.add(8, b"89ab")
    assert chunks.missing(2, 10) == [ByteRange(4, 4)]
    chunks.add(3, b"34567")
    assert bytes(chunks.view(2, 10)) == b"23456789ab"
    assert bytes(chunks.view(5, 0)) == b""
    with pytest.raises(NeedBytes):
        chunks.view(10, 5)


def test_what_is_needed_is_asked_for_in_one_range_where_it_lies_close():
    ranges = [ByteRange(10_100, 10), ByteRange(0, 20), ByteRange(10_110, 5), ByteRange(5, 3)]
    assert NeedBytes(ranges).ranges == (ByteRange(0, 20), ByteRange(10_100, 15))
    assert NeedBytes([*ranges, ByteRange(4_100, 2_000_000)]).ranges == (ByteRange(0, 2_004_100),)


def test_the_first_read_is_32_kib():
    assert HEADER_PREFETCH == 32768
