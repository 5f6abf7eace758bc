"""One image directory → `Level`: checks that its tags agree with each other and that it can be decoded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rasteret_sql.tiff import tags
from rasteret_sql.tiff.codecs import decodable
from rasteret_sql.tiff.header import Level
from rasteret_sql.tiff.ifd import Ifd
from rasteret_sql.types import ByteRange

MAX_TILES = 1 << 25
"""Most tiles of one image: half a GiB of offsets and byte counts."""
MAX_TILE_BYTES = 1 << 31
"""Largest decoded tile or strip."""
MAX_SIDE = (1 << 31) - 1

_SMALL = (
    tags.NEW_SUBFILE_TYPE, tags.BITS_PER_SAMPLE, tags.SAMPLE_FORMAT, tags.EXTRA_SAMPLES, tags.JPEG_TABLES,
    tags.YCBCR_SUBSAMPLING,
)  # fmt: skip
_PREDICTABLE = frozenset({tags.LZW, tags.DEFLATE, tags.DEFLATE_OLD, tags.ZSTD, tags.LZMA})
_RAW_PHOTOMETRIC = frozenset(
    {
        tags.PHOTOMETRIC_WHITE, tags.PHOTOMETRIC_BLACK, tags.PHOTOMETRIC_RGB, tags.PHOTOMETRIC_PALETTE,
        tags.PHOTOMETRIC_MASK, 32803, 34892,
    }
)  # fmt: skip
"""Colour models whose samples are given as stored."""


def missing_ranges(ifd: Ifd) -> list[ByteRange]:
    """What has not arrived of all that `read_level` reads."""
    parts = [gap for tag in _SMALL for gap in ifd.missing(tag)]
    *_, tables = _layout(ifd)
    for tag, count in tables:
        parts += ifd.missing(tag, count)
    return parts


def read_level(ifd: Ifd) -> Level:
    """Read an image directory.

    Raises:
        NeedBytes: Values have not arrived.
        CorruptTiffError: Tags contradict each other or the file's size.
        UnsupportedTiffError: The image uses a feature that cannot be decoded.
    """
    width, height, tile_width, tile_height, tiled, samples, planar, tables = _layout(ifd)
    dtype, bits = _sample_type(ifd, samples)
    compression = ifd.integer(tags.COMPRESSION, tags.NONE)
    photometric = ifd.integer(tags.PHOTOMETRIC) if tags.PHOTOMETRIC in ifd else None
    predictor = ifd.integer(tags.PREDICTOR, 1) if compression in _PREDICTABLE else 1
    fill_order = ifd.integer(tags.FILL_ORDER, 1)
    _check_features(
        ifd,
        compression=compression,
        photometric=photometric,
        predictor=predictor,
        fill_order=fill_order,
        dtype=dtype,
        bits=bits,
    )

    row_bytes = -(-tile_width * bits * (samples if planar == tags.PLANAR_CHUNKY else 1) // 8)
    if row_bytes * tile_height > MAX_TILE_BYTES:
        kind = "tile" if tiled else "strip"
        raise ifd.unsupported(
            f"a {kind} of {tile_width} × {tile_height} pixels takes {row_bytes * tile_height} bytes decoded; "
            f"the most that is read at once is {MAX_TILE_BYTES}. Rewrite the file with smaller tiles"
        )
    offsets, counts = _tile_table(ifd, tables, compression, row_bytes, tile_height)
    if compression == tags.NONE:
        # Some writers give the last strip the length of a full one; the bytes after its rows are none of its own.
        counts = np.minimum(counts, np.uint64(row_bytes * tile_height))
    _check_extent(ifd, offsets, counts)
    subsampling = ifd.integers(tags.YCBCR_SUBSAMPLING, (2, 2)) if photometric == tags.PHOTOMETRIC_YCBCR else (1, 1)
    return Level(
        width=width,
        height=height,
        tile_width=tile_width,
        tile_height=tile_height,
        tiled=tiled,
        dtype=dtype,
        bits=bits,
        samples=samples,
        planar=planar,
        compression=compression,
        predictor=predictor,
        photometric=photometric,
        byte_order=ifd.file.order,
        offsets=offsets,
        byte_counts=counts,
        fill_order=fill_order,
        jpeg_tables=ifd.raw(tags.JPEG_TABLES) if compression == tags.JPEG else None,
        subsampling=(subsampling[0], subsampling[-1]),
        extra_samples=ifd.integers(tags.EXTRA_SAMPLES),
    )


def _layout(ifd: Ifd) -> tuple[int, int, int, int, bool, int, int, tuple[tuple[int, int], tuple[int, int]]]:
    """(width, height, tile width, tile height, tiled, samples, planar, ((offsets tag, n), (byte counts tag, n)))."""
    width, height = ifd.integer(tags.IMAGE_WIDTH), ifd.integer(tags.IMAGE_LENGTH)
    samples = ifd.integer(tags.SAMPLES_PER_PIXEL, 1)
    planar = ifd.integer(tags.PLANAR_CONFIGURATION, tags.PLANAR_CHUNKY)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ifd.corrupt(f"an image of {width} × {height} pixels")
    if not 0 < samples < 65536:
        raise ifd.corrupt(f"{samples} samples per pixel")
    if planar not in (tags.PLANAR_CHUNKY, tags.PLANAR_SEPARATE):
        raise ifd.corrupt(f"PlanarConfiguration {planar}, expected 1 or 2")
    tiled = tags.TILE_WIDTH in ifd or tags.TILE_OFFSETS in ifd
    if tiled:
        tile_width, tile_height = ifd.integer(tags.TILE_WIDTH), ifd.integer(tags.TILE_LENGTH)
        names = (tags.TILE_OFFSETS, tags.TILE_BYTE_COUNTS)
        if tags.TILE_OFFSETS not in ifd and tags.STRIP_OFFSETS in ifd:
            names = (tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS)
    else:
        tile_width, tile_height = width, min(ifd.integer(tags.ROWS_PER_STRIP, height), height)
        names = (tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS)
    if not (0 < tile_width <= MAX_SIDE and 0 < tile_height <= MAX_SIDE):
        raise ifd.corrupt(f"tiles of {tile_width} × {tile_height} pixels")
    planes = samples if planar == tags.PLANAR_SEPARATE else 1
    tiles = -(-width // tile_width) * -(-height // tile_height) * planes
    if tiles > MAX_TILES:
        raise ifd.unsupported(f"an image of {tiles} tiles; at most {MAX_TILES} are read")
    return width, height, tile_width, tile_height, tiled, samples, planar, ((names[0], tiles), (names[1], tiles))


def _sample_type(ifd: Ifd, samples: int) -> tuple[np.dtype, int]:
    """(dtype of decoded samples, bits as stored)."""
    all_bits = ifd.integers(tags.BITS_PER_SAMPLE, (1,))[:samples]
    formats = ifd.integers(tags.SAMPLE_FORMAT, (tags.FORMAT_UINT,))[:samples]
    if len(set(all_bits)) > 1 or len(set(formats)) > 1:
        raise ifd.unsupported(f"samples of different types (bits {all_bits}, formats {formats}) are not supported")
    bits, form = all_bits[0], formats[0]
    if form in (tags.FORMAT_COMPLEX_INT, tags.FORMAT_COMPLEX_FLOAT):
        raise ifd.unsupported(f"complex samples (SampleFormat {form}, {bits} bit) are not supported")
    if form == tags.FORMAT_FLOAT:
        if bits not in (16, 24, 32, 64):
            raise ifd.unsupported(f"floating-point samples of {bits} bit are not supported, only 16, 24, 32 and 64")
        return np.dtype(f"f{4 if bits == 24 else bits // 8}"), bits
    if form not in (tags.FORMAT_UINT, tags.FORMAT_INT, tags.FORMAT_VOID):
        raise ifd.corrupt(f"SampleFormat {form}, expected 1 to 6")
    if not (0 < bits <= 32 or bits == 64):
        raise ifd.unsupported(f"integer samples of {bits} bit are not supported, only 1 to 32 and 64")
    if form == tags.FORMAT_INT:
        if bits not in (8, 16, 32, 64):
            raise ifd.unsupported(f"signed samples of {bits} bit are not supported, only 8, 16, 32 and 64")
        return np.dtype(f"i{bits // 8}"), bits
    size = next(size for size in (1, 2, 4, 8) if bits <= size * 8)
    return np.dtype(f"u{size}"), bits


def _check_features(
    ifd: Ifd,
    *,
    compression: int,
    photometric: int | None,
    predictor: int,
    fill_order: int,
    dtype: np.dtype,
    bits: int,
) -> None:
    name = tags.COMPRESSION_NAMES.get(compression, "unknown")
    if not decodable(compression):
        raise ifd.unsupported(f"compression {compression} ({name}) is not supported")
    if photometric is not None and photometric not in _RAW_PHOTOMETRIC:
        colours = tags.PHOTOMETRIC_NAMES.get(photometric, "unknown")
        if photometric != tags.PHOTOMETRIC_YCBCR or compression not in (tags.JPEG, tags.WEBP):
            raise ifd.unsupported(
                f"photometric interpretation {photometric} ({colours}) with compression {name} is not supported"
            )
    if predictor not in (1, 2, 3):
        raise ifd.unsupported(f"predictor {predictor} is not supported, only 1, 2 and 3")
    if predictor == 2 and bits not in (8, 16, 32, 64):
        raise ifd.unsupported(f"predictor 2 of {bits} bit samples is not supported, only of 8, 16, 32 and 64 bit")
    if predictor == 3 and dtype.kind != "f":
        raise ifd.corrupt(f"predictor 3 is for floating point, the samples are {dtype}")
    if fill_order not in (1, 2):
        raise ifd.corrupt(f"FillOrder {fill_order}, expected 1 or 2")
    if compression in (tags.JPEG, tags.WEBP) and dtype != np.dtype("u1") and (compression, bits) != (tags.JPEG, 12):
        raise ifd.unsupported(f"{name} with {bits} bit {dtype} samples is not supported")


def _tile_table(
    ifd: Ifd, tables: tuple[tuple[int, int], tuple[int, int]], compression: int, row_bytes: int, rows: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """(offsets, byte counts) of all tiles."""
    (offsets_tag, tiles), (counts_tag, _) = tables
    if offsets_tag not in ifd:
        raise ifd.corrupt(f"the required tag {tags.TAG_NAMES[offsets_tag]} is missing")
    offsets = _table(ifd, offsets_tag, tiles)
    if counts_tag in ifd:
        return offsets, _table(ifd, counts_tag, tiles)
    if compression != tags.NONE:
        raise ifd.corrupt(f"the required tag {tags.TAG_NAMES[counts_tag]} is missing")
    return offsets, np.where(offsets == 0, 0, np.uint64(row_bytes * rows)).astype(np.uint64)


def _table(ifd: Ifd, tag: int, tiles: int) -> npt.NDArray[np.uint64]:
    field = ifd.fields[tag]
    if field.count < tiles:
        raise ifd.corrupt(f"tag {tags.TAG_NAMES[tag]} has {field.count} values for {tiles} tiles")
    values = ifd.array(tag, tiles)
    if values.dtype.kind != "u" or values.ndim != 1:
        raise ifd.corrupt(f"tag {tags.TAG_NAMES[tag]} should hold whole numbers (type {field.type})")
    return values.astype(np.uint64)


def _check_extent(ifd: Ifd, offsets: npt.NDArray[np.uint64], counts: npt.NDArray[np.uint64]) -> None:
    """No tile may end beyond the file, where its size is known."""
    limit = (1 << 63) - 1 if ifd.file.chunks.size is None else ifd.file.chunks.size
    stored = (offsets != 0) & (counts != 0)
    bad = stored & ((counts > limit) | (offsets > limit - np.minimum(counts, np.uint64(limit))))
    if bad.any():
        index = int(np.argmax(bad))
        raise ifd.corrupt(
            f"tile {index} should lie at bytes {offsets[index]} to {int(offsets[index]) + int(counts[index])}, but "
            f"the file has only {limit} bytes; it is truncated"
        )
