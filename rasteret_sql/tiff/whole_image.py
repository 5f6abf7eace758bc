"""Makes one tile of an image whose tiles or strips cannot be decoded one by one.

Strips of old-style JPEG are pieces of one stream, and its tables lie anywhere in the file. Planar CMYK and YCbCr are
converted to red, green and blue, which takes all planes. Such an image is given as one strip: the part of the file
that holds all of its tiles, and a head that makes a file of that part.
"""

from __future__ import annotations

import numpy as np

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.tiff import tags
from rasteret_sql.tiff.header import Level
from rasteret_sql.tiff.ifd import Ifd
from rasteret_sql.tiff.libtiff import STRIP_TABLES, TILE_TABLES, Value, file_head
from rasteret_sql.tiff.tile_offsets import TileOffsets

MAX_WHOLE_BYTES = 1 << 29
"""Longest part of a file that is read as one image, and most bytes of its pixels with four samples."""
MAX_WHOLE_TILES = 1 << 16

_COPIED = (
    tags.IMAGE_WIDTH, tags.IMAGE_LENGTH, tags.BITS_PER_SAMPLE, tags.COMPRESSION, tags.PHOTOMETRIC, tags.FILL_ORDER,
    tags.SAMPLES_PER_PIXEL, tags.PLANAR_CONFIGURATION, tags.PREDICTOR, tags.TILE_WIDTH, tags.TILE_LENGTH, tags.INK_SET,
    tags.EXTRA_SAMPLES, tags.YCBCR_SUBSAMPLING,
)  # fmt: skip
_COPIED_OF_JPEG = (tags.JPEG_PROC, tags.JPEG_RESTART_INTERVAL)
_COPIED_REALS = (tags.YCBCR_COEFFICIENTS, tags.REFERENCE_BLACK_WHITE)
_COPIED_BYTES = (tags.JPEG_TABLES,)
_TABLES = {tags.JPEG_Q_TABLES: 64, tags.JPEG_DC_TABLES: 16 + 256, tags.JPEG_AC_TABLES: 16 + 256}
"""Tags with the places of the tables of each component of old-style JPEG, and the most bytes that one of them has."""
_STREAM = (tags.JPEG_PROC, tags.JPEG_INTERCHANGE, tags.JPEG_INTERCHANGE_LENGTH, tags.JPEG_RESTART_INTERVAL)
_COMPONENTS = 4


def missing_tables(ifd: Ifd) -> list[ByteRange]:
    """The ranges that have not arrived of the tables of an image of old-style JPEG."""
    if not _is_old_jpeg(ifd):
        return []
    gaps = [gap for tag in (*_TABLES, *_STREAM) for gap in ifd.missing(tag, _COMPONENTS)]
    if gaps:
        return gaps
    spans = [span for tag in _TABLES for span in _spans(ifd, tag)]
    return [gap for span in spans for gap in ifd.file.missing(span.offset, span.length, "a table of JPEG")]


def whole_level(ifd: Ifd, places: TileOffsets, *, size: tuple[int, int], tiled: bool, samples: int) -> Level:
    """The image as one strip.

    Args:
        ifd: Its directory.
        places: those of its tiles or strips.
        size: (width, height) in pixels.
        tiled: Whether it has tiles.
        samples: Of a decoded pixel: 3 or 4 of 8 bit.

    Raises:
        UnsupportedTiffError: The image, or the part of the file that holds it, is too large.
        CorruptTiffError: Not all of it is stored.
    """
    width, height = size
    if not (places.offsets.all() and places.counts.all()):
        raise ifd.corrupt("strips of an image that must be read as a whole are not stored")
    spans = [ByteRange(int(at), int(n)) for at, n in zip(places.offsets, places.counts, strict=True)]
    stream = _stream(ifd)
    spans += [] if stream is None else [stream]
    start, end = min(span.offset for span in spans), max(span.end for span in spans)
    if max(end - start, width * height * 4) > MAX_WHOLE_BYTES or len(places.offsets) > MAX_WHOLE_TILES:
        raise ifd.unsupported(
            f"an image of {width} × {height} pixels in {len(places.offsets)} strips over {end - start} bytes, which "
            f"must be read as a whole, is not supported; at most {MAX_WHOLE_BYTES} bytes are. Rewrite it as chunky RGB"
        )
    return Level(
        width=width,
        height=height,
        tile_width=width,
        tile_height=height,
        tiled=False,
        dtype=np.dtype("u1"),
        bits=8,
        samples=samples,
        planar=tags.PLANAR_CHUNKY,
        compression=ifd.integer(tags.COMPRESSION, tags.NONE),
        predictor=1,
        photometric=ifd.integer(tags.PHOTOMETRIC),
        byte_order=ifd.file.order,
        offsets=np.array([start], np.uint64),
        byte_counts=np.array([end - start], np.uint64),
        file_head=_head(ifd, places, stream, start=start, tiled=tiled),
    )


