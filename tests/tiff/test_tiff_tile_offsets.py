"""Where tiles lie: tables that are wrong, short or missing are taken as libtiff takes them, and long strips are cut."""

import struct

import imagecodecs
import numpy as np
import pytest
from craft import DOUBLE, LONG, LONG8, SHORT, grey, header_of, image_tags, pixels_of, tiff
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from rasteret_sql.errors import CorruptTiffError, TiffError
from rasteret_sql.tiff.parse import SparseBytes, parse_header
from rasteret_sql.tiff.tile_offsets import CUT_BYTES
from tests.sampling import some

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

RNG = np.random.default_rng(11)
GREY = RNG.integers(1, 250, (8, 16), np.uint8)
ENCODERS = {
    1: bytes,
    5: imagecodecs.lzw_encode,
    8: imagecodecs.zlib_encode,
    32773: imagecodecs.packbits_encode,
    50000: imagecodecs.zstd_encode,
}
OFFSETS, COUNTS = 273, 279


def rasterio_pixels(data):
    """What rasterio reads, None where it fails."""
    try:
        with MemoryFile(data) as file, file.open() as source:
            return source.read()
    except RasterioError:
        return None


def assert_as_rasterio(data):
    expected = rasterio_pixels(data)
    assert expected is not None
    np.testing.assert_array_equal(pixels_of(data), expected)
    return expected


def strips(compression, rows):
    """(tags, tiles) of the grey image in strips of so many rows."""
    stored = [ENCODERS[compression](GREY[row : row + rows].tobytes()) for row in range(0, 8, rows)]
    return image_tags(16, 8, compression=compression, rows=rows), stored


def without(data, tag):
    """The file with one tag of the (little-endian) directory renamed into one that nobody knows, in order."""
    at = data.rindex(struct.pack("<HH", tag, LONG))
    return data[:at] + struct.pack("<H", tag + 1) + data[at + 2 :]


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
@pytest.mark.parametrize("wrong", ["zero", "missing"])
@pytest.mark.parametrize("behind", [0, 1000])
def test_a_count_that_the_only_strip_lacks_is_estimated(compression, wrong, behind):
    tags, stored = strips(compression, 8)
    zero = tags | {COUNTS: (LONG, [0])}
    data = tiff((zero, stored)) if wrong == "zero" else without(tiff((tags, stored)), COUNTS)
    np.testing.assert_array_equal(assert_as_rasterio(data + bytes(behind))[0], GREY)


def test_a_length_that_cannot_be_estimated_is_an_error():
    tags, stored = strips(8, 8)
    data = tiff((tags | {COUNTS: (LONG, [0])}, stored))
    with pytest.raises(CorruptTiffError, match="length of the file is not known"):
        parse_header(SparseBytes(data), "crafted.tif")


@pytest.mark.parametrize("compression", ENCODERS)
@pytest.mark.parametrize("counts", [[0, 0, 0, 0], [0, None, None, 0]])
def test_a_count_of_zero_among_several_strips_is_a_hole(compression, counts):
    tags, stored = strips(compression, 2)
    counts = [len(tile) if count is None else count for tile, count in zip(stored, counts, strict=True)]
    expected = assert_as_rasterio(tiff((tags | {COUNTS: (LONG, counts)}, stored)))
    assert not expected[0, :2].any()
    assert expected.any() == any(counts)


@pytest.mark.parametrize("compression", ENCODERS)
def test_a_count_of_zero_of_a_tile_is_a_hole(compression):
    tile = ENCODERS[compression](np.pad(GREY, ((0, 8), (0, 0))).tobytes())
    tags = image_tags(16, 8, compression=compression, tile_width=16, tile_height=16)
    assert not assert_as_rasterio(tiff((tags | {325: (LONG, [0])}, [tile]))).any()
    if compression in (1, 5, 8):
        np.testing.assert_array_equal(assert_as_rasterio(without(tiff((tags, [tile])), 325))[0], GREY)


@pytest.mark.parametrize("compression", ENCODERS)
@pytest.mark.parametrize("rows", [2, 4, 8])
def test_an_offset_of_zero_is_a_hole(compression, rows):
    tags, stored = strips(compression, rows)
    holes = [0] * len(stored)
    assert not assert_as_rasterio(tiff((tags | {OFFSETS: (LONG, holes), COUNTS: (LONG, holes)}, stored))).any()
    # With a count rasterio takes the file's own header for pixels.
    counts = [len(tile) for tile in stored]
    assert not pixels_of(tiff((tags | {OFFSETS: (LONG, holes), COUNTS: (LONG, counts)}, stored))).any()


