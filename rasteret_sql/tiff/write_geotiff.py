"""Writes pixels as the bytes of a GeoTIFF: tiled, deflated, one plane for each band, header first.

Tiles have 256 pixels a side, or as few as hold a smaller image. Validity goes into nodata where it can be told from the
pixels, else into an internal mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.grid import Affine
from rasteret_sql.tiff.nodata import Nodata, held_nodata
from rasteret_sql.tiff.write_geokeys import geokey_tags
from rasteret_sql.tiff.write_images import (
    DOUBLE,
    KINDS,
    LIMIT,
    SHORT,
    TEXT,
    Mask,
    Pixels,
    Tag,
    assemble,
    mask_image,
    pixel_image,
)

_TILE = 256


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
    data = checked_pixels(data, descriptions)
    data, nodata, shared = stored_validity(data, mask, nodata)
    side = tile_side(data.shape[1:], _TILE)
    image = pixel_image(data, side)
    image.tags.update(geotiff_tags(transform, crs, nodata, metadata_of(descriptions)))
    return assemble([image] if shared is None else [image, mask_image(shared, side)])


def tile_side(shape: Sequence[int], most: int) -> tuple[int, int]:
    """Height and width of tiles: at most so many pixels, or as few as hold a smaller image."""
    height, width = (min(most, -(-length // 16) * 16) for length in shape)
    return height, width


def geotiff_tags(transform: Affine | None, crs: str | None, nodata: Nodata, metadata: str) -> dict[int, Tag]:
    """Tags that say where an image lies and what its values mean.

    Args:
        transform: pixel corner → CRS; None: none.
        crs: `EPSG:n` or WKT; None: none.
        nodata: of all bands.
        metadata: items of GDAL_METADATA; empty: none.
    """
    tags: dict[int, Tag] = {}
    if transform is not None:
        tags |= _position(transform)
    if crs is not None:
        types = {34735: SHORT, 34736: DOUBLE, 34737: TEXT}
        tags |= {tag: (types[tag], values) for tag, values in geokey_tags(crs).items()}
    if metadata:
        tags[42112] = (TEXT, f"<GDALMetadata>\n{metadata}</GDALMetadata>\n".encode() + b"\0")
    if nodata is not None:
        tags[42113] = (TEXT, _nodata_text(nodata).encode("ascii") + b"\0")
    return tags


def checked_pixels(data: Pixels, descriptions: Sequence[str | None] | None) -> Pixels:
    """The pixels in the byte order of the machine.

    Raises:
        InvalidArgumentError: a shape or dtype that cannot be written, 4 GB or more, or not one description a band.
    """
    if data.ndim != 3 or 0 in data.shape:
        raise InvalidArgumentError(f"a GeoTIFF needs pixels (bands, height, width), not {data.shape}")
    bands, height, width = data.shape
    if data.dtype.kind not in KINDS or data.dtype.itemsize > 8:
        raise InvalidArgumentError(
            f"pixels of {data.dtype} cannot be written; integers and floats of up to 64 bits can"
        )
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    if data.nbytes >= LIMIT:
        raise InvalidArgumentError(
            f"{bands} × {height} × {width} pixels of {data.dtype} are {data.nbytes / 1e9:.1f} GB; a GeoTIFF here is "
            "smaller than 4 GB: write smaller areas or fewer bands"
        )
    if descriptions is not None and len(descriptions) != bands:
        raise InvalidArgumentError(f"{len(descriptions)} descriptions for {bands} bands; give one for each")
    return data


def stored_validity(data: Pixels, mask: Mask | None, nodata: Nodata) -> tuple[Pixels, Nodata, Mask | None]:
    """Decide how validity is stored: (pixels, nodata, internal mask or None)."""
    valid = np.ones(data.shape, dtype=np.bool_) if mask is None else np.broadcast_to(mask, data.shape)
    if nodata is not None:
        nodata = held_nodata(nodata, data.dtype)
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
        candidates: list[int | float] = [math.nan, -math.inf, math.inf, float(np.finfo(data.dtype).min)]
    else:
        limits = np.iinfo(data.dtype)
        low, high = int(limits.min), int(limits.max)
        candidates = [0, high, low] if low == 0 else [low, high]
    for candidate in candidates:
        if not _equals(used, candidate).any():
            return candidate
    if data.dtype.kind != "f":
        # The lowest and the highest are used, so what is left lies between two that are. Steps may wrap, never to 1.
        values = np.unique(used)
        last = values[:-1][np.diff(values) != 1]
        if len(last):
            return int(last[0]) + 1
    raise InvalidArgumentError(
        f"the bands differ in which pixels are valid, and no value of {data.dtype} is left to mark those that are not; "
        "write each band to its own file"
    )


def _position(transform: Affine) -> dict[int, Tag]:
    """Pixel scale and tie point for north-up images, else the whole matrix."""
    a, b, c, d, e, f = (float(v) for v in transform)
    if b == 0 and d == 0 and a > 0 and e < 0:
        return {33550: (DOUBLE, (a, -e, 0.0)), 33922: (DOUBLE, (0.0, 0.0, 0.0, c, f, 0.0))}
    matrix = (a, b, 0.0, c, d, e, 0.0, f, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    return {34264: (DOUBLE, matrix)}


def metadata_of(descriptions: Sequence[str | None] | None) -> str:
    """Items of GDAL_METADATA with the names of the bands."""
    named = enumerate(descriptions or ())
    return "".join(metadata_item("DESCRIPTION", name, band, "description") for band, name in named if name)


def metadata_item(name: str, value: object, band: int, role: str | None = None) -> str:
    """One item of GDAL_METADATA, of a band from 0; its value is escaped twice, since GDAL reads it so."""
    as_role = "" if role is None else f" role={quoteattr(role)}"
    text = escape(escape(str(value)))
    return f"  <Item name={quoteattr(name)} sample={quoteattr(str(band))}{as_role}>{text}</Item>\n"


def _nodata_text(nodata: float) -> str:
    if isinstance(nodata, int):
        return str(nodata)
    return repr(nodata).removesuffix(".0")
