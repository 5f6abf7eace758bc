"""Writes pixels as the bytes of a GeoTIFF: tiled, deflated, one plane for each band, header first.

Classic TIFF, little-endian. Tiles have 256 pixels a side, or as few as hold a smaller image. Integers up to 32 bits are
stored as differences (predictor 2), floats as differences of their bytes (predictor 3). Validity goes into nodata
where it can be told from the pixels, else into an internal mask.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import imagecodecs
import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.tiff.nodata import Nodata
from rasteret_sql.tiff.write_geokeys import geokey_tags

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_TILE = 256
_LEVEL = 6
"""Of deflate: more gains little on differences."""
_DEFLATE, _DIFFERENCES, _FLOAT_DIFFERENCES, _PLANES = 8, 2, 3, 2
_BLACK_IS_ZERO, _TRANSPARENCY_MASK, _MASK_IMAGE = 1, 4, 4
_LIMIT = 1 << 32
"""Bytes that the 32-bit offsets of a classic TIFF reach."""
_SHORT, _LONG, _DOUBLE, _BYTES = 3, 4, 12, 2
_FORMATS = {_SHORT: "H", _LONG: "I", _DOUBLE: "d"}
_KINDS = {"u": 1, "i": 2, "f": 3}

Tag = tuple[int, tuple[int, ...] | tuple[float, ...] | bytes]
"""(type, values); bytes are ASCII."""


@dataclass(frozen=True, slots=True)
class _Image:
    """One image of the file: its tags but for where tiles are, and its encoded tiles."""

    tags: dict[int, Tag]
    tiles: list[bytes]


def write_geotiff(  # noqa: PLR0917
    data: Pixels,
    mask: Mask | None,
    transform: Affine | None,
    crs: str | None = None,
    nodata: Nodata = None,
    descriptions: Sequence[str | None] | None = None,
) -> bytes:
    """Write pixels as a GeoTIFF.

    Args:
        data: shape (bands, height, width); uint8..uint64, int8..int64, float16..float64.
        mask: True is valid, shape (bands, height, width) or (height, width); None where all pixels are valid.
        transform: pixel corner → CRS; rotated and south-up ones are kept. None to write no position.
        crs: `EPSG:n` or WKT; None to write none.
        nodata: value that marks pixels that are not valid, in all bands.
        descriptions: name of each band.

    Returns:
        The file. It reads back as the same pixels, validity, transform, CRS and names. Nodata is the given one; only
        where bands differ in validity and the given one does not tell them apart, another value is chosen and
        written into pixels that are not valid.

    Raises:
        InvalidArgumentError: a shape or dtype that cannot be written, 4 GB or more, or no value is left for nodata.
        InvalidCrsError: the CRS cannot be said in GeoTIFF.
    """
    if data.ndim != 3 or 0 in data.shape:
        raise InvalidArgumentError(f"a GeoTIFF needs pixels (bands, height, width), not {data.shape}")
    bands, height, width = data.shape
    if data.dtype.kind not in _KINDS or data.dtype.itemsize > 8:
        raise InvalidArgumentError(
            f"pixels of {data.dtype} cannot be written; integers and floats of up to 64 bits can"
        )
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    if data.nbytes >= _LIMIT:
        raise InvalidArgumentError(
            f"{bands} × {height} × {width} pixels of {data.dtype} are {data.nbytes / 1e9:.1f} GB; a GeoTIFF here is "
            "smaller than 4 GB: write smaller areas or fewer bands"
        )
    if descriptions is not None and len(descriptions) != bands:
        raise InvalidArgumentError(f"{len(descriptions)} descriptions for {bands} bands; give one for each")
    data, nodata, shared = _validity(data, mask, nodata)

    side = tuple(min(_TILE, -(-length // 16) * 16) for length in (height, width))
    tags = _layout(data.shape, side)
    tags |= {
        258: (_SHORT, (data.dtype.itemsize * 8,) * bands),
        262: (_SHORT, (_BLACK_IS_ZERO,)),
        317: (_SHORT, (_predictor(data.dtype),)),
        339: (_SHORT, (_KINDS[data.dtype.kind],) * bands),
    }
    if bands > 1:
        tags[338] = (_SHORT, (0,) * (bands - 1))
    if transform is not None:
        tags |= _position(transform)
    if crs is not None:
        types = {34735: _SHORT, 34736: _DOUBLE, 34737: _BYTES}
        tags |= {tag: (types[tag], values) for tag, values in geokey_tags(crs).items()}
    if descriptions is not None and any(descriptions):
        tags[42112] = (_BYTES, _metadata(descriptions))
    if nodata is not None:
        tags[42113] = (_BYTES, _nodata_text(nodata).encode("ascii") + b"\0")
    images = [_Image(tags, [_encode(tile) for band in data for tile in _tiles(band, side)])]
    if shared is not None:
        images.append(_mask_image(shared, side))
    return _assemble(images)


def _validity(data: Pixels, mask: Mask | None, nodata: Nodata) -> tuple[Pixels, Nodata, Mask | None]:
    """Decide how validity is stored: (pixels, nodata, internal mask or None)."""
    valid = np.ones(data.shape, dtype=np.bool_) if mask is None else np.broadcast_to(mask, data.shape)
    if nodata is not None:
        nodata = _fitting(nodata, data.dtype)
    marked = _equals(data, nodata)
    if np.array_equal(marked, ~valid):
        return data, nodata, None
    if (valid == valid[0]).all():
        return data, nodata, valid[0]
    if nodata is None or (marked & valid).any():
        nodata = _unused(data, valid)
    filled = data.copy()
    filled[~valid] = nodata
    return filled, nodata, None


def _fitting(nodata: float, dtype: np.dtype[Any]) -> Nodata:
    """Nodata as the dtype has it; one that no pixel can have is an error."""
    if dtype.kind == "f":
        return float(nodata)
    limits = np.iinfo(dtype)
    if not math.isfinite(nodata) or nodata != int(nodata) or not limits.min <= nodata <= limits.max:
        raise InvalidArgumentError(f"nodata {nodata} is no value of {dtype} ({limits.min}..{limits.max})")
    return int(nodata)


def _equals(data: Pixels, nodata: Nodata) -> Mask:
    if nodata is None:
        return np.zeros(data.shape, dtype=np.bool_)
    if isinstance(nodata, float) and math.isnan(nodata):
        return np.isnan(data)
    same: Mask = data == np.array(nodata).astype(data.dtype)
    return same


def _unused(data: Pixels, valid: Mask) -> int | float:
    """A value that no valid pixel has."""
    used = data[valid]
    if data.dtype.kind == "f":
        candidates: list[int | float] = [math.nan, -math.inf, math.inf]
    else:
        limits = np.iinfo(data.dtype)
        low, high = int(limits.min), int(limits.max)
        candidates = [0, high, low] if low == 0 else [low, high]
        if data.dtype.itemsize <= 2:
            candidates += np.setdiff1d(np.arange(low, high + 1), used)[:1].tolist()
    for candidate in candidates:
        if not _equals(used, candidate).any():
            return candidate
    raise InvalidArgumentError(
        f"the bands differ in which pixels are valid, and no value of {data.dtype} is left to mark those that are not; "
        "write each band to its own file"
    )


def _layout(shape: tuple[int, ...], side: tuple[int, ...]) -> dict[int, Tag]:
    """Tags of size and storage."""
    bands, height, width = shape
    return {
        256: (_LONG, (width,)),
        257: (_LONG, (height,)),
        259: (_SHORT, (_DEFLATE,)),
        277: (_SHORT, (bands,)),
        284: (_SHORT, (_PLANES if bands > 1 else 1,)),
        322: (_SHORT, (side[1],)),
        323: (_SHORT, (side[0],)),
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


def _encode(tile: Pixels) -> bytes:
    predictor = _predictor(tile.dtype)
    if predictor == _DIFFERENCES:
        tile = imagecodecs.delta_encode(tile, axis=-1)
    elif predictor == _FLOAT_DIFFERENCES:
        tile = imagecodecs.floatpred_encode(tile, axis=-1)
    return _deflate(tile.tobytes())


def _deflate(raw: bytes) -> bytes:
    return bytes(imagecodecs.deflate_encode(raw, level=_LEVEL))


def _mask_image(mask: Mask, side: tuple[int, ...]) -> _Image:
    """The internal mask: one bit a pixel, 1 is valid."""
    tags = _layout((1, *mask.shape), side)
    tags |= {
        254: (_LONG, (_MASK_IMAGE,)),
        258: (_SHORT, (1,)),
        262: (_SHORT, (_TRANSPARENCY_MASK,)),
        317: (_SHORT, (1,)),
        339: (_SHORT, (1,)),
    }
    return _Image(tags, [_deflate(np.packbits(tile, axis=-1).tobytes()) for tile in _tiles(mask, side)])


def _position(transform: Affine) -> dict[int, Tag]:
    """Pixel scale and tie point for north-up images, else the whole matrix."""
    a, b, c, d, e, f = (float(v) for v in transform)
    if b == 0 and d == 0 and a > 0 and e < 0:
        return {33550: (_DOUBLE, (a, -e, 0.0)), 33922: (_DOUBLE, (0.0, 0.0, 0.0, c, f, 0.0))}
    matrix = (a, b, 0.0, c, d, e, 0.0, f, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    return {34264: (_DOUBLE, matrix)}


def _metadata(descriptions: Sequence[str | None]) -> bytes:
    """GDAL_METADATA with the names of the bands; escaped twice, since GDAL reads them so."""
    items = [
        f"  <Item name={quoteattr('DESCRIPTION')} sample={quoteattr(str(i))} role={quoteattr('description')}>"
        f"{escape(escape(name))}</Item>\n"
        for i, name in enumerate(descriptions)
        if name
    ]
    return f"<GDALMetadata>\n{''.join(items)}</GDALMetadata>\n".encode() + b"\0"


def _nodata_text(nodata: float) -> str:
    if isinstance(nodata, int):
        return str(nodata)
    return repr(nodata).removesuffix(".0")


def _assemble(images: list[_Image]) -> bytes:
    """Lay the file out: header, directories with their values, then the tiles."""
    starts, at = [], 8
    for image in images:
        starts.append(at)
        at += _directory_size(image)
    parts = [b"II*\0", struct.pack("<I", 8)]
    blocks: list[bytes] = []
    for i, image in enumerate(images):
        offsets = []
        for tile in image.tiles:
            offsets.append(at)
            at += len(tile)
        if at >= _LIMIT:
            raise InvalidArgumentError("the file would be 4 GB or more; write smaller areas or fewer bands")
        following = starts[i + 1] if i + 1 < len(images) else 0
        parts.append(_directory(image, starts[i], tuple(offsets), following))
        blocks += image.tiles
    return b"".join(parts + blocks)


def _all_tags(image: _Image, offsets: tuple[int, ...]) -> list[tuple[int, int, int, bytes]]:
    """(tag, type, count, bytes) of all tags in the order that TIFF wants."""
    tags: dict[int, Tag] = {
        **image.tags,
        324: (_LONG, offsets),
        325: (_LONG, tuple(len(tile) for tile in image.tiles)),
    }
    out = []
    for tag, (kind, values) in sorted(tags.items()):
        raw = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values)
        out.append((tag, kind, len(values), raw))
    return out


def _directory_size(image: _Image) -> int:
    tags = _all_tags(image, (0,) * len(image.tiles))
    return 6 + 12 * len(tags) + sum(len(raw) + len(raw) % 2 for *_, raw in tags if len(raw) > 4)


def _directory(image: _Image, start: int, offsets: tuple[int, ...], following: int) -> bytes:
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