@pytest.mark.parametrize("compression", [5, 32773])
@pytest.mark.parametrize("rows", [4, 8])
def test_strips_may_hold_more_than_their_rows(compression, rows):
    stored = [ENCODERS[compression](GREY[row : row + rows].tobytes() + bytes(100)) for row in range(0, 8, rows)]
    data = tiff((image_tags(16, 8, compression=compression, rows=rows), stored))
    np.testing.assert_array_equal(assert_as_rasterio(data)[0], GREY)


@pytest.mark.parametrize("counts", [[32 - 3] * 4, [5, 7, 9, 11], [1] * 4, [32, 32, 32, 31], [40] * 4, [10**6] * 4])
def test_counts_of_uncompressed_strips_are_what_the_strips_need(counts):
    tags, stored = strips(1, 2)
    np.testing.assert_array_equal(assert_as_rasterio(tiff((tags | {COUNTS: (LONG, counts)}, stored)))[0], GREY)


@pytest.mark.parametrize("count", [1, 125, 10**6])
def test_counts_of_an_only_uncompressed_strip_or_tile_are_what_it_needs(count):
    data = tiff((image_tags(16, 8) | {COUNTS: (LONG, [count])}, [GREY.tobytes()]))
    np.testing.assert_array_equal(assert_as_rasterio(data)[0], GREY)
    tile = np.pad(GREY, ((0, 8), (0, 0))).tobytes()
    tags = image_tags(16, 8, tile_width=16, tile_height=16) | {325: (LONG, [min(count, 255)])}
    np.testing.assert_array_equal(assert_as_rasterio(tiff((tags, [tile])))[0], GREY)


def test_counts_of_uncompressed_planes():
    bands = np.stack([GREY, GREY[::-1], 255 - GREY])
    tags = image_tags(16, 8, planar=2, samples=3, bits=(SHORT, [8] * 3))
    for counts in ([125] * 3, [1, 2, 3], [200] * 3):
        data = tiff((tags | {COUNTS: (LONG, counts)}, [band.tobytes() for band in bands]))
        np.testing.assert_array_equal(assert_as_rasterio(data), bands)
    data = without(tiff((tags, [band.tobytes() for band in bands])), COUNTS)
    np.testing.assert_array_equal(assert_as_rasterio(data), bands)


def test_counts_that_end_with_the_file_stay_an_error_of_that_strip():
    """A truncated file is read where it is whole."""
    tags, stored = strips(1, 4)
    data = tiff((tags | {OFFSETS: (LONG, [8, 10**4]), COUNTS: (LONG, [64, 30])}, stored)).ljust(10**4 + 30, b"\1")
    level = header_of(data).levels[0]
    assert level.byte_counts.tolist() == [64, 30]
    with pytest.raises(TiffError, match="only 30 of 64"):
        pixels_of(data, level)
    assert rasterio_pixels(data) is None


@pytest.mark.parametrize("compression", ENCODERS)
def test_tiles_that_a_table_lacks_are_holes(compression):
    tags, stored = strips(compression, 4)
    for lacking in ({COUNTS: (LONG, [len(stored[0])])}, {COUNTS: (LONG, [len(stored[0])]), OFFSETS: (LONG, [8])}):
        expected = assert_as_rasterio(tiff((tags | lacking, stored)))
        np.testing.assert_array_equal(expected[0, :4], GREY[:4])
        assert not expected[0, 4:].any()


@pytest.mark.parametrize("table", [OFFSETS, COUNTS])
@pytest.mark.parametrize("code", [SHORT, LONG])
@pytest.mark.parametrize("held", [5, 6, 7])
def test_a_long_table_that_lacks_tiles_is_an_error(table, code, held):
    tags, stored = strips(8, 1)
    data = tiff((tags | {table: (code, [16] * held)}, stored))
    assert rasterio_pixels(data) is None
    with pytest.raises(CorruptTiffError, match=f"has {held} values for 8 tiles"):
        header_of(data)


