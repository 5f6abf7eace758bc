"""Images that are decoded whole: old-style JPEG in its forms, planar CMYK and YCbCr. Pixels are rasterio's."""

import imagecodecs
import numpy as np
import pytest
from craft import LONG, SHORT, grey, header_of, image_tags, pixels_of, tiff
from test_tiff_colours import assert_as_rasterio

from rasteret_sql.errors import CorruptTiffError, UnsupportedTiffError
from rasteret_sql.index.format.header_codec import pack_file, pack_header, unpack_file, unpack_header
from rasteret_sql.tiff import whole_image
from rasteret_sql.tiff.decode import decode_tile

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

RNG = np.random.default_rng(8)
ROWS, COLS = 48, 64
HEADER = 8


def colours(rows=ROWS, cols=COLS):
    """Smooth colours with a little noise, as JPEG likes them."""
    down, across = np.mgrid[:rows, :cols]
    image = np.stack([down * 4, across * 3, (down + across) * 2], axis=-1) + RNG.integers(0, 9, (rows, cols, 3))
    return image.clip(0, 255).astype(np.uint8)


def jpeg(image, subsampling):
    return imagecodecs.jpeg8_encode(image, level=90, subsampling=subsampling)


def segments(stream):
    """({marker: [contents]}, entropy-coded data) of a JPEG stream."""
    found, at = {}, 2
    while True:
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        found.setdefault(marker, []).append(stream[at + 4 : at + 2 + length])
        at += 2 + length
        if marker == 0xDA:
            return found, stream[at:-2]


def page(subsampling, **more):
    across, down = {"444": (1, 1), "422": (2, 1), "420": (2, 2)}[subsampling]
    tags = image_tags(COLS, ROWS, samples=3, photometric=6, bits=(SHORT, [8] * 3), compression=6, **more)
    return tags | {530: (SHORT, [across, down]), 512: 1}


def whole_stream(subsampling, more=()):
    """The form of most writers: a JPEG file, to which both the strip and JPEGInterchangeFormat point."""
    stored = jpeg(colours(), subsampling)
    tags = page(subsampling) | {513: (LONG, [HEADER]), 514: (LONG, [len(stored)])} | dict(more)
    return tiff(({tag: value for tag, value in tags.items() if value is not None}, [stored]))


def loose_tables(subsampling, *, tiled=False, rows=16, order="<"):
    """The form of TIFF 6.0: each strip or tile is coded alone, and the tables lie somewhere in the file."""
    wide = 32 if tiled else COLS
    image = colours()
    parts = [
        segments(jpeg(np.ascontiguousarray(image[row : row + rows, col : col + wide]), subsampling))
        for row in range(0, ROWS, rows)
        for col in range(0, COLS, wide)
    ]
    found = parts[0][0]
    quantisation = [part for content in found[0xDB] for part in split(content, lambda _: 65)]
    huffman = [part for content in found[0xC4] for part in split(content, lambda head: 17 + sum(head[1:17]))]
    light, colour = (next(part[1:] for part in quantisation if part[0] == at) for at in (0, 1))
    dc, ac = ([next(p[1:] for p in huffman if p[0] == kind + at) for at in (0, 1, 1)] for kind in (0, 16))
    blob, places = b"", {}
    for tag, tables in ((519, [light, colour, colour]), (520, dc), (521, ac)):
        places[tag] = (LONG, [HEADER + len(blob) + sum(map(len, tables[:at])) for at in range(3)])
        blob += b"".join(tables)
    tiles = [data for _, data in parts]
    starts = [HEADER + len(blob) + sum(map(len, tiles[:at])) for at in range(len(tiles))]
    tables = (324, 325) if tiled else (273, 279)
    tags = page(subsampling, rows=rows) | places
    tags |= {tables[0]: (LONG, starts), tables[1]: (LONG, [len(tile) for tile in tiles])}
    if tiled:
        tags |= {322: wide, 323: rows}
        del tags[278]
    return _with(tags, blob + b"".join(tiles), order)


