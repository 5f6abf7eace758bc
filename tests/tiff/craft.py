"""A TIFF writer of a few lines: any tags, any bytes, so that tests reach what no library would write."""

import struct

import numpy as np

from rasteret_sql.tiff.decode import decode_tile
from rasteret_sql.tiff.parse import HEADER_PREFETCH, NeedBytes, SparseBytes, parse_header

_CODES = {
    1: "B", 2: "c", 3: "H", 4: "I", 5: "I", 6: "b", 8: "h", 9: "i", 10: "i", 11: "f", 12: "d", 13: "I", 16: "Q",
    17: "q", 18: "Q",
}  # fmt: skip
SHORT, LONG, DOUBLE, ASCII, LONG8 = 3, 4, 12, 2, 16


def tiff(*pages, order="<", big=False, gap=0):
    """Bytes of a TIFF file.

    Args:
        pages: For each image (tags, tiles): tags is {tag: (type, values)} or {tag: value} (SHORT or LONG, by size);
            rationals are numerator, denominator, ...; tiles the stored bytes; the tags of offsets and byte counts are
            added, unless the page gives them.
        order: `<` or `>`.
        big: BigTIFF.
        gap: Bytes left empty in front of each directory.
    """
    out = bytearray(b"II" if order == "<" else b"MM")
    out += struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0)))
    link = len(out) - (8 if big else 4)
    word, pointer = ("HHQQ", "Q") if big else ("HHII", "I")
    inline = 8 if big else 4
    for page, tiles in pages:
        tags = dict(page)
        offsets = []
        for tile in tiles:
            offsets.append(len(out) if tile else 0)
            out += tile
        tiled = 322 in tags
        if tiles:
            tags.setdefault(324 if tiled else 273, (LONG8 if big else LONG, offsets))
            tags.setdefault(325 if tiled else 279, (LONG8 if big else LONG, [len(tile) for tile in tiles]))
        out += b"\0" * gap
        values = {}
        for tag, value in tags.items():
            code, items = value if isinstance(value, tuple) else (SHORT if value < 65536 else LONG, [value])
            packed = _pack(order, code, items)
            count = len(packed) // struct.calcsize(_CODES[code]) // (2 if code in (5, 10) else 1)
            values[tag] = (code, count, packed)
        for tag, (code, count, packed) in values.items():
            if len(packed) > inline:
                values[tag] = (code, count, len(out))
                out += packed
        struct.pack_into(order + pointer, out, link, len(out))
        out += struct.pack(order + ("Q" if big else "H"), len(values))
        for tag, (code, count, value) in sorted(values.items()):
            if isinstance(value, int):
                out += struct.pack(order + word, tag, code, count, value)
            else:
                out += struct.pack(order + word[:-1], tag, code, count) + value.ljust(inline, b"\0")
        link = len(out)
        out += bytes(inline)
    return bytes(out)


def _pack(order, code, items):
    if isinstance(items, bytes):
        return items
    if isinstance(items, str):
        return items.encode() + b"\0"
    return struct.pack(f"{order}{len(items)}{_CODES[code]}", *items)


def image_tags(width, height, **more):
    """Tags of a plain 8 bit grey image of one strip."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 277: 1, 278: height}
    names = {
        "subfile": 254, "bits": 258, "compression": 259, "photometric": 262, "fill_order": 266, "samples": 277,
        "rows": 278, "planar": 284, "predictor": 317, "tile_width": 322, "tile_height": 323, "extra": 338,
        "format": 339, "jpeg_tables": 347,
    }  # fmt: skip
    tags |= {names[name]: value for name, value in more.items()}
    return tags


def grey(array, **more):
    """(tags, tiles) of a page that holds an array as one uncompressed strip."""
    bits = array.dtype.itemsize * 8
    form = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    return image_tags(array.shape[1], array.shape[0], bits=bits, format=form, **more), [array.tobytes()]


def header_of(data, prefetch=HEADER_PREFETCH, size=True, address="crafted.tif", reads=None):
    """Parse a file; ranges asked for are appended to `reads`."""
    chunks = SparseBytes(data[:prefetch], size=len(data) if size else None)
    for _ in range(4096):
        try:
            return parse_header(chunks, address)
        except NeedBytes as need:
            assert need.ranges
            for span in need.ranges:
                assert span.length > 0
                if reads is not None:
                    reads.append(span)
                if span.end > len(data):
                    raise EOFError(span) from need
                assert chunks.missing(*span), "a range was asked for that is there"
                chunks.add(span.offset, data[span.offset : span.end])
    raise AssertionError("parsing asks for ever more bytes")


def pixels_of(data, level=None, address="crafted.tif"):
    """(samples, height, width) of a level (of level 0 of the file by default), tile by tile."""
    level = level or header_of(data).levels[0]
    out = np.zeros((level.height, level.width, level.samples), level.dtype)
    for index in range(len(level.offsets)):
        if not level.is_stored(index):
            continue
        start, count = int(level.offsets[index]), int(level.byte_counts[index])
        tile = decode_tile(level, index, data[start : start + count], address)
        plane, at = divmod(index, level.tiles_per_plane)
        down, across = divmod(at, level.tiles_across)
        part = out[
            down * level.tile_height : (down + 1) * level.tile_height,
            across * level.tile_width : (across + 1) * level.tile_width,
        ]
        samples = slice(plane, plane + 1) if level.planar == 2 else slice(None)
        part[..., samples] = tile[: part.shape[0], : part.shape[1]]
    return out.transpose(2, 0, 1)
