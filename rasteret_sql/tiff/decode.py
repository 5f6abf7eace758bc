"""One stored tile → its pixels."""

from __future__ import annotations

import imagecodecs
import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import CorruptTiffError
from rasteret_sql.tiff import tags
from rasteret_sql.tiff.codecs import (
    CODEC_ERRORS,
    Buffer,
    decompress,
    gives_pixels,
)
from rasteret_sql.tiff.header import Level
from rasteret_sql.tiff.images import decode_image
from rasteret_sql.tiff.unpack import unpack_bits, unpack_float24

Pixels = npt.NDArray[np.generic]


def decode_tile(level: Level, index: int, data: Buffer, address: str) -> Pixels:
    """Decode one tile; the work is done with the GIL released.

    Args:
        level: The image that the tile is of.
        index: Position in `level.offsets`.
        data: The stored bytes, all `level.byte_counts[index]` of them. Tiles that are not stored have none to decode.
        address: Names the file in errors, as it may be shown.

    Returns:
        Shape (rows, cols, samples) with (rows, cols) = `level.tile_shape(index)` and one sample where planar, of
        `level.dtype` in native byte order. May be read-only.

    Raises:
        CorruptTiffError: The bytes do not decode to a tile of that shape.
    """
    rows, cols = level.tile_shape(index)
    samples = 1 if level.planar == tags.PLANAR_SEPARATE else level.samples
    try:
        if level.fill_order == 2 and level.compression != tags.JPEG:
            data = imagecodecs.bitorder_decode(bytes(data))
        if gives_pixels(level.compression):
            return _decode_image(level, data, rows, cols, samples)
        return _decode_samples(level, data, rows, cols, samples)
    except (*CODEC_ERRORS, MemoryError) as error:
        name = tags.COMPRESSION_NAMES.get(level.compression, str(level.compression))
        raise CorruptTiffError(
            f"{address}: tile {index} of {level.width} × {level.height} pixels ({len(data)} bytes at "
            f"{_offset(level, index)}, {name}) cannot be decoded to {rows} × {cols} × {samples} {level.dtype} "
            f"samples: {error}"
        ) from error


def _decode_samples(level: Level, data: Buffer, rows: int, cols: int, samples: int) -> Pixels:
    row_bytes = -(-cols * samples * level.bits // 8)
    raw = _exact(level, data, rows * row_bytes, level.tile_height * row_bytes)
    if level.predictor == 3:
        return _undo_float_predictor(raw.reshape(rows, row_bytes), level, cols, samples)
    if level.bits == 24 and level.dtype.kind == "f":
        return unpack_float24(raw, level.byte_order).reshape(rows, cols, samples)
    if level.bits != level.dtype.itemsize * 8:
        values = unpack_bits(raw.reshape(rows, row_bytes), level.bits, cols * samples, level.dtype, level.byte_order)
        return values.reshape(rows, cols, samples)
    # As whole numbers, also for floats: predictor 2 counts in their bits, and a change of order must keep every bit.
    words = raw.view(f"{level.byte_order}u{level.dtype.itemsize}")
    if level.predictor == 2:
        words = _undo_differences(words, rows, cols, samples)
    # No copy where the file's order is the machine's.
    return words.astype(words.dtype.newbyteorder("="), copy=False).view(level.dtype).reshape(rows, cols, samples)


def _exact(level: Level, data: Buffer, size: int, full: int) -> npt.NDArray[np.uint8]:
    """Decompress to exactly `size` bytes; a last strip may also hold the `full` rows of the others."""
    try:
        raw = decompress(level.compression, data, size)
    except CODEC_ERRORS:
        if size == full:
            raise
        raw = decompress(level.compression, data, full)
    if len(raw) > size and size != full:
        raw = decompress(level.compression, data, full)
    if len(raw) == full:
        raw = raw[:size]
    if len(raw) != size:
        more = "more" if len(raw) > size else f"only {len(raw)}"
        raise ValueError(f"it holds {more} of {size} bytes expected")
    return raw


def _undo_differences(words: Pixels, rows: int, cols: int, samples: int) -> Pixels:
    """Predictor 2: each sample is stored as its difference from the pixel before, modulo the type's range."""
    shape = (rows, cols) if samples == 1 else (rows, cols, samples)
    values = words.reshape(shape)
    summed: Pixels = imagecodecs.delta_decode(values, axis=1, out=values if values.flags.writeable else None)
    return summed.reshape(-1)


def _undo_float_predictor(raw: npt.NDArray[np.uint8], level: Level, cols: int, samples: int) -> Pixels:
    """Predictor 3: a row stores the highest bytes of all samples, then the next ones, as differences of bytes.

    The planes run from the most significant byte whatever the file's byte order.
    """
    rows, width = len(raw), level.bits // 8
    shape = (rows, width * cols) if samples == 1 else (rows, width * cols, samples)
    planes = imagecodecs.delta_decode(raw.reshape(shape), axis=1).reshape(rows, width, cols * samples)
    # Shifting whole planes together is several times faster than a transpose of bytes.
    word = np.dtype(f"u{4 if width == 3 else width}")
    bits = planes[:, 0].astype(word)
    for plane in range(1, width):
        bits <<= np.array(8, word)
        bits |= planes[:, plane]
    if width == 3:
        packed = bits.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3]
        return unpack_float24(packed.reshape(-1), "<").reshape(rows, cols, samples)
    floats: Pixels = bits.view(level.dtype)
    return floats.reshape(rows, cols, samples)


def _decode_image(level: Level, data: Buffer, rows: int, cols: int, samples: int) -> Pixels:
    """A last strip may hold an image as high as the others although fewer rows are left."""
    try:
        return decode_image(level, data, (rows, cols, samples))
    except CODEC_ERRORS:
        if rows == level.tile_height:
            raise
        return decode_image(level, data, (level.tile_height, cols, samples))[:rows]


def _offset(level: Level, index: int) -> str:
    return f"byte {level.offsets[index]}" if index < len(level.offsets) else "an unknown byte"