def _with(tags, content, order="<"):
    """A file of one image whose offsets are told by its tags, as places in `content`, which follows the first bytes."""
    data = tiff((tags, []), order=order, gap=len(content))
    return data[:HEADER] + content + data[HEADER + len(content) :]


def split(content, length):
    """Tables that stand one after the other in a segment."""
    while content:
        size = length(content)
        yield content[:size]
        content = content[size:]


def planar(photometric, samples, *, compression=1, tiled=False, predictor=1, rows=ROWS - 7, cols=COLS - 5):
    encode = {1: bytes, 5: imagecodecs.lzw_encode, 8: imagecodecs.zlib_encode, 7: None}[compression]
    wide, high = (32, 16) if tiled else (cols, 16)
    tags = image_tags(
        cols, rows, samples=samples, photometric=photometric, bits=(SHORT, [8] * samples), planar=2,
        compression=compression, rows=high, predictor=predictor,
    )  # fmt: skip
    if tiled:
        tags |= {322: wide, 323: high}
        del tags[278]
    tiles = []
    for _ in range(samples):
        for row in range(0, rows, high):
            for _ in range(0, cols, wide):
                held = high if tiled else min(high, rows - row)
                tile = RNG.integers(0, 256, (held, wide), np.uint8)
                tiles.append(imagecodecs.jpeg8_encode(tile) if encode is None else encode(tile.tobytes()))
    return tiff((tags | ({530: (SHORT, [1, 1])} if photometric == 6 else {}), tiles))


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize("more", [{}, {514: (LONG, [0])}, {514: None}, {278: None}, {277: None}])
def test_old_jpeg_of_one_stream(subsampling, more):
    """Also where the length of the stream, the rows of the strip or the number of samples are not told."""
    got = assert_as_rasterio(whole_stream(subsampling, more))
    assert got.std() > 20


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
@pytest.mark.parametrize(("rows", "tiled"), [(ROWS, False), (16, False), (16, True), (48, True)])
def test_old_jpeg_of_loose_tables(subsampling, rows, tiled):
    assert assert_as_rasterio(loose_tables(subsampling, rows=rows, tiled=tiled)).std() > 20


@pytest.mark.parametrize("rows", [16, 48])
def test_old_jpeg_of_big_endian_files(rows):
    """The same as of little-endian ones. GDAL 3.10 decodes the second strip on wrongly."""
    image = RNG.bit_generator.state
    big = pixels_of(loose_tables("444", rows=rows, order=">"))
    RNG.bit_generator.state = image
    np.testing.assert_array_equal(big, assert_as_rasterio(loose_tables("444", rows=rows)))


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_old_jpeg_whose_strip_begins_behind_the_head_of_the_stream(subsampling):
    stored = jpeg(colours(), subsampling)
    codes = segments(stored)[1]
    head = stored.index(codes)
    tags = page(subsampling) | {513: (LONG, [HEADER]), 514: (LONG, [head])}
    tags |= {273: (LONG, [HEADER + head]), 279: (LONG, [len(stored) - head])}
    assert assert_as_rasterio(_with(tags, stored)).std() > 20


def test_tables_are_asked_for_where_they_lie():
    """Whatever arrives first, no byte is asked for twice (`header_of` sees to it)."""
    data = loose_tables("420")
    for prefetch in (0, 8, 64, 1000):
        reads = []
        np.testing.assert_array_equal(
            pixels_of(data, header_of(data, prefetch=prefetch, reads=reads).levels[0]), pixels_of(data)
        )
        assert len(reads) <= 6


@pytest.mark.parametrize(("photometric", "samples"), [(5, 4), (6, 3)])
@pytest.mark.parametrize(
    ("compression", "predictor", "tiled"), [(1, 1, False), (5, 2, False), (8, 1, False), (5, 2, True), (8, 1, True)]
)
def test_planar_colours_are_converted(photometric, samples, compression, predictor, tiled):
    data = planar(photometric, samples, compression=compression, predictor=predictor, tiled=tiled)
    assert len(assert_as_rasterio(data)) == samples


