"""Bytes of index version 1 → `BandHeader`: indexes that were built then are still read."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import IndexFormatError
from rasteret_sql.tiff.header import BandHeader, Level
from rasteret_sql.types import Affine, Nodata

PACKED_VERSION = 1
_PREFIX = struct.Struct("<BI")
"""Version, length of the JSON part; the buffers follow."""

_LEVEL_FIELDS = (
    "width",
    "height",
    "tile_width",
    "tile_height",
    "tiled",
    "bits",
    "samples",
    "planar",
    "compression",
    "predictor",
    "photometric",
    "byte_order",
    "fill_order",
)
_Words = npt.NDArray[np.uint64]


def unpack_header_v1(data: bytes) -> BandHeader:
    """Give the header that version 1 packed.

    Raises:
        IndexFormatError: The bytes are of a later version, or are damaged.
    """
    try:
        version, length = _PREFIX.unpack_from(data)
        if version != PACKED_VERSION:
            msg = (
                f"a header is packed in version {version}, and this program reads {PACKED_VERSION}: update rasteret-sql"
            )
            raise IndexFormatError(msg)
        start = _PREFIX.size + length
        said = json.loads(data[_PREFIX.size : start].decode("utf-8", "surrogatepass"))
        tables, start = _unpack_tables(said["tables"], data, start)
        images = _unpack_images(said["images"], tables, data, start)
        transform, nodata = said["transform"], said["nodata"]
        return BandHeader(
            levels=tuple(images[: said["levels"]]),
            sample=said["sample"],
            masks=tuple(None if at is None else images[at] for at in said["masks"]),
            mask_sample=said["mask_sample"],
            internal_mask=said["internal_mask"],
            transform=None if transform is None else Affine(*transform),
            crs=said["crs"],
            nodata=None if nodata is None else _number(nodata),
            scale=said["scale"],
            offset=said["offset"],
            description=said["description"],
        )
    except (struct.error, ValueError, KeyError, IndexError, TypeError) as error:
        if isinstance(error, IndexFormatError):
            raise
        msg = f"a packed header is damaged ({type(error).__name__}: {error}); build the collection again with force"
        raise IndexFormatError(msg) from error


def _unpack_images(
    images: list[dict[str, Any]], tables: list[tuple[_Words, _Words]], data: bytes, start: int
) -> list[Level]:
    levels: list[Level] = []
    fields: dict[str, Any] = {}
    for image, (offsets, byte_counts) in zip(images, tables, strict=True):
        fields |= image
        jpeg = image["jpeg"]
        levels.append(
            Level(
                **{name: fields[name] for name in _LEVEL_FIELDS},
                dtype=np.dtype(fields["dtype"]),
                subsampling=(fields["subsampling"][0], fields["subsampling"][1]),
                extra_samples=tuple(fields["extra_samples"]),
                jpeg_tables=bytes(data[start : start + jpeg]) if jpeg >= 0 else None,
                offsets=offsets,
                byte_counts=byte_counts,
            )
        )
        start += max(jpeg, 0)
    if start != len(data):
        msg = f"{len(data)} bytes where {start} were expected"
        raise ValueError(msg)
    return levels


def _number(text: str) -> Nodata:
    """An int stays an int, and a float a float."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def _unpack_tables(said: dict[str, Any], data: bytes, start: int) -> tuple[list[tuple[_Words, _Words]], int]:
    """(offsets, byte counts) of each level, and where the bytes after them start."""
    entries = said["entries"]
    total = sum(entries)
    counts, start = _widen(data, start, total, said["widths"][0])
    zigzag, start = _widen(data, start, total, said["widths"][1])
    steps = (zigzag >> np.uint64(1)) ^ (np.uint64(0) - (zigzag & np.uint64(1)))
    steps += np.array(said["gap"], np.int64).view(np.uint64)
    steps[1:] += counts[:-1]
    run = np.cumsum(steps, dtype=np.uint64)
    tables = []
    firsts = iter(said["first"])
    at = 0
    for number in entries:
        part = slice(at, at + number)
        # The step onto a level's first tile means nothing; what follows is counted from there.
        offsets = run[part] - run[part][:1] + np.uint64(next(firsts)) if number else run[part]
        tables.append((offsets, counts[part]))
        at += number
    return tables, start


def _widen(data: bytes, start: int, entries: int, width: int) -> tuple[_Words, int]:
    wide = np.zeros((entries, 8), np.uint8)
    end = start + entries * width
    if width:
        planes = np.frombuffer(data, np.uint8, entries * width, start)
        wide[:, :width] = planes.reshape(width, entries).T
    return wide.view("<u8").reshape(-1).astype(np.uint64, copy=False), end
