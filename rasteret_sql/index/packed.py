"""`BandHeader` ↔ bytes: the compact, exact form in which `{band}_header` keeps a header (docs/index.md).

A header is mostly tile tables. Writers lay tiles one after another, so a tile's offset is kept as the distance from
the end of the tile before it, which is nearly always the same small number, and both tables take only as many bytes
per entry as their largest value needs. Reading one costs a few numpy calls per level, however many tiles there are.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Sequence
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


def pack_header(header: BandHeader) -> bytes:
    """Give the bytes of a header; `unpack_header` gives back an equal one."""
    buffers: list[bytes] = []
    previous: dict[str, Any] = {}
    images: list[dict[str, Any]] = []
    places = {id(level): at for at, level in reversed(list(enumerate(header.levels)))}
    masks: list[int | None] = []
    stored = list(header.levels)
    for mask in header.masks:
        if mask is not None and id(mask) not in places:
            places[id(mask)] = len(stored)
            stored.append(mask)
        # A mask that is a sample of the image's own tiles is the same image, not a second table.
        masks.append(None if mask is None else places[id(mask)])
    for level in stored:
        fields = _level_fields(level)
        changed = {name: value for name, value in fields.items() if name not in previous or previous[name] != value}
        previous = fields
        jpeg = -1 if level.jpeg_tables is None else len(level.jpeg_tables)
        buffers.append(level.jpeg_tables or b"")
        images.append(changed | {"jpeg": jpeg})
    tables, packed = _pack_tables(stored)
    said = {
        "images": images,
        "tables": tables,
        "levels": len(header.levels),
        "masks": masks,
        "sample": header.sample,
        "mask_sample": header.mask_sample,
        "internal_mask": header.internal_mask,
        "transform": None if header.transform is None else list(header.transform),
        "crs": header.crs,
        "nodata": None if header.nodata is None else repr(header.nodata),
        "scale": header.scale,
        "offset": header.offset,
        "description": header.description,
    }
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return b"".join([_PREFIX.pack(PACKED_VERSION, len(text)), text, packed, *buffers])


def unpack_header(data: bytes) -> BandHeader:
    """Give the header that `pack_header` packed.

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


def _level_fields(level: Level) -> dict[str, Any]:
    fields = {name: getattr(level, name) for name in _LEVEL_FIELDS}
    return fields | {
        "dtype": level.dtype.name,
        "subsampling": list(level.subsampling),
        "extra_samples": list(level.extra_samples),
    }


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


def _pack_tables(levels: Sequence[Level]) -> tuple[dict[str, Any], bytes]:
    """All tile tables of a header as one: what says how to read them, and their bytes."""
    offsets = _joined([level.offsets for level in levels])
    counts = _joined([level.byte_counts for level in levels])
    entries = [len(level.offsets) for level in levels]
    starts = _starts(entries)
    # All arithmetic wraps at 2^64, so that tables in any order come back exactly.
    gaps = np.zeros(len(offsets), np.int64)
    gaps[1:] = (offsets[1:] - offsets[:-1] - counts[:-1]).view(np.int64)
    inner = np.ones(len(gaps), np.bool_)
    inner[starts] = False
    base = int(np.sort(gaps[inner])[int(inner.sum()) // 2]) if inner.any() else 0
    spread = np.where(inner, gaps - np.int64(base), 0)
    zigzag = ((spread << 1) ^ (spread >> 63)).view(np.uint64)
    widths = _width(counts), _width(zigzag)
    said = {
        "entries": entries,
        "widths": widths,
        "gap": base,
        "first": [int(offsets[start]) for start in starts],
    }
    return said, _narrow(counts, widths[0]) + _narrow(zigzag, widths[1])


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


def _starts(entries: Sequence[int]) -> list[int]:
    """Where each table that has entries starts."""
    ends = list(itertools.accumulate(entries))
    return [end - number for end, number in zip(ends, entries, strict=True) if number]


def _joined(arrays: Sequence[_Words]) -> _Words:
    return np.concatenate(arrays).astype(np.uint64, copy=False) if arrays else np.zeros(0, np.uint64)


def _width(values: _Words) -> int:
    """Bytes that the largest value needs; 0 where all are 0."""
    return (int(values.max()).bit_length() + 7) // 8 if len(values) else 0


def _narrow(values: _Words, width: int) -> bytes:
    """The low bytes, all first bytes before all second ones: neighbours are alike, which compresses."""
    return values.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width].T.tobytes()


def _widen(data: bytes, start: int, entries: int, width: int) -> tuple[_Words, int]:
    wide = np.zeros((entries, 8), np.uint8)
    end = start + entries * width
    if width:
        planes = np.frombuffer(data, np.uint8, entries * width, start)
        wide[:, :width] = planes.reshape(width, entries).T
    return wide.view("<u8").reshape(-1).astype(np.uint64, copy=False), end
