"""Reads the offsets and byte counts of tiles and strips, and corrects those that a file has wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rasteret_sql.tiff import tags
from rasteret_sql.tiff.ifd import Ifd

CUT_BYTES = 1 << 16
"""About the size of the parts into which long uncompressed strips are cut."""
MAX_PARTS = 1 << 20
"""Most parts that the strips of an image are cut into: 16 MiB of offsets and byte counts."""
MAX_ADDED = 1 << 20
"""Most tiles that a table may lack; they count as not stored."""
MAX_SHORT = 4
"""Most values of a table that may be short: libtiff fills such a one up with zeros, and fails behind a longer one."""
_LIMIT = (1 << 63) - 1

_Words = npt.NDArray[np.uint64]
_Tables = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class TileLayout:
    """The layout of an image, as far as the offsets of its tiles depend on it."""

    compression: int
    tiled: bool
    height: int
    tile_height: int
    row_bytes: int
    """Bytes of a decoded row of a tile."""
    rows_together: int = 1
    """Rows of pixels that a row of bytes holds: more than one where colours are subsampled."""

    def size(self, rows: int) -> int:
        """Bytes that rows of a tile take decoded."""
        return -(-rows // self.rows_together) * self.row_bytes


class TileOffsets(NamedTuple):
    """The tables of an image, and the height of the tiles that they speak of."""

    offsets: _Words
    counts: _Words
    tile_height: int


def read_tile_offsets(ifd: Ifd, tables: _Tables, form: TileLayout) -> TileOffsets:
    """Read the tables of an image.

    What libtiff makes of wrong byte counts is done here too: those of uncompressed tiles follow from their size, and
    the only strip of an image without a count, or with 0, reaches to the end of the file. Otherwise a tile with offset
    or count 0 is not stored. Long uncompressed strips are cut into parts of whole rows, so that few rows can be read
    alone; the tile height is then that of the parts.

    Args:
        ifd: The image's directory.
        tables: ((tag of offsets, number of tiles), (tag of byte counts, number of tiles)).
        form: How the image is laid out.

    Raises:
        CorruptTiffError: A table is missing, or a tile ends beyond the file.
    """
    (offsets_tag, tiles), (counts_tag, _) = tables
    if offsets_tag not in ifd:
        raise ifd.corrupt(f"the required tag {tags.TAG_NAMES[offsets_tag]} is missing")
    offsets = _table(ifd, offsets_tag, tiles)
    if counts_tag in ifd:
        counts = _table(ifd, counts_tag, tiles)
        unknown = counts == 0 if tiles == 1 and not form.tiled else np.zeros(tiles, bool)
    else:
        if tiles > 1 and form.compression != tags.NONE:
            raise ifd.corrupt(f"the required tag {tags.TAG_NAMES[counts_tag]} is missing")
        counts, unknown = np.zeros(tiles, np.uint64), np.ones(tiles, bool)
    if form.compression == tags.NONE:
        counts, complete = _plain_counts(ifd, offsets, counts, unknown, form)
        if complete:
            is_cut = form.rows_together == 1 and not form.tiled
            return _cut(offsets, counts, form) if is_cut else TileOffsets(offsets, counts, form.tile_height)
    elif unknown.any() and offsets[0]:
        counts = np.array([_rest_of_file(ifd, int(offsets[0]), form)], np.uint64)
    _check_extent(ifd, offsets, counts)
    return TileOffsets(offsets, counts, form.tile_height)


def _table(ifd: Ifd, tag: int, tiles: int) -> _Words:
    values = ifd.whole(tag, tiles)
    lacking = tiles - len(values)
    if lacking and (len(values) > MAX_SHORT or lacking > MAX_ADDED):
        raise ifd.corrupt(f"tag {tags.TAG_NAMES[tag]} has {len(values)} values for {tiles} tiles")
    return np.append(values, np.zeros(lacking, np.uint64)) if lacking else values


def _plain_counts(
    ifd: Ifd, offsets: _Words, counts: _Words, unknown: npt.NDArray[np.bool_], form: TileLayout
) -> tuple[_Words, bool]:
    """Byte counts of uncompressed tiles by their size, and whether the file holds all that are stored whole.

    What is stated may be too small or too large; it counts only where the file ends before the tile does.
    """
    sizes = np.full(len(offsets), min(form.size(form.tile_height), _LIMIT), np.uint64)
    if not form.tiled:
        down = -(-form.height // form.tile_height)
        last = form.height - (down - 1) * form.tile_height
        sizes[down - 1 :: down] = min(form.size(last), _LIMIT)
    limit = _LIMIT if ifd.file.chunks.size is None else ifd.file.chunks.size
    if offsets.all() and (counts == sizes).all() and int(offsets.max()) + int(sizes.max()) <= limit:
        return counts, True  # as most files have it
    stored = (offsets != 0) & ((counts != 0) | unknown)
    end = np.uint64(limit)
    held = (offsets <= end) & (sizes <= end - np.minimum(offsets, end))
    stated = np.where(unknown, sizes, np.minimum(counts, sizes))
    return np.where(stored, np.where(held, sizes, stated), np.uint64(0)), bool(held[stored].all())


def _rest_of_file(ifd: Ifd, offset: int, form: TileLayout) -> int:
    """Length of a compressed strip that does not say it: to the end of the file, or what it can need at most."""
    size = ifd.file.chunks.size
    if size is None:
        raise ifd.corrupt("the byte count of its only strip is missing, and the length of the file is not known")
    return max(0, min(size - offset, 2 * form.size(form.tile_height) + 65536))


def _cut(offsets: _Words, counts: _Words, form: TileLayout) -> TileOffsets:
    """Cut strips into parts of whole rows, all of one height but the last of the image."""
    height, strip_rows = form.height, form.tile_height
    down = -(-height // strip_rows)
    planes = len(offsets) // down
    rows = max(1, CUT_BYTES // form.row_bytes, -(-height * planes // MAX_PARTS))
    if down > 1:
        # The parts must come out even in each strip.
        rows = next((n for n in range(min(rows, CUT_BYTES), 0, -1) if strip_rows % n == 0), strip_rows)
    if strip_rows * form.row_bytes <= 2 * CUT_BYTES or rows >= strip_rows or planes * (height // rows) > MAX_PARTS:
        return TileOffsets(offsets, counts, strip_rows)
    first = np.arange(0, height, rows)
    strip = first // strip_rows
    within = ((first - strip * strip_rows) * form.row_bytes).astype(np.uint64)
    sizes = (np.minimum(rows, height - first) * form.row_bytes).astype(np.uint64)
    of_strip = offsets.reshape(planes, down)[:, strip]
    stored = (counts.reshape(planes, down)[:, strip] != 0) & (of_strip != 0)
    parts = np.where(stored, of_strip + within, np.uint64(0))
    return TileOffsets(parts.reshape(-1), np.where(stored, sizes, np.uint64(0)).reshape(-1), rows)


def _check_extent(ifd: Ifd, offsets: _Words, counts: _Words) -> None:
    """No tile may end beyond the file, where its size is known."""
    limit = _LIMIT if ifd.file.chunks.size is None else ifd.file.chunks.size
    if int(offsets.max()) + int(counts.max()) <= limit:
        return  # as nearly all files have it
    stored = (offsets != 0) & (counts != 0)
    bad = stored & ((counts > limit) | (offsets > limit - np.minimum(counts, np.uint64(limit))))
    if bad.any():
        index = int(np.argmax(bad))
        raise ifd.corrupt(
            f"tile {index} should lie at bytes {offsets[index]} to {int(offsets[index]) + int(counts[index])}, but "
            f"the file has only {limit} bytes; it is truncated"
        )
