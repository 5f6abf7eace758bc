"""Decodes the Arrow columns of one band into `BandHeader` values; also of indexes that rasteret wrote."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rasteret_sql.errors import IndexFormatError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.schema import REQUIRED_METADATA
from rasteret_sql.tiff.header import BandHeader, Level, Plane, Validity
from rasteret_sql.tiff.nodata import Nodata
from rasteret_sql.tiff.validity import alpha_counts, alpha_sample

_TABLES = ("tile_offsets", "tile_byte_counts")
_Row = Mapping[str, Any]


def decode_metadata(
    column: pa.Array, samples: Sequence[int | None], crs: Sequence[str | None], where: str
) -> list[BandHeader | None]:
    """Read `{band}_metadata` of an index that has no `{band}_header`.

    Rasteret indexes tiled files only, and keeps neither overviews nor masks nor byte order: there are none, and samples
    are taken for little-endian.

    Args:
        column: A struct array with at least the fields of `REQUIRED_METADATA`.
        samples: 0-based sample of each row, as `assets` says.
        crs: CRS of each row's pixels, as the scene says.
        where: The collection and band, for messages.

    Returns:
        A header per row, None where the row is null.

    Raises:
        IndexFormatError: The column lacks fields, or contradicts itself.
    """
    missing = [name for name in REQUIRED_METADATA if column.type.get_field_index(name) < 0]
    if missing:
        msg = f"{where}: the stored headers lack {', '.join(missing)}; build the collection again"
        raise IndexFormatError(msg)
    try:
        return [
            None if row is None else _band(row, sample or 0, code)
            for row, sample, code in zip(_rows(column), samples, crs, strict=True)
        ]
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"{where}: a stored header contradicts itself ({error}); build the collection again"
        raise IndexFormatError(msg) from error


def foreign_nodata(value: float | None, dtype: np.dtype) -> Nodata:
    """Nodata that an index keeps as a double: an int for integer dtypes, None where no pixel can have it."""
    if value is None or dtype.kind == "f":
        return value
    if not math.isfinite(value) or value != int(value):
        return None
    info = np.iinfo(dtype)
    return int(value) if info.min <= int(value) <= info.max else None


def _band(row: _Row, sample: int, crs: str | None) -> BandHeader:
    level = _level(row)
    chunky = level.planar == 1 and level.samples > 1
    alpha = alpha_sample(level) if chunky else None
    if chunky and sample >= level.samples:
        msg = f"sample {sample} of {level.samples}"
        raise ValueError(msg)
    return BandHeader(
        levels=(level,),
        sample=sample if chunky else 0,
        validity=Validity(
            alpha=None if alpha is None or alpha == sample else Plane((level,), alpha),
            alpha_counts=alpha != sample and alpha_counts(level),
        ),
        transform=_affine(row["transform"]),
        crs=crs,
        nodata=foreign_nodata(row.get("nodata"), level.dtype),
        scale=1.0,
        offset=0.0,
        description=None,
    )


def _level(row: _Row) -> Level:
    dtype = np.dtype(row["dtype"])
    planar = row.get("planar_configuration") or 1
    level = Level(
        width=row["image_width"],
        height=row["image_height"],
        tile_width=row["tile_width"],
        tile_height=row["tile_height"],
        tiled=True,
        dtype=dtype,
        bits=dtype.itemsize * 8,
        # A planar file's table holds only the tiles of this band.
        samples=1 if planar == 2 else row.get("samples_per_pixel") or 1,
        planar=planar,
        compression=row.get("compression") or 1,
        predictor=row.get("predictor") or 1,
        photometric=row.get("photometric"),
        byte_order="<",
        offsets=row["tile_offsets"],
        byte_counts=row["tile_byte_counts"],
        extra_samples=tuple(row.get("extra_samples") or ()),
    )
    # A table of another length would put tiles in wrong places.
    if not len(level.offsets) == len(level.byte_counts) == level.tiles_per_plane:
        msg = (
            f"{len(level.offsets)} tile offsets and {len(level.byte_counts)} byte counts"
            f" where {level.width} × {level.height} pixels need {level.tiles_per_plane}"
        )
        raise ValueError(msg)
    return level


def _affine(numbers: Sequence[float]) -> Affine:
    """From rasteret's four numbers (scale_x, origin_x, scale_y, origin_y), or six of an affine."""
    if len(numbers) == 4:
        scale_x, origin_x, scale_y, origin_y = numbers
        return Affine(scale_x, 0.0, origin_x, 0.0, scale_y, origin_y)
    if len(numbers) == 6:
        return Affine(*numbers)
    msg = f"a transform has 4 or 6 numbers, not {len(numbers)}"
    raise ValueError(msg)


def _rows(column: pa.Array) -> list[_Row | None]:
    """Each struct as a mapping, with the tile tables as arrays."""
    names = [column.type.field(at).name for at in range(column.type.num_fields)]
    children = [
        _tables(column.field(at)) if name in _TABLES else column.field(at).to_pylist() for at, name in enumerate(names)
    ]
    valid = column.is_valid().to_pylist()
    rows = zip(*children, strict=True)
    return [dict(zip(names, row, strict=True)) if there else None for there, row in zip(valid, rows, strict=True)]


def _tables(column: pa.Array) -> list[npt.NDArray[np.uint64] | None]:
    """Lists of integers as arrays, without a Python object per tile."""
    flat = column.values.cast(pa.int64()).to_numpy(zero_copy_only=False).view(np.uint64)
    starts = column.offsets.to_pylist()
    ends = starts[1:]
    # Copied, so that a cached header does not hold the whole answer of a query.
    return [
        flat[start:end].copy() if there else None
        for there, start, end in zip(column.is_valid().to_pylist(), starts, ends, strict=False)
    ]