def test_planar_cmyk_that_tells_no_compression():
    tags = image_tags(8, 8, photometric=5, samples=4, bits=(SHORT, [8] * 4), planar=2)
    del tags[259]
    assert_as_rasterio(tiff((tags, [RNG.integers(0, 256, 64, np.uint8).tobytes() for _ in range(4)])))


def test_planar_cmyk_of_jpeg():
    assert_as_rasterio(planar(5, 4, compression=7))


def test_an_image_that_is_decoded_whole_is_kept_in_an_index():
    for data in (whole_stream("420"), loose_tables("422"), planar(5, 4), planar(6, 3, compression=8)):
        header = header_of(data)
        for kept in (unpack_file(pack_file(header)), unpack_header(pack_header(header.band(1)))):
            assert kept.levels[0].file_head == header.levels[0].file_head
            np.testing.assert_array_equal(pixels_of(data, kept.levels[0]), pixels_of(data))


def test_overviews_are_decoded_whole_too():
    full = colours(2 * ROWS, 2 * COLS)
    tags = image_tags(2 * COLS, 2 * ROWS, samples=3, photometric=2, bits=(SHORT, [8] * 3))
    stored = jpeg(colours(), "422")
    data = tiff((tags, [full.tobytes()]), (page("422", subfile=1), [stored]))
    header = header_of(data)
    assert [level.width for level in header.levels] == [2 * COLS, COLS]
    np.testing.assert_array_equal(pixels_of(data, header.levels[1]), assert_as_rasterio(tiff((page("422"), [stored]))))


@pytest.mark.parametrize(
    "make", [lambda: planar(5, 4), lambda: planar(6, 3, compression=5), lambda: planar(5, 4, compression=8)]
)
def test_planar_colours_cut_short_or_not_stored_are_an_error(make):
    data = make()
    level = header_of(data).levels[0]
    start, count = int(level.offsets[0]), int(level.byte_counts[0])
    for cut in (0, 1, count // 4, count // 2, count - count // 8):
        with pytest.raises(CorruptTiffError):
            decode_tile(level, 0, data[start : start + cut], "planar.tif")


def test_a_plane_that_is_not_stored_is_an_error():
    tags = image_tags(8, 8, photometric=5, samples=4, bits=(SHORT, [8] * 4), planar=2)
    with pytest.raises(CorruptTiffError, match="are not stored"):
        header_of(tiff((tags, [bytes(64), bytes(64), b"", bytes(64)])))


def test_old_jpeg_of_more_blocks_than_bits_is_an_error():
    tags = page("444") | {256: 10_000, 257: 10_000, 278: 10_000, 513: (LONG, [HEADER])}
    with pytest.raises(CorruptTiffError, match="fewer codes than blocks"):
        pixels_of(tiff((tags, [jpeg(colours(), "444")])))


def test_what_is_too_large_to_be_decoded_whole_is_refused(monkeypatch):
    monkeypatch.setattr(whole_image, "MAX_WHOLE_BYTES", ROWS * COLS * 4 - 1)
    with pytest.raises(UnsupportedTiffError, match=r"Rewrite it as chunky RGB"):
        header_of(whole_stream("444"))


def test_a_stream_beyond_the_file_is_an_error():
    with pytest.raises(CorruptTiffError, match="should begin at byte 1000000"):
        header_of(tiff((page("444") | {513: (LONG, [10**6])}, [bytes(100)])))


def test_other_pages_stay_as_they_are():
    image = RNG.integers(0, 256, (8, 8), np.uint8)
    header = header_of(tiff(grey(image), (page("444"), [jpeg(colours(), "444")])))
    assert header.levels[0].file_head is None