@pytest.mark.parametrize("held", [1, 2, 3, 4])
def test_a_table_of_up_to_four_may_lack_tiles(held):
    tags, stored = strips(8, 1)
    expected = assert_as_rasterio(tiff((tags | {COUNTS: (LONG, [len(tile) for tile in stored[:held]])}, stored)))
    np.testing.assert_array_equal(expected[0], np.where(np.arange(8)[:, None] < held, GREY, 0))


@pytest.mark.parametrize("code", [1, 3, 4, 6, 8, 9, 16, 17])
def test_whole_numbers_of_any_type(code):
    tags = image_tags(16, 8) | {OFFSETS: (code, [8]), COUNTS: (code, [127]), 256: (code, [16])}
    np.testing.assert_array_equal(assert_as_rasterio(tiff((tags, [GREY.tobytes()])))[0], GREY)


def test_negative_offsets_are_an_error():
    tags = image_tags(16, 8) | {OFFSETS: (9, [-8]), COUNTS: (LONG, [128])}
    with pytest.raises(CorruptTiffError, match="StripOffsets holds negative numbers"):
        header_of(tiff((tags, [GREY.tobytes()])))


@pytest.mark.parametrize(
    ("code", "numbers"),
    [
        (3, [2, 3, 0]), (8, [2, 3, 0]), (4, [2, 3, 0]), (9, [2, 3, 0]), (11, [2.5, 3, 0]), (12, [2.5, 3, 0]),
        (5, [5, 2, 3, 1, 0, 1]), (10, [5, 2, 3, 1, 0, 1]),
    ],
)  # fmt: skip
def test_scales_of_any_type_of_numbers(code, numbers):
    tags = image_tags(16, 8) | {33550: (code, numbers), 33922: (DOUBLE, [0, 0, 0, 10, 20, 0])}
    data = tiff((tags, [GREY.tobytes()]))
    with MemoryFile(data) as file, file.open() as source:
        assert tuple(header_of(data).transform) == tuple(source.transform)[:6]
        assert source.transform.a >= 2


@pytest.mark.parametrize("count", [1, 2, 4, 10])
def test_tiepoints_alone_are_ground_control_points(count):
    points = RNG.uniform(0, 8, (count, 6)).reshape(-1).tolist()
    data = tiff((image_tags(16, 8) | {33922: (DOUBLE, points)}, [GREY.tobytes()]))
    header = header_of(data)
    assert header.transform is None
    assert len(header.gcps) == count
    np.testing.assert_array_equal(assert_as_rasterio(data)[0], GREY)


def test_a_chain_that_loops_or_leaves_the_file_ends_there():
    pages = tiff(grey(GREY), grey(GREY[::2, ::2], subfile=1))
    for target in (struct.unpack("<I", pages[4:8])[0], 10**6, len(pages) - 1):
        data = pages[:-4] + struct.pack("<I", target)
        assert len(header_of(data).levels) == 2
        np.testing.assert_array_equal(assert_as_rasterio(data)[0], GREY)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("chained", [False, True])
def test_overviews_below_the_image(big, chained):
    """SubIFDs: a directory that no chain but the image's own tag leads to, and one behind it."""
    overviews = [grey(GREY[::2, ::2], subfile=1), grey(GREY[::4, ::4], subfile=1)][: 1 + chained]
    data = bytearray(tiff(grey(GREY), *overviews, big=big))
    order, start, entry = ("<Q", 8, 20) if big else ("<I", 4, 12)
    (first,) = struct.unpack_from(order, data, start)
    tags = grey(GREY)[0] | {330: (LONG8 if big else LONG, [0])}
    data = bytearray(tiff((tags, [GREY.tobytes()]), *overviews, big=big))
    (first,) = struct.unpack_from(order, data, start)
    count = struct.unpack_from("<Q" if big else "<H", data, first)[0]
    link = first + (8 if big else 2) + count * entry
    below = data[link : link + (8 if big else 4)]
    data[link : link + len(below)] = bytes(len(below))
    at = data.index(struct.pack("<HH", 330, LONG8 if big else LONG), first)
    data[at + entry - len(below) : at + entry] = below
    levels = header_of(bytes(data)).levels
    assert [(level.width, level.height) for level in levels] == [(16, 8), (8, 4), (4, 2)][: 2 + chained]
    np.testing.assert_array_equal(pixels_of(bytes(data), levels[1])[0], GREY[::2, ::2])
    with MemoryFile(bytes(data)) as file, file.open() as source:
        assert 2 in source.overviews(1)


