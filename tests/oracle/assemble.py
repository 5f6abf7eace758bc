"""Read files with our TIFF reader alone: header, windows and masks, with no more than slicing in between."""

import numpy as np

from rasteret_sql.tiff.decode import decode_tile
from rasteret_sql.tiff.parse import HEADER_PREFETCH, NeedBytes, SparseBytes, parse_header
from rasteret_sql.tiff.validity import Kind, layers


def read_header(data, address="memory.tif", prefetch=HEADER_PREFETCH, size=True):
    """(header, number of reads that it took)."""
    chunks = SparseBytes(data[:prefetch], size=len(data) if size else None)
    reads = 1
    while True:
        try:
            return parse_header(chunks, address), reads
        except NeedBytes as need:
            reads += 1
            for span in need.ranges:
                assert 0 <= span.offset < span.end <= len(data), span
                chunks.add(span.offset, data[span.offset : span.end])


def read_window(data, level, window, fill=0, address="memory.tif"):
    """Pixels (samples of the level's tiles, height, width) of a window (col, row, width, height) inside the level.

    `level` is a chunky image or one plane of a planar one.
    """
    col, row, width, height = window
    samples = 1 if level.planar == 2 else level.samples
    out = np.full((height, width, samples), fill, level.dtype)
    th, tw = level.tile_height, level.tile_width
    for down in range(row // th, -(-(row + height) // th)):
        for across in range(col // tw, -(-(col + width) // tw)):
            index = down * level.tiles_across + across
            if not level.is_stored(index):
                continue
            start, count = int(level.offsets[index]), int(level.byte_counts[index])
            tile = decode_tile(level, index, data[start : start + count], address)
            assert tile.dtype == level.dtype
            assert tile.shape == (*level.tile_shape(index), samples)
            top, left = down * th, across * tw
            r0, r1 = max(row, top), min(row + height, top + tile.shape[0])
            c0, c1 = max(col, left), min(col + width, left + tw)
            out[r0 - row : r1 - row, c0 - col : c1 - col] = tile[r0 - top : r1 - top, c0 - left : c1 - left]
    return out.transpose(2, 0, 1)


def read_band(data, band, level, window, alpha="auto"):
    """(pixels, mask True = valid), each (height, width), of one band as `layers` tells."""
    pixels, hidden, agreed = None, False, None
    fill = 0 if band.nodata is None else band.nodata
    for layer in layers(band, level, alpha):
        stored = read_window(data, layer.level, window, fill if layer.level in band.levels else 0)
        for look in layer.looks:
            values = stored[look.sample]
            if look.kind is Kind.PIXELS:
                pixels = values
            elif look.kind is Kind.NODATA_VALUES:
                agreed = look.hides(values) if agreed is None else agreed & look.hides(values)
            else:
                hidden = hidden | look.hides(values)
    hidden = hidden if agreed is None else hidden | agreed
    return pixels, np.broadcast_to(~np.asarray(hidden, bool), pixels.shape)
