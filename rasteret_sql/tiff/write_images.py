"""Encodes images as compressed tiles, and lays them out as the bytes of a classic TIFF: all headers first.

Little-endian, one plane for each band. Integers up to 32 bits are stored as differences (predictor 2), floats as
differences of their bytes (predictor 3).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidArgumentError

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

SHORT, LONG, DOUBLE, TEXT = 3, 4, 12, 2
"""Types of tags."""
LIMIT = 1 << 32
"""Bytes that the 32-bit offsets of a classic TIFF reach."""
COMPRESSIONS = {"deflate": 8, "zstd": 50000}
_LEVELS = {"deflate": 6, "zstd": 9}
"""More gains little on differences."""
_DIFFERENCES, _FLOAT_DIFFERENCES, _PLANES = 2, 3, 2
_BLACK_IS_ZERO, _TRANSPARENCY_MASK = 1, 4
REDUCED_IMAGE, MASK_IMAGE = 1, 4
"""Flags of the kind of an image."""
_FORMATS = {SHORT: "H", LONG: "I", DOUBLE: "d"}
KINDS = {"u": 1, "i": 2, "f": 3}
"""Kind of a dtype → its number in TIFF."""

Tag = tuple[int, tuple[int, ...] | tuple[float, ...] | bytes]
"""(type, values); bytes are ASCII."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image of the file: its tags but for where tiles are, and its encoded tiles."""

    tags: dict[int, Tag]
    tiles: list[bytes]


def pixel_image(data: Pixels, side: tuple[int, int], compression: str = "deflate", kind: int = 0) -> Image:
    """An image of pixels.

    Args:
        data: shape (bands, height, width), in the byte order of the machine.
        side: height and width of tiles, multiples of 16.
        compression: one of `COMPRESSIONS`.
        kind: `REDUCED_IMAGE` of an overview.
    """
    bands = len(data)
    tags = _layout(data.shape, side, compression, kind)
    tags |= {
        258: (SHORT, (data.dtype.itemsize * 8,) * bands),
        262: (SHORT, (_BLACK_IS_ZERO,)),
        317: (SHORT, (_predictor(data.dtype),)),
        339: (SHORT, (KINDS[data.dtype.kind],) * bands),
    }
    if bands > 1:
        tags[338] = (SHORT, (0,) * (bands - 1))
    return Image(tags, [_encode(tile, compression) for band in data for tile in _tiles(band, side)])


def _layout(shape: tuple[int, ...], side: tuple[int, ...], compression: str, kind: int) -> dict[int, Tag]:
    """Tags of size and storage."""
    bands, height, width = shape
    kinds: dict[int, Tag] = {254: (LONG, (kind,))} if kind else {}
    return kinds | {
        256: (LONG, (width,)),
        257: (LONG, (height,)),
        259: (SHORT, (COMPRESSIONS[compression],)),
        277: (SHORT, (bands,)),
        284: (SHORT, (_PLANES if bands > 1 else 1,)),
        322: (SHORT, (side[1],)),
        323: (SHORT, (side[0],)),
    }


def _tiles(band: Pixels, side: tuple[int, ...]) -> list[Pixels]:
    """Tiles of one band, row-major; those at the border repeat their last pixels, which compresses best."""
    height, width = band.shape
    padded = np.pad(band, ((0, -height % side[0]), (0, -width % side[1])), mode="edge")
    down, across = padded.shape[0] // side[0], padded.shape[1] // side[1]
    parts = padded.reshape(down, side[0], across, side[1]).swapaxes(1, 2).reshape(-1, *side)
    return [np.ascontiguousarray(part) for part in parts]


def _predictor(dtype: np.dtype[Any]) -> int:
    if dtype.kind == "f":
        return _FLOAT_DIFFERENCES
    # Older readers do not know differences of 64 bits.
    return _DIFFERENCES if dtype.itemsize <= 4 else 1