def _head(ifd: Ifd, places: TileOffsets, stream: ByteRange | None, *, start: int, tiled: bool) -> bytes:
    values: dict[int, Value] = {tag: ifd.integers(tag) for tag in _COPIED if tag in ifd}
    values |= {tag: ifd.doubles(tag) for tag in _COPIED_REALS if tag in ifd}
    values |= {tag: ifd.raw(tag) or b"" for tag in _COPIED_BYTES if tag in ifd}
    offsets, counts = TILE_TABLES if tiled else STRIP_TABLES
    values[offsets] = [int(at) - start for at in places.offsets]
    values[counts] = places.counts.tolist()
    if not tiled:
        values[tags.ROWS_PER_STRIP] = [places.tile_height]
    if _is_old_jpeg(ifd):
        values |= {tag: ifd.integers(tag) for tag in _COPIED_OF_JPEG if tag in ifd}
    if stream is not None:
        values[tags.JPEG_INTERCHANGE] = [stream.offset - start]
        values[tags.JPEG_INTERCHANGE_LENGTH] = [stream.length]
    tables = {tag: [bytes(ifd.file.view(*span, "a table of JPEG")) for span in _spans(ifd, tag)] for tag in _TABLES}
    behind = b"".join(table for of_tag in tables.values() for table in of_tag)
    at = -len(behind)
    for tag, of_tag in tables.items():
        if of_tag:
            values[tag] = [at + sum(map(len, of_tag[:number])) for number in range(len(of_tag))]
            at += sum(map(len, of_tag))
    return file_head(values, {offsets, tags.JPEG_INTERCHANGE, *_TABLES}, behind)


def _stream(ifd: Ifd) -> ByteRange | None:
    """The JPEG stream of the image, or the head of it, where the directory tells one. Some are said to be too long."""
    if not _is_old_jpeg(ifd) or tags.JPEG_INTERCHANGE not in ifd:
        return None
    at = ifd.integer(tags.JPEG_INTERCHANGE)
    length, size = ifd.integer(tags.JPEG_INTERCHANGE_LENGTH, 0), ifd.file.chunks.size
    if size is None:
        return ByteRange(at, length)
    if at >= size:
        raise ifd.corrupt(f"the JPEG stream should begin at byte {at}, but the file has only {size} bytes")
    return ByteRange(at, min(length or size, size - at))


def _spans(ifd: Ifd, tag: int) -> list[ByteRange]:
    """The places of the tables that a tag tells of; none where one of them would lie beyond the file."""
    if not _is_old_jpeg(ifd):
        return []
    size = ifd.file.chunks.size
    places = ifd.integers(tag, limit=_COMPONENTS)
    lengths = [_TABLES[tag] if size is None else min(_TABLES[tag], size - at) for at in places]
    if any(length <= 16 for length in lengths):
        return []
    return [ByteRange(at, length) for at, length in zip(places, lengths, strict=True)]


def _is_old_jpeg(ifd: Ifd) -> bool:
    return ifd.integer(tags.COMPRESSION, tags.NONE) == tags.OLD_JPEG
