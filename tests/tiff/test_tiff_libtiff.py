"""What is decoded through libtiff: CCITT, SGI LogLuv, subsampled chroma. Pixels are rasterio's."""

import imagecodecs
import numpy as np
import pytest
from craft import SHORT, header_of, image_tags, tiff
from test_tiff_colours import assert_as_rasterio, fax

from rasteret_sql.errors import CorruptTiffError, UnsupportedTiffError
from rasteret_sql.tiff import levels
from rasteret_sql.tiff.decode import decode_tile
from rasteret_sql.tiff.shared_values import SharedValues
from tests.sampling import some

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

RNG = np.random.default_rng(6)
LOGL, LOGLUV = 32844, 32845
INT16, FLOAT32 = (16, 2), (32, 3)
"""(bits, SampleFormat)"""


def stored_of(data, index=0):
    """(level, stored bytes) of a tile of a file."""
    level = header_of(data).levels[0]
    start = int(level.offsets[index])
    return level, data[start : start + int(level.byte_counts[index])]


def test_rle_whose_rows_begin_at_words():
    rows = [stored_of(fax("CCITTRLE", rows=1, cols=31)[0])[1] for _ in range(5)]
    even = b"".join(row + bytes(len(row) % 2) for row in rows)
    assert_as_rasterio(tiff((image_tags(62, 5, photometric=0, compression=32771, bits=1), [even])))


@pytest.mark.parametrize("compress", ["CCITTRLE", "CCITTFAX3", "CCITTFAX4"])
def test_damaged_ccitt_codes_are_an_error_or_as_rasterio_reads_them(compress):
    """The decoder is GDAL's, so damage gives the same pixels where it is not noticed."""
    data, _ = fax(compress, blockysize=64)
    level, stored = stored_of(data)
    start = int(level.offsets[0])
    for _ in range(40):
        damaged = bytearray(data)
        damaged[start + RNG.integers(len(stored))] ^= 1 << RNG.integers(8)
        try:
            assert_as_rasterio(bytes(damaged))
        except CorruptTiffError as error:
            assert "CCITT" in str(error)


@pytest.mark.parametrize("compress", ["CCITTRLE", "CCITTFAX3", "CCITTFAX4"])
def test_more_rows_than_bits_are_an_error_before_they_are_made(compress):
    level, _ = stored_of(fax(compress, blockysize=64)[0])
    with pytest.raises(CorruptTiffError, match="fewer bits than rows"):
        decode_tile(level, 0, b"\x4d\x9a", "fax.tif")


@pytest.mark.parametrize("lacks", ["TIFF", "CCITTFAX4"])
def test_what_imagecodecs_cannot_decode_is_refused_by_name(monkeypatch, lacks):
    """Older versions, and builds of some distributions."""
    files = [fax("CCITTFAX4")[0], *([logluv_file(3, 34677, INT16, bytes(18000))] if lacks == "TIFF" else [])]
    monkeypatch.setattr(imagecodecs, lacks, None)
    monkeypatch.setattr(levels, "_forms", SharedValues())
    for data, name in zip(files, ["CCITT Group 4", "SGI LogLuv"], strict=False):
        with pytest.raises(UnsupportedTiffError, match=rf"{name}.* not supported by imagecodecs .* as it is installed"):
            header_of(data)


def logluv(samples, compression, rows=20, cols=300):
    """Stored bytes of random pixels: runs and literals of up to 127 bytes, plane by plane of each row."""
    if compression == 34677:
        return RNG.integers(0, 256, rows * cols * 3, np.uint8).tobytes()
    out = bytearray()
    for _ in range(rows * (4 if samples == 3 else 2)):
        left = cols
        while left:
            run = int(min(RNG.integers(2, 128), left))
            if run > 1 and RNG.random() < 0.5:
                out += bytes([126 + run, RNG.integers(256)])
            else:
                out += bytes([run, *RNG.integers(0, 256, run)])
            left -= run
    return bytes(out)


def logluv_file(samples, compression, of, stored, size=(20, 300)):
    (bits, form), (rows, cols) = of, size
    tags = image_tags(
        cols, rows, samples=samples, photometric=LOGL if samples == 1 else LOGLUV, compression=compression,
        bits=(SHORT, [bits] * samples), format=(SHORT, [form] * samples),
    )  # fmt: skip
    return tiff((tags, [stored]))


@pytest.mark.parametrize(("samples", "compression"), [(3, 34676), (1, 34676), (3, 34677)])
@pytest.mark.parametrize("of", [INT16, FLOAT32, (16, 1), (16, 4)])
def test_logluv_of_16_bit_and_of_floats(samples, compression, of):
    got = assert_as_rasterio(logluv_file(samples, compression, of, logluv(samples, compression)))
    assert got.dtype == {INT16: "int16", FLOAT32: "float32"}.get(of, "uint16")
    assert len(np.unique(got)) > 100


@pytest.mark.parametrize("lightness", [0, 1, 5, 512, 1023])
def test_every_colour_of_logluv_of_24_bit(lightness):
    codes = np.arange(1 << 14, dtype=np.uint32) | lightness << 14
    stored = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1).astype(np.uint8).tobytes()
    assert_as_rasterio(logluv_file(3, 34677, INT16, stored, (128, 128)))


@pytest.mark.parametrize(("samples", "compression"), some([(3, 34676), (1, 34676), (3, 34677)], 9))
@pytest.mark.parametrize("of", [INT16, FLOAT32])
def test_logluv_cut_short_is_an_error(samples, compression, of):
    level, stored = stored_of(logluv_file(samples, compression, of, logluv(samples, compression)))
    for cut in (*range(0, len(stored), 61), len(stored) - 1):
        with pytest.raises(CorruptTiffError):
            decode_tile(level, 0, stored[:cut], "log.tif")


@pytest.mark.parametrize("subsampling", [(1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)])
@pytest.mark.parametrize(("compression", "tiled"), [(1, False), (8, False), (5, True)])
@pytest.mark.parametrize(("cols", "rows"), [(73, 43), (46, 17)])
def test_blocks_of_chroma_at_the_edges_of_an_image(subsampling, compression, tiled, cols, rows):
    across, down = subsampling
    wide, high = (32, 16) if tiled else (cols, 16)
    encode = {1: bytes, 5: imagecodecs.lzw_encode, 8: imagecodecs.zlib_encode}[compression]
    tags = image_tags(cols, rows, samples=3, photometric=6, bits=(SHORT, [8] * 3), compression=compression, rows=high)
    if tiled:
        tags |= {322: wide, 323: high}
        del tags[278]
    tiles = []
    for row in range(0, rows, high):
        held = high if tiled else min(high, rows - row)
        size = -(-wide // across) * -(-held // down) * (across * down + 2)
        tiles += [encode(RNG.integers(0, 256, size, np.uint8).tobytes()) for _ in range(-(-cols // wide))]
    data = tiff((tags | {530: (SHORT, [across, down])}, tiles))
    assert_as_rasterio(data)
    level, stored = stored_of(data)
    for cut in (0, len(stored) // 2, len(stored) * 3 // 4):
        with pytest.raises(CorruptTiffError):
            decode_tile(level, 0, stored[:cut], "chroma.tif")
