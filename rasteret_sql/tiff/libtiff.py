"""Decodes pixels through libtiff: codecs that imagecodecs has nowhere else, and blocks of chroma.

libtiff reads files, so a directory of a few tags is put in front of the stored bytes. Only what old writers stored
comes here.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

import imagecodecs
import numpy as np
import numpy.typing as npt

from rasteret_sql.tiff import tags
from rasteret_sql.tiff.codecs import Buffer
from rasteret_sql.tiff.header import Level

Pixels = npt.NDArray[np.generic]
Shape = tuple[int, int, int]
Value = bytes | Sequence[int] | Sequence[float]

STRIP_TABLES = (tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS)
TILE_TABLES = (tags.TILE_OFFSETS, tags.TILE_BYTE_COUNTS)

_UNDEFINED, _LONG, _FLOAT = 7, 4, 11
_INLINE = 4
"""Bytes of a value that stand in the directory itself."""
_EOL = bytes(11) + b"\1"
"""End of a line of Group 3, as an array of bits."""
_LONGEST_RUN = 129
"""Pixels that two bytes of SGI LogLuv tell at most, for one byte of each."""
_JPEG_PIXELS_A_BYTE = 256
"""Pixels that a byte of JPEG tells at most: two bits for a block of 8 × 8."""
_UV_SCALE = 410
"""Steps of u' and v' in a LogLuv pixel of 32 bit."""
_UV_CODES = 1 << 14
"""Colours of a LogLuv pixel of 24 bit."""
_LOG_L10_FIRST = 13314
"""What the first lightness of a LogLuv pixel of 24 bit is in 16 bit."""


def file_head(values: Mapping[int, Value], positions: Collection[int] = (), behind: bytes = b"") -> bytes:
    """The bytes that make a little-endian TIFF file of what follows them.

    Args:
        values: Of each tag: bytes, whole numbers, or real numbers.
        positions: Tags whose numbers are places in the file. They count from the end of the head on.
        behind: Last bytes of the head, at the places -len(behind) to 0.
    """
    fields = sorted(values.items())
    at = 8 + 2 + 12 * len(fields) + 4
    sizes = [len(value) * (1 if isinstance(value, bytes) else 4) for _, value in fields]
    end = at + len(behind) + sum(size for size in sizes if size > _INLINE)
    directory, outside = struct.pack("<IH", 8, len(fields)), b""
    for tag, value in fields:
        if tag in positions:
            value = [end + int(place) for place in value]  # noqa: PLW2901
        code, packed = _packed(value)
        count = len(packed) // (1 if code == _UNDEFINED else 4)
        if len(packed) > _INLINE:
            packed, outside = struct.pack("<I", at + len(outside)), outside + packed
        directory += struct.pack("<HHI", tag, code, count) + packed.ljust(4, b"\0")
    return b"II*\0" + directory + bytes(4) + outside + behind


def _packed(value: Value) -> tuple[int, bytes]:
    if isinstance(value, bytes):
        return _UNDEFINED, value
    if any(isinstance(number, float) for number in value):
        return _FLOAT, struct.pack(f"<{len(value)}f", *value)
    if max(value) >= 1 << 32:
        raise ValueError(f"{max(value)} is larger than 32 bit")
    return _LONG, struct.pack(f"<{len(value)}I", *value)


def decode_old_jpeg(file: bytes, size: tuple[int, int]) -> Pixels:
    """Decode the only image of a file, (rows, cols) of YCbCr, as red, green and blue.

    Raises:
        ValueError: The file does not hold such an image. imagecodecs raises others for damaged data.
    """
    if size[0] * size[1] > _JPEG_PIXELS_A_BYTE * len(file):
        raise ValueError("it holds fewer codes than blocks")
    image: Pixels = imagecodecs.tiff_decode(file)
    if image.shape != (*size, 3):
        raise ValueError(f"it holds an image of shape {image.shape}")
    return image


def convert_blocks(level: Level, index: int, blocks: Buffer) -> Pixels:
    """YCbCr whose chroma is stored once for a block of pixels, as red, green and blue.

    Args:
        level: The image.
        index: Of the tile or strip.
        blocks: Its samples: blocks row by row, each of its luminances row by row, Cb, Cr.

    Returns:
        Shape (rows, cols, 3). What of a tile lies beyond the image is 0: libtiff treats blocks at the edge of an image
        otherwise than others.
    """
    rows, cols = level.tile_shape(index)
    down, across = divmod(index, level.tiles_across)
    high = min(rows, level.height - down * level.tile_height)
    wide = min(cols, level.width - across * level.tile_width)
    form: dict[int, Value] = {
        tags.BITS_PER_SAMPLE: [8, 8, 8],
        tags.COMPRESSION: [tags.NONE],
        tags.PHOTOMETRIC: [tags.PHOTOMETRIC_YCBCR],
        tags.YCBCR_COEFFICIENTS: level.colours[:3],
        tags.YCBCR_SUBSAMPLING: level.subsampling,
        tags.REFERENCE_BLACK_WHITE: level.colours[3:],
    }
    if level.tiled:
        form |= {tags.TILE_WIDTH: [cols], tags.TILE_LENGTH: [rows]}
    image = _strip(blocks, (high, wide, 3), form)
    if (high, wide) == (rows, cols):
        return image
    tile = np.zeros((rows, cols, 3), np.uint8)
    tile[:high, :wide] = image
    return tile


def decode_fax(level: Level, data: Buffer, shape: Shape) -> Pixels:
    """CCITT codes (ITU-T T.4 and T.6): 0 where they say white, 1 where they say black.

    libtiff fails where codes of RLE or Group 4 end before the last row. Rows that Group 3 lacks it gives white, so
    they are counted.
    """
    rows = shape[0]
    if rows > 8 * len(data):
        raise ValueError("it holds fewer bits than rows")
    if level.compression == tags.CCITT_GROUP3:
        bits = np.unpackbits(np.frombuffer(data, np.uint8)).tobytes()
        if _EOL in bits[:32] and bits.count(_EOL) < rows:
            raise ValueError(f"it holds only {bits.count(_EOL)} of {rows} rows")
    form: dict[int, Value] = {
        tags.BITS_PER_SAMPLE: [1],
        tags.COMPRESSION: [level.compression],
        tags.PHOTOMETRIC: [tags.PHOTOMETRIC_BLACK],
        tags.T4_OPTIONS: [level.t4_options],
    }
    return _strip(data, shape, form).view(np.uint8).reshape(shape)


def decode_logluv(level: Level, data: Buffer, shape: Shape) -> Pixels:
    """SGI LogLuv and LogL as libtiff has them for the file's type.

    float32: X, Y and Z, or Y. 16 bit: the logarithm of the lightness, and u' and v' in 1/32768.
    """
    rows, cols, samples = shape
    needed = rows * cols * 3
    if level.compression == tags.LOGLUV:
        # A row stores the highest bytes of all its pixels, then the next ones, as runs.
        needed = 2 * -(-cols // _LONGEST_RUN) * rows * (2 if samples == 1 else 4)
    if len(data) < needed:
        raise ValueError(f"it holds only {len(data)} of at least {needed} bytes expected")
    if level.dtype.kind == "f":
        return _logluv(data, level.compression, shape, np.float32)
    if level.compression == tags.LOGLUV24:
        return _logluv_of_24_bit(data, shape).view(level.dtype)
    if samples == 1:
        return _logluv(data, level.compression, shape, np.int16).view(level.dtype)
    # libtiff through imagecodecs gives three samples as floats alone. But four bytes are two rows of LogL.
    words = _logluv(data, level.compression, (2 * rows, cols, 1), np.int16)[..., 0]
    colours = words[1::2].view(np.uint16)
    image = np.empty(shape, np.int16)
    image[..., 0] = words[::2]
    for sample, code in ((1, colours >> 8), (2, colours & 255)):
        image[..., sample] = ((code + 0.5) * (1 << 15) / _UV_SCALE).astype(np.int16)
    return image.view(level.dtype)


def _logluv(data: Buffer, compression: int, shape: Shape, dtype: type[np.int16 | np.float32]) -> Pixels:
    samples = shape[2]
    photometric = tags.PHOTOMETRIC_LOGL if samples == 1 else tags.PHOTOMETRIC_LOGLUV
    bits, kind = (16, tags.FORMAT_INT) if dtype is np.int16 else (32, tags.FORMAT_FLOAT)
    form: dict[int, Value] = {
        tags.BITS_PER_SAMPLE: [bits] * samples,
        tags.COMPRESSION: [compression],
        tags.PHOTOMETRIC: [photometric],
        tags.SAMPLE_FORMAT: [kind] * samples,
    }
    return _strip(data, shape, form).view(dtype).reshape(shape)


def _logluv_of_24_bit(data: Buffer, shape: Shape) -> Pixels:
    parts = np.frombuffer(data, np.uint8, shape[0] * shape[1] * 3).reshape(shape).astype(np.int32)
    pixels = parts[..., 0] << 16 | parts[..., 1] << 8 | parts[..., 2]
    image = np.empty(shape, np.int16)
    # Four steps of 16 bit for one of the ten bits. libtiff leaves a bit of the colour in it.
    image[..., 0] = (pixels >> 12 & ~2) + _LOG_L10_FIRST
    image[..., 1:] = _colours_of_14_bit()[pixels & (_UV_CODES - 1)]
    return image


@lru_cache(maxsize=1)
def _colours_of_14_bit() -> npt.NDArray[np.int16]:
    """(u', v') in 1/32768 of each colour that LogLuv of 24 bit has, of which libtiff tells X, Y and Z."""
    codes = np.arange(_UV_CODES, dtype=np.uint32) | 512 << 14
    stored = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1).astype(np.uint8).tobytes()
    xyz = _logluv(stored, tags.LOGLUV24, (1, _UV_CODES, 3), np.float32)
    x, y, z = xyz.reshape(-1, 3).astype(np.float64).T
    whole = x + 15 * y + 3 * z
    # The table of colours has six decimals, more than are left in float32.
    return (np.stack([4 * x / whole, 9 * y / whole], axis=-1).round(6) * (1 << 15)).astype(np.int16)


def _strip(data: Buffer, shape: Shape, form: Mapping[int, Value]) -> Pixels:
    """Decode an image of one strip, or of one tile where `form`, which has the tags of its codec, tells its size."""
    rows, cols, samples = shape
    tiled = tags.TILE_WIDTH in form
    offsets, counts = TILE_TABLES if tiled else STRIP_TABLES
    values: dict[int, Value] = {
        tags.IMAGE_WIDTH: [cols],
        tags.IMAGE_LENGTH: [rows],
        tags.SAMPLES_PER_PIXEL: [samples],
        offsets: [0],
        counts: [len(data)],
        **form,
    }
    if not tiled:
        values[tags.ROWS_PER_STRIP] = [rows]
    image: Pixels = imagecodecs.tiff_decode(file_head(values, {offsets}) + bytes(data))
    return image
