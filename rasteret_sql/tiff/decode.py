"""Decodes one stored tile to its pixels."""

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
    decompress_head_of_lzw,
    packbits_length,
)
from rasteret_sql.tiff.colours import displayed
from rasteret_sql.tiff.header import Level
from rasteret_sql.tiff.ifd import open_tiff, read_ifd
from rasteret_sql.tiff.images import decode_image, gives_pixels
from rasteret_sql.tiff.levels import read_level
from rasteret_sql.tiff.libtiff import convert_blocks, decode_old_jpeg
from rasteret_sql.tiff.source import SparseBytes
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
    try:
        if level.fill_order == 2 and level.compression != tags.JPEG:
            data = imagecodecs.bitorder_decode(bytes(data))
        return _decode(level, index, data, address)
    except (*CODEC_ERRORS, MemoryError) as error:
        shape = " × ".join(map(str, _stored_shape(level, index)))
        name = tags.COMPRESSION_NAMES.get(level.compression, str(level.compression))
        raise CorruptTiffError(
            f"{address}: tile {index} of {level.width} × {level.height} pixels ({len(data)} bytes at "
            f"{_offset(level, index)}, {name}) cannot be decoded to {shape} {level.dtype} "
            f"samples: {error}"
        ) from error


def _decode(level: Level, index: int, data: Buffer, address: str) -> Pixels:
    if level.file_head is not None:
        return _decode_whole(level, level.file_head + bytes(data), address)
    if level.stored_samples and level.subsampling != (1, 1):
        return _decode_blocks(level, index, data)
    decode = _decode_image if gives_pixels(level.compression) else _decode_samples
    pixels = decode(level, data, *_stored_shape(level, index))
    if level.stored_samples and level.planar == tags.PLANAR_CHUNKY:
        return displayed(level, pixels.astype(np.uint8, copy=False))
    return pixels


def _stored_shape(level: Level, index: int) -> tuple[int, int, int]:
    """(rows, cols, samples) of a tile before its colours are converted."""
    samples = 1 if level.planar == tags.PLANAR_SEPARATE else level.stored_samples or level.samples
    return *level.tile_shape(index), samples


def _decode_whole(level: Level, file: bytes, address: str) -> Pixels:
    """An image that is one strip here, of a file that holds it alone."""
    if level.compression == tags.OLD_JPEG:
        return decode_old_jpeg(file, (level.height, level.width))
    planes = read_level(read_ifd(*open_tiff(SparseBytes(file, len(file)), address)), planes=True)
    pixels = np.empty((level.height, level.width, level.samples), np.uint8)
    for index, (start, count) in enumerate(zip(planes.offsets.tolist(), planes.byte_counts.tolist(), strict=True)):
        tile = decode_tile(planes, index, file[start : start + count], address)[..., 0]
        plane, at = divmod(index, planes.tiles_per_plane)
        down, across = divmod(at, planes.tiles_across)
        row, col = down * planes.tile_height, across * planes.tile_width
        part = pixels[row : row + len(tile), col : col + tile.shape[1], plane]
        part[...] = tile[: part.shape[0], : part.shape[1]]
    return displayed(planes, pixels)


def _decode_blocks(level: Level, index: int, data: Buffer) -> Pixels:
    rows, cols = level.tile_shape(index)
    across, down = level.subsampling
    block_row = -(-cols // across) * (across * down + 2)
    blocks = _exact(level, data, -(-rows // down) * block_row, -(-level.tile_height // down) * block_row)
    return convert_blocks(level, index, blocks.tobytes())


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
    """Decompress to exactly `size` bytes.

    A last strip may also hold the `full` rows of the others, and strips of the codecs of old writers anything behind
    their rows: some writers end them late, and what has no byte count is given with what follows it in the file.
    """
    if level.compression == tags.LZW and not level.tiled:
        raw = decompress_head_of_lzw(data, size)
        if len(raw) != size:
            raise ValueError(f"it holds only {len(raw)} of {size} bytes expected")
        return raw
    if level.compression == tags.PACKBITS and not level.tiled:
        data = memoryview(data)[: packbits_length(data, size)]
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
