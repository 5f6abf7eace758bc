"""A header comes back from the index as it went in."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_samples import NORTH_UP, alpha_of, assert_same, header, level, mask_of

from rasteret_sql.errors import IndexFormatError
from rasteret_sql.geo.gcps import Gcps
from rasteret_sql.geo.grid import Affine
from rasteret_sql.index.format.header_codec import Packed, pack_file, pack_header, unpack_file, unpack_header
from rasteret_sql.tiff.header import Header, Plane, Sidecar, Validity
from tests.sampling import examples

BITS = level(bits=1, dtype=np.dtype("uint8"))
CHUNKY = level(samples=4, extra_samples=(2,), dtype=np.dtype("uint8"), bits=8, photometric=2)
PLANES = [level(samples=3, planar=2).plane(n) for n in range(2)]

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
    "alpha in the tiles": header(CHUNKY, validity=alpha_of(CHUNKY)),
    "alpha that does not count": header(CHUNKY, validity=alpha_of(CHUNKY, counts=False)),
    "values of all bands": header(
        CHUNKY, validity=Validity(nodata_values=tuple((Plane((CHUNKY,), n), n or None) for n in range(4)))
    ),
    "values of all planes": header(
        PLANES[1], validity=Validity(nodata_values=((Plane((PLANES[0],), 0), 0.5), (Plane((PLANES[1],), 0), 2)))
    ),
    "internal mask": header(level(), level(50, 40), validity=mask_of(BITS, None)),
    "files beside": header(
        level(), level(50, 40, sidecar=".ovr"), validity=mask_of(replace(BITS, sidecar=".msk"), None),
        sidecars=(Sidecar(".ovr", 7, '"a"', datetime(2024, 1, 1, 2, 3, 4, 5)), Sidecar(".msk")),
    ),
    "nodata of the item": header(nodata=7, nodata_of_item=True),
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
    "ground control points": header(transform=None, gcps=Gcps.of(np.random.default_rng(1).random((210, 4)) * 1e7)),
    "one that is not finite": header(transform=None, crs=None, gcps=Gcps.of([[0.5, -0.0, np.nan, np.inf]])),
    "RPCs": header(transform=None, rpcs=True),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_round_trip(name):
    assert_same(SHAPES[name], unpack_header(pack_header(SHAPES[name])))


words = st.integers(0, 2**64 - 1)


@settings(max_examples=examples(60))
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


@settings(max_examples=examples(200))
@given(st.sampled_from(sorted(SHAPES)), st.data())
def test_damage_is_never_more_than_an_error(name, data):
    packed = pack_header(SHAPES[name])
    parts = {"layout": packed.layout.encode(), "head": packed.head, "tables": packed.tables}
    part = data.draw(st.sampled_from([key for key, value in parts.items() if value]))
    value = bytearray(parts[part])
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    text = bytes(value).decode("latin-1") if part == "layout" else bytes(value)
    try:
        unpack_header(replace(packed, **{part: text}))
    except IndexFormatError as error:
        assert "with force" in str(error) or "update rasteret-sql" in str(error)


V2 = {
    "alpha plane": alpha_of(level(samples=3, planar=2, extra_samples=(2,)).plane(2), sample=0),
    "chunky": alpha_of(CHUNKY, counts=False),
}
"""Of two headers: what tells their valid pixels now; version 2 did not note alpha that does not count."""


@pytest.mark.parametrize("name", json.loads((Path(__file__).parent / "index_v2/packed.json").read_text()))
def test_headers_that_version_2_packed_are_read(name):
    layout, head, tables = json.loads((Path(__file__).parent / "index_v2/packed.json").read_text())[name]
    found = unpack_header(Packed(layout, base64.b64decode(head), base64.b64decode(tables)))
    if name == "alpha plane":
        expected = header(level(samples=3, planar=2, extra_samples=(2,)).plane(1), validity=V2[name])
    elif name == "chunky":
        tiles = SHAPES[name].levels[0]
        expected = replace(SHAPES[name], validity=alpha_of(tiles, counts=False))
    else:
        expected = SHAPES[name]
    assert_same(found, expected)


def file_header(**changes) -> Header:
    tiles = level(50, 40, samples=3, planar=2)
    values = {
        "levels": (tiles, level(25, 20, samples=3, planar=2)),
        "masks": (BITS, None),
        "transform": NORTH_UP,
        "crs": "EPSG:32632",
        "nodata": (0, float("nan"), None),
        "scales": (1.0, 0.1, 2.0),
        "offsets": (0.0, -1.0, 0.5),
        "descriptions": ("red", None, "Größe"),
        "alpha": None,
    }
    return Header(**values | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"masks": (None, None), "alpha": None, "transform": None, "crs": None},
        {"transform": None, "gcps": Gcps.of(np.arange(12.0).reshape(3, 4), "EPSG:32633"), "rpcs": True},
        {
            "levels": (CHUNKY,),
            "masks": (None,),
            "alpha": 3,
            "alpha_counts": True,
            "nodata_values": (1, None, 3, 255),
            "sidecars": (Sidecar(".msk", 1, None, None),),
            "band_masks": tuple(Plane((replace(BITS, sidecar=".msk"),), n) for n in range(4)),
            "nodata": (None,) * 4,
            "scales": (1.0,) * 4,
            "offsets": (0.0,) * 4,
            "descriptions": (None,) * 4,
        },
    ],
)
def test_the_header_of_a_whole_file_comes_back(changes):
    """As a build's journal keeps it: all of its bands are those of the header that went in."""
    header_ = file_header(**changes)
    again = unpack_file(pack_file(header_))
    assert again.count == header_.count
    for band in range(header_.count):
        assert_same(header_.band(band), again.band(band))


def test_a_later_version_says_so():
    packed = pack_header(header())
    with pytest.raises(IndexFormatError, match=r"version 9.*update"):
        unpack_header(replace(packed, layout=packed.layout.replace('"version":3', '"version":9')))