def test_an_overview_that_cannot_be_read_is_as_good_as_none():
    for tags in ({259: 34934}, {COUNTS: (LONG, [10**6]), 259: 8}, {256: 0}):
        thumbnail = (grey(GREY[::2, ::2], subfile=1)[0] | tags, [b"xx"])
        data = tiff(grey(GREY), thumbnail)
        assert len(header_of(data).levels) == 1
        np.testing.assert_array_equal(assert_as_rasterio(data)[0], GREY)


@pytest.mark.parametrize("bits", [12, 20, 24])
@pytest.mark.parametrize("order", ["<", ">"])
def test_signed_samples_of_other_depths_are_rasterios(bits, order):
    rows = RNG.integers(0, 256, (8, 16 * bits // 8), np.uint8)
    assert_as_rasterio(tiff((image_tags(16, 8, bits=bits, format=2), [rows.tobytes()]), order=order))


def large(dtype, samples=1, planar=1):
    """An image whose strips are long: (pixels (samples, rows, cols), tiles in the order that they are stored)."""
    image = RNG.integers(0, 200, (samples, 700, 501)).astype(dtype)
    return image, image if planar == 2 else image.transpose(1, 2, 0)[None]


@pytest.mark.parametrize("dtype", some(["uint8", ">u2", "<f4"], 9))
@pytest.mark.parametrize(("samples", "planar"), [(1, 1), (3, 1), (3, 2)])
@pytest.mark.parametrize("rows", [700, 350, 280, 101])
def test_long_uncompressed_strips_are_cut_into_few_rows(dtype, samples, planar, rows):
    dtype = np.dtype(dtype)
    image, planes = large(dtype, samples, planar)
    stored = [plane[row : row + rows].tobytes() for plane in planes for row in range(0, 700, rows)]
    tags = image_tags(
        501, 700, samples=samples, planar=planar, rows=rows, bits=(SHORT, [dtype.itemsize * 8] * samples),
        format=(SHORT, [3 if dtype.kind == "f" else 1] * samples), photometric=1 if samples == 1 else 2,
    )  # fmt: skip
    data = tiff((tags, stored), order=">" if dtype.byteorder == ">" else "<")
    level = header_of(data).levels[0]
    strip = 501 * dtype.itemsize * rows * (samples if planar == 1 else 1)
    if strip > 2 * CUT_BYTES:
        assert int(level.byte_counts.max()) <= CUT_BYTES
        assert rows == 700 or rows % level.tile_height == 0
    else:
        assert level.tile_height == rows
    assert int(level.byte_counts.sum()) == image.nbytes
    np.testing.assert_array_equal(assert_as_rasterio(data), image.astype(dtype.newbyteorder("=")))


def test_long_strips_of_bits_and_of_overviews_and_masks_are_cut():
    image = RNG.integers(0, 2, (3000, 1001), np.uint8)
    packed = np.packbits(image, axis=1)
    tags = image_tags(1001, 3000, bits=1)
    page = (tags, [packed.tobytes()])
    data = tiff(page, (tags | {254: 4}, [packed.tobytes()]), (tags | {254: 1}, [packed.tobytes()]))
    header = header_of(data)
    for level in (*header.levels, header.masks[0]):
        assert int(level.byte_counts.max()) <= CUT_BYTES
        np.testing.assert_array_equal(pixels_of(data, level)[0], image)
    assert len(header.levels) == 2


def test_strips_with_holes_and_compressed_strips_are_not_cut_wrongly():
    image, _ = large(np.dtype("u1"))
    tags = image_tags(501, 700, rows=350)
    data = tiff((tags, [b"", image[0, 350:].tobytes()]))
    expected = assert_as_rasterio(data)
    assert not expected[0, :350].any()
    stored = imagecodecs.zlib_encode(image[0].tobytes())
    assert header_of(tiff((image_tags(501, 700, compression=8), [stored]))).levels[0].tile_height == 700


@pytest.mark.exhaustive
def test_a_strip_of_more_than_two_gibibytes_is_cut():
    side = 70_000
    tags = image_tags(side, side, rows=side) | {OFFSETS: (LONG8, [10**4]), COUNTS: (LONG8, [side * side])}
    head = tiff((tags, []), big=True)
    level = parse_header(SparseBytes(head.ljust(32768, b"\0"), size=10**4 + side * side), "big.tif").levels[0]
    assert level.tile_height == 1
    assert int(level.offsets[-1]) == 10**4 + side * (side - 1)
