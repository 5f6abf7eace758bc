"""`BandHeader` ↔ the three values in which `{band}_header` keeps it (docs/index.md).

What is the same from scene to scene (sizes, types, codecs) is one text, `layout`, of which a column has few different
ones. What differs is the tile tables, of which there are two streams: see `tile_tables`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from rasteret_sql.errors import IndexFormatError
from rasteret_sql.index.tile_tables import Words, pack_tables, unpack_tables
from rasteret_sql.tiff.header import BandHeader, Header, Level
from rasteret_sql.types import Affine, Nodata

PACKED_VERSION = 2

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


@dataclass(frozen=True, slots=True)
class Packed:
    """A header as an index keeps it."""

    layout: str
    """JSON."""
    head: bytes
    tables: bytes


def pack_header(header: BandHeader) -> Packed:
    """Pack the header of a band; `unpack_header` gives back an equal one."""
    said = {
        "sample": header.sample,
        "mask_sample": header.mask_sample,
        "internal_mask": header.internal_mask,
        "transform": _affine_numbers(header.transform),
        "crs": header.crs,
        "nodata": _nodata_text(header.nodata),
        "scale": header.scale,
        "offset": header.offset,
        "description": header.description,
    }
    return _pack(header.levels, header.masks, said)


def unpack_header(packed: Packed) -> BandHeader:
    """Give the header of a band.

    Raises:
        IndexFormatError: The values are of a later version, or are damaged.
    """
    said, levels, masks = _unpack(packed)
    try:
        return BandHeader(
            levels=levels,
            sample=said["sample"],
            masks=masks,
            mask_sample=said["mask_sample"],
            internal_mask=said["internal_mask"],
            transform=_affine(said["transform"]),
            crs=said["crs"],
            nodata=_nodata(said["nodata"]),
            scale=said["scale"],
            offset=said["offset"],
            description=said["description"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(error) from error


def pack_file(header: Header) -> Packed:
    """Pack the header of a whole file, with all its bands; `unpack_file` gives back an equal one."""
    said = {
        "transform": _affine_numbers(header.transform),
        "crs": header.crs,
        "nodata": [_nodata_text(value) for value in header.nodata],
        "scales": list(header.scales),
        "offsets": list(header.offsets),
        "descriptions": list(header.descriptions),
        "alpha": header.alpha,
    }
    return _pack(header.levels, header.masks, said)


def unpack_file(packed: Packed) -> Header:
    """Give the header of a file.

    Raises:
        IndexFormatError: The values are of a later version, or are damaged.
    """
    said, levels, masks = _unpack(packed)
    try:
        return Header(
            levels=levels,
            masks=masks,
            transform=_affine(said["transform"]),
            crs=said["crs"],
            nodata=tuple(_nodata(text) for text in said["nodata"]),
            scales=tuple(said["scales"]),
            offsets=tuple(said["offsets"]),
            descriptions=tuple(said["descriptions"]),
            alpha=said["alpha"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(error) from error


def _pack(levels: Sequence[Level], masks: Sequence[Level | None], said: dict[str, Any]) -> Packed:
    places = {id(level): at for at, level in reversed(list(enumerate(levels)))}
    stored = list(levels)
    mask_places: list[int | None] = []
    for mask in masks:
        if mask is not None and id(mask) not in places:
            places[id(mask)] = len(stored)
            stored.append(mask)
        # A mask that is a sample of the image's own tiles is the same image, not a second table.
        mask_places.append(None if mask is None else places[id(mask)])
    images = []
    previous: dict[str, Any] = {}
    for level in stored:
        fields = _level_fields(level)
        images.append({name: value for name, value in fields.items() if previous.get(name, previous) != value})
        previous = fields
    layout = {"version": PACKED_VERSION, "images": images, "levels": len(levels), "masks": mask_places} | said
    tables = pack_tables(_joined([level.offsets for level in stored]), _joined([level.byte_counts for level in stored]))
    return Packed(json.dumps(layout, ensure_ascii=True, separators=(",", ":")), tables.head, tables.tables)


def _unpack(packed: Packed) -> tuple[dict[str, Any], tuple[Level, ...], tuple[Level | None, ...]]:
    try:
        said, templates, ends = _layout(packed.layout)
        offsets, counts = unpack_tables(packed.head, packed.tables, ends[-1])
        images = [
            Level(**fields, offsets=offsets[start:end], byte_counts=counts[start:end])
            for fields, start, end in zip(templates, (0, *ends[:-1]), ends, strict=True)
        ]
        levels = tuple(images[: said["levels"]])
        return said, levels, tuple(None if at is None else images[at] for at in said["masks"])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        if isinstance(error, IndexFormatError):
            raise
        raise _damaged(error) from error


@lru_cache(maxsize=1024)
def _layout(text: str) -> tuple[dict[str, Any], tuple[dict[str, Any], ...], tuple[int, ...]]:
    """What a layout says, the fields of each image, and where the entries of each end."""
    said = json.loads(text)
    version = said["version"]
    if version != PACKED_VERSION:
        msg = f"a header is packed in version {version}, and this program reads {PACKED_VERSION}: update rasteret-sql"
        raise IndexFormatError(msg)
    fields: dict[str, Any] = {}
    templates, ends, end = [], [], 0
    for image in said["images"]:
        fields = fields | image
        end += fields["entries"]
        ends.append(end)
        jpeg = fields["jpeg"]
        templates.append(
            {name: fields[name] for name in _LEVEL_FIELDS}
            | {
                "dtype": np.dtype(fields["dtype"]),
                "subsampling": (fields["subsampling"][0], fields["subsampling"][1]),
                "extra_samples": tuple(fields["extra_samples"]),
                "jpeg_tables": None if jpeg is None else base64.b64decode(jpeg),
            }
        )
    return said, tuple(templates), tuple(ends)


def _level_fields(level: Level) -> dict[str, Any]:
    fields = {name: getattr(level, name) for name in _LEVEL_FIELDS}
    return fields | {
        "dtype": level.dtype.name,
        "subsampling": list(level.subsampling),
        "extra_samples": list(level.extra_samples),
        "entries": len(level.offsets),
        "jpeg": None if level.jpeg_tables is None else base64.b64encode(level.jpeg_tables).decode(),
    }


def _joined(arrays: Sequence[Words]) -> Words:
    return np.concatenate(arrays).astype(np.uint64, copy=False)


def _affine_numbers(transform: Affine | None) -> list[float] | None:
    return None if transform is None else list(transform)


def _affine(numbers: list[float] | None) -> Affine | None:
    return None if numbers is None else Affine(*numbers)


def _nodata_text(nodata: Nodata) -> str | None:
    return None if nodata is None else repr(nodata)


def _nodata(text: str | None) -> Nodata:
    """An int stays an int, and a float a float."""
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        return float(text)


def _damaged(error: Exception) -> IndexFormatError:
    msg = f"a packed header is damaged ({type(error).__name__}: {error}); build the collection again with force"
    return IndexFormatError(msg)
