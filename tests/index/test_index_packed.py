"""A header comes back from the index as it went in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_samples import assert_same, header, level

from rasteret_sql.errors import IndexFormatError
from rasteret_sql.index.packed import pack_header, unpack_header
from rasteret_sql.types import Affine

BITS = level(bits=1, dtype=np.dtype("uint8"))
CHUNKY = level(samples=4, extra_samples=(2,), dtype=np.dtype("uint8"), bits=8, photometric=2)

SHAPES = {
    "plain": header(),
    "overviews": header(level(), level(50, 40), level(25, 20)),
    "overviews before the image": header(level(seed=1), level(50, 40, seed=2)),
    "shuffled tiles": header(level(1000, 1000, 64, order="shuffled")),
    "sparse tiles": header(level(order="sparse")),
    "one tile": header(level(10, 10)),
    "big-endian": header(level(byte_order=">")),
    "12 bit": header(level(bits=12)),
    "1 bit": header(level(bits=1, dtype=np.dtype("uint8"))),
    "float16": header(level(bits=16, dtype=np.dtype("float16"), predictor=3)),
    "strips": header(level(100, 77, tile_width=100, tile_height=8, tiled=False)),
    "planar": header(level(samples=3, planar=2).plane(1)),
    "chunky": header(CHUNKY, sample=2),
    "alpha in the tiles": header(CHUNKY, masks=(CHUNKY,), mask_sample=3),
    "internal mask": header(level(), level(50, 40), masks=(BITS, None), internal_mask=True),
    "jpeg": header(level(compression=7, photometric=6, jpeg_tables=b"\xff\xd8\x00\xff\xd9", subsampling=(2, 2))),
    "empty jpeg tables": header(level(compression=7, jpeg_tables=b"")),
    "rotated": header(transform=Affine(7.0, -7.0, 500000.0, 7.0, 7.0, 5400000.0)),
    "south-up": header(transform=Affine(10.0, 0.0, 0.0, 0.0, 10.0, 0.1)),
    "no place": header(transform=None, crs=None),
    "WKT": header(crs='PROJCRS["Größe", ...]'),
    "no nodata": header(nodata=None),
    "NaN nodata": header(level(dtype=np.dtype("float32"), bits=32), nodata=float("nan")),
    "infinite nodata": header(level(dtype=np.dtype("float32"), bits=32), nodata=float("-inf")),
    "float nodata that is whole": header(level(dtype=np.dtype("float32"), bits=32), nodata=-9999.0),
    "64-bit nodata": header(level(dtype=np.dtype("uint64"), bits=64), nodata=2**64 - 1),
    "scaled": header(scale=0.0001, offset=-0.1, description='say "red"\n'),
    "fill order": header(level(fill_order=2)),
    "photometric unknown": header(level(photometric=None)),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_round_trip(name):
    assert_same(SHAPES[name], unpack_header(pack_header(SHAPES[name])))


words = st.integers(0, 2**64 - 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=24), st.lists(st.tuples(words, words), max_size=5))
def test_tables_of_any_values_come_back_exactly(first, second):
    def one(entries):
        offsets, counts = (np.array(column, np.uint64) for column in zip(*entries, strict=True))
        return level(len(entries), 1, tile_width=1, tile_height=1, offsets=offsets, byte_counts=counts)

    levels = [one(entries) for entries in (first, second) if entries]
    assert_same(header(*levels), unpack_header(pack_header(header(*levels))))


def test_a_table_takes_its_entropy_not_sixteen_bytes_an_entry():
    tiles = level(10980, 10980, 512)
    packed = pack_header(header(tiles))
    assert (len(packed.head) + len(packed.tables)) / len(tiles.offsets) < 5


@pytest.mark.parametrize("cut", [0, 3, 20, -1])
@pytest.mark.parametrize("part", ["layout", "head", "tables"])
def test_damage_is_an_error(part, cut):
    packed = pack_header(header())
    value = getattr(packed, part)
    assert len(value) > 3
    with pytest.raises(IndexFormatError, match=r"damaged"):
        unpack_header(replace(packed, **{part: value[: min(cut, len(value) - 1)]}))


def test_a_later_version_says_so():
    packed = pack_header(header())
    with pytest.raises(IndexFormatError, match=r"version 9.*update"):
        unpack_header(replace(packed, layout=packed.layout.replace('"version":2', '"version":9')))
