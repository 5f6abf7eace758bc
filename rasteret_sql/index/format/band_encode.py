"""Encodes `BandHeader` values as the two Arrow columns of a band: `{band}_metadata` and `{band}_header`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from rasteret_sql.index.format.header_codec import pack_header
from rasteret_sql.schema import HEADER_TYPE, METADATA_TYPE, PACKED_FIELDS
from rasteret_sql.tiff.header import BandHeader

# What rasteret decodes as rasterio does. Whatever else stands in a file, it must not see the band, for it would either
# give wrong pixels (big-endian, odd bits, south-up) or an error far from the cause.
_RASTERET_COMPRESSIONS = frozenset({1, 5, 8, 32946, 32773, 34887, 34925, 50000})
_RASTERET_DTYPES = frozenset(
    {"uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"}
)
_EXACT_DOUBLE = 2**53
_INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class BandRecord:
    """A band on its way into the index."""

    header: BandHeader
    samples: int
    """Samples per pixel of the file; a planar band's own level says 1."""
    size: int | None = None
    """Bytes of the file, where the server said so."""
    etag: str | None = None
    modified: datetime | None = None
    """Time of the last change of the file, naive UTC."""


def encode_metadata(records: Sequence[BandRecord | None]) -> pa.StructArray:
    """The column `{band}_metadata`, null where rasteret would misread the file."""
    return _metadata([record if record is not None and rasteret_reads(record.header) else None for record in records])


def encode_headers(records: Sequence[BandRecord | None]) -> pa.StructArray:
    """The column `{band}_header`."""
    packed = [None if record is None else pack_header(record.header) for record in records]
    columns = {
        "size": _of(records, "size"),
        "etag": _of(records, "etag"),
        "modified": _of(records, "modified"),
        "samples": _of(records, "samples"),
        **{name: _of(packed, name) for name in PACKED_FIELDS},
    }
    return _struct(columns, HEADER_TYPE, [record is None for record in records])


def rasteret_reads(header: BandHeader) -> bool:
    """True where rasteret gives the right pixels of level 0 from the fields that it knows."""
    level, transform = header.levels[0], header.transform
    return (
        level.tiled
        and (level.byte_order == "<" or level.bits == 8)
        and level.dtype.name in _RASTERET_DTYPES
        and level.bits == level.dtype.itemsize * 8
        and level.fill_order == 1
        and level.stored_samples == 0
        and level.compression in _RASTERET_COMPRESSIONS
        and transform is not None
        and transform.is_rectilinear
        and transform.a > 0 > transform.e
        and (header.nodata is None or isinstance(header.nodata, float) or abs(header.nodata) <= _EXACT_DOUBLE)
        and max(level.width, level.height, level.tile_width, level.tile_height) <= _INT32_MAX
    )


def _metadata(rows: Sequence[BandRecord | None]) -> pa.StructArray:
    heads = [None if row is None else row.header for row in rows]
    levels = [None if head is None else head.levels[0] for head in heads]
    affines = [None if head is None else head.transform for head in heads]
    columns = {
        "image_width": _of(levels, "width"),
        "image_height": _of(levels, "height"),
        "tile_width": _of(levels, "tile_width"),
        "tile_height": _of(levels, "tile_height"),
        "dtype": [None if at is None else at.dtype.name for at in levels],
        "transform": [None if t is None else [t.a, t.c, t.e, t.f] for t in affines],
        "predictor": _of(levels, "predictor"),
        "compression": _of(levels, "compression"),
        "tile_offsets": _tables(None if at is None else at.offsets for at in levels),
        "tile_byte_counts": _tables(None if at is None else at.byte_counts for at in levels),
        "pixel_scale": [None if t is None else [abs(t.a), abs(t.e), 0.0] for t in affines],
        "tiepoint": [None if t is None else [0.0, 0.0, 0.0, t.c, t.f, 0.0] for t in affines],
        "nodata": [None if head is None or head.nodata is None else float(head.nodata) for head in heads],
        "samples_per_pixel": [None if row is None else row.samples for row in rows],
        "planar_configuration": _of(levels, "planar"),
        "photometric": _of(levels, "photometric"),
        "extra_samples": [None if at is None else list(at.extra_samples) or None for at in levels],
    }
    return _struct(columns, METADATA_TYPE, [row is None for row in rows])


def _of(values: Sequence[Any], attribute: str) -> list[Any]:
    return [None if value is None else getattr(value, attribute) for value in values]


def _tables(arrays: Iterable[np.ndarray | None]) -> pa.ListArray:
    """Tile tables as list<int64>, without a Python object per tile."""
    parts: list[np.ndarray] = []
    offsets: list[int | None] = []
    length = 0
    for array in arrays:
        offsets.append(None if array is None else length)
        if array is not None:
            parts.append(np.ascontiguousarray(array, dtype=np.uint64).view(np.int64))
            length += len(array)
    offsets.append(length)
    values = np.concatenate(parts) if parts else np.empty(0, np.int64)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))


def _struct(columns: Mapping[str, Any], type_: pa.StructType, null: Sequence[bool]) -> pa.StructArray:
    fields = list(type_)
    arrays = [
        values.cast(field.type) if isinstance(values, pa.Array) else pa.array(values, field.type)
        for field, values in ((field, columns[field.name]) for field in fields)
    ]
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=pa.array(null, pa.bool_()))
