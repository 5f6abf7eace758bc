"""Headers of files whose directories have the same bytes: what lies outside of these is each file's own."""

import numpy as np
import pytest
from craft import ASCII, DOUBLE, LONG, SHORT, header_of, image_tags, tiff

from rasteret_sql.errors import CorruptTiffError
from rasteret_sql.tiff.ifd import open_tiff, read_ifd
from rasteret_sql.tiff.parse import SparseBytes

TILES = [bytes(100)] * 6


def file_of(*, bits=8, epsg=32633, nodata="-9999", west=400_000.0, tiles=TILES, form=1):
    """Three samples in six deflated tiles of 16 × 16; all but the size in pixels stands outside of the directory."""
    tags = image_tags(48, 32, tile_width=16, tile_height=16, samples=3, compression=8)
    tags |= {258: (SHORT, [bits] * 3), 339: (SHORT, [form] * 3), 42113: (ASCII, nodata)}
    tags |= {33550: (DOUBLE, [10.0, 10.0, 0.0]), 33922: (DOUBLE, [0.0, 0.0, 0.0, west, 5_100_000.0, 0.0])}
    tags |= {34735: (SHORT, [1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, epsg])}
    return tiff((tags, tiles))


def directory_of(data):
    return read_ifd(*open_tiff(SparseBytes(data, len(data)), "crafted.tif")).directory


OTHERS = {
    "bits": (file_of(bits=16), lambda header: header.levels[0].dtype, np.dtype("u2")),
    "format": (file_of(bits=32, form=3), lambda header: header.levels[0].dtype, np.dtype("f4")),
    "crs": (file_of(epsg=32601), lambda header: header.crs, "EPSG:32601"),
    "nodata": (file_of(bits=32, form=3, nodata="-8888"), lambda header: header.nodata, (-8888.0,) * 3),
    "transform": (file_of(west=7.0), lambda header: header.transform.c, 7.0),
    "byte counts": (
        file_of(tiles=[bytes(99), bytes(101), *TILES[2:]]),
        lambda header: header.levels[0].byte_counts[:3].tolist(),
        [99, 101, 100],
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_each_has_its_own_values(what):
    first, (other, value, expected) = file_of(), OTHERS[what]
    assert directory_of(other) is directory_of(first)
    before = header_of(first)
    assert value(header_of(other)) == expected
    assert value(header_of(first)) == value(before) != expected


def test_one_whose_values_have_not_arrived_asks_for_them():
    data = file_of()
    header_of(data)
    reads = []
    # The writer puts values in front of the directory, but for these.
    tags = image_tags(48, 32, tile_width=16, tile_height=16, samples=3, compression=8)
    far = tiff((tags | {258: (SHORT, [8] * 3)}, TILES), (tags | {254: (LONG, [1]), 258: (SHORT, [8] * 3)}, TILES))
    assert len(header_of(far, reads=reads, prefetch=700).levels) == len(header_of(far).levels) == 2
    assert reads


def test_one_that_is_cut_short_is_told_of_by_its_own_name():
    data = file_of()
    header_of(data, address="whole.tif")
    start = int.from_bytes(data[4:8], "little")
    table = directory_of(data).fields[324].offset
    with pytest.raises(CorruptTiffError, match=r"^cut\.tif: .*truncated"):
        header_of(data[: start + 30], address="cut.tif")
    # the same directory, and tiles that reach beyond the file
    beyond = bytearray(data)
    beyond[table : table + 4] = (1 << 31).to_bytes(4, "little")
    with pytest.raises(CorruptTiffError, match=r"^beyond\.tif: .*tile 0 should lie"):
        header_of(bytes(beyond), address="beyond.tif")


def test_files_of_other_byte_orders_share_nothing():
    tags = image_tags(20, 20, bits=16)
    little, big = (tiff((tags, [bytes(800)]), order=order) for order in "<>")
    assert directory_of(little) is not directory_of(big)
    assert [header_of(one).levels[0].byte_order for one in (little, big, little)] == ["<", ">", "<"]