def _encode(tile: Pixels, compression: str) -> bytes:
    predictor = _predictor(tile.dtype)
    if predictor == _DIFFERENCES:
        tile = imagecodecs.delta_encode(tile, axis=-1)
    elif predictor == _FLOAT_DIFFERENCES:
        tile = imagecodecs.floatpred_encode(tile, axis=-1)
    return _compressed(tile.tobytes(), compression)


def _compressed(raw: bytes, compression: str) -> bytes:
    encode = imagecodecs.zstd_encode if compression == "zstd" else imagecodecs.deflate_encode
    return bytes(encode(raw, level=_LEVELS[compression]))


def mask_image(mask: Mask, side: tuple[int, int], compression: str = "deflate", kind: int = 0) -> Image:
    """An internal mask: one bit a pixel, 1 is valid.

    Args:
        mask: True is valid, shape (height, width).
        side: height and width of tiles, multiples of 16.
        compression: one of `COMPRESSIONS`.
        kind: `REDUCED_IMAGE` of an overview's.
    """
    tags = _layout((1, *mask.shape), side, compression, kind | MASK_IMAGE)
    tags |= {
        258: (SHORT, (1,)),
        262: (SHORT, (_TRANSPARENCY_MASK,)),
        317: (SHORT, (1,)),
        339: (SHORT, (1,)),
    }
    return Image(tags, [_compressed(np.packbits(tile, axis=-1).tobytes(), compression) for tile in _tiles(mask, side)])


def assemble(images: Sequence[Image], *, backwards: bool = False) -> bytes:
    """Lay the file out: header, directories with their values, then the tiles.

    Args:
        images: in the order of their directories.
        backwards: True: tiles of the last image come first.

    Raises:
        InvalidArgumentError: it would have 4 GB or more.
    """
    starts, at = [], 8
    for image in images:
        starts.append(at)
        at += _directory_size(image)
    places: dict[int, tuple[int, ...]] = {}
    numbers = range(len(images))
    order = [*reversed(numbers)] if backwards else [*numbers]
    for number in order:
        offsets = []
        for tile in images[number].tiles:
            offsets.append(at)
            at += len(tile)
        places[number] = tuple(offsets)
    if at >= LIMIT:
        raise InvalidArgumentError("the file would be 4 GB or more; write smaller areas or fewer bands")
    parts = [b"II*\0", struct.pack("<I", 8)]
    for number, image in enumerate(images):
        following = starts[number + 1] if number + 1 < len(images) else 0
        parts.append(_directory(image, starts[number], places[number], following))
    return b"".join([*parts, *(tile for number in order for tile in images[number].tiles)])


def _all_tags(image: Image, offsets: tuple[int, ...]) -> list[tuple[int, int, int, bytes]]:
    """(tag, type, count, bytes) of all tags in the order that TIFF wants."""
    tags: dict[int, Tag] = {
        **image.tags,
        324: (LONG, offsets),
        325: (LONG, tuple(len(tile) for tile in image.tiles)),
    }
    out = []
    for tag, (kind, values) in sorted(tags.items()):
        raw = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values)
        out.append((tag, kind, len(values), raw))
    return out


def _directory_size(image: Image) -> int:
    tags = _all_tags(image, (0,) * len(image.tiles))
    return 6 + 12 * len(tags) + sum(len(raw) + len(raw) % 2 for *_, raw in tags if len(raw) > 4)


def _directory(image: Image, start: int, offsets: tuple[int, ...], following: int) -> bytes:
    """A directory at `start`, its long values right after it."""
    tags = _all_tags(image, offsets)
    entries, values = [struct.pack("<H", len(tags))], []
    at = start + 6 + 12 * len(tags)
    for tag, kind, count, raw in tags:
        if len(raw) <= 4:
            place = raw.ljust(4, b"\0")
        else:
            place = struct.pack("<I", at)
            values.append(raw + b"\0" * (len(raw) % 2))
            at += len(values[-1])
        entries.append(struct.pack("<HHI", tag, kind, count) + place)
    return b"".join((*entries, struct.pack("<I", following), *values))
