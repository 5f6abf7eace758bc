"""Makes a `Level` of one image directory: checks that its tags agree and that it can be decoded."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import CorruptTiffError
from rasteret_sql.tiff import tags
from rasteret_sql.tiff.colours import D50, SUBSAMPLINGS, YCBCR_DEFAULT
from rasteret_sql.tiff.header import Level
from rasteret_sql.tiff.ifd import Ifd
from rasteret_sql.tiff.images import decodable, gives_pixels, why_not_decodable
from rasteret_sql.tiff.shared_values import SharedValues
from rasteret_sql.tiff.source import NeedBytes
from rasteret_sql.tiff.tile_offsets import TileLayout, read_tile_offsets
from rasteret_sql.tiff.whole_image import missing_tables, whole_level

MAX_TILES = 1 << 25
"""Most tiles of one image: half a GiB of offsets and byte counts."""
MAX_TILE_BYTES = 1 << 31
"""Largest decoded tile or strip."""
MAX_SIDE = (1 << 31) - 1

_SMALL = (
    tags.NEW_SUBFILE_TYPE, tags.BITS_PER_SAMPLE, tags.SAMPLE_FORMAT, tags.EXTRA_SAMPLES, tags.JPEG_TABLES,
    tags.YCBCR_SUBSAMPLING, tags.YCBCR_COEFFICIENTS, tags.REFERENCE_BLACK_WHITE, tags.WHITE_POINT,
)  # fmt: skip
_PREDICTABLE = frozenset({tags.LZW, tags.DEFLATE, tags.DEFLATE_OLD, tags.ZSTD, tags.LZMA})
_RGB_CODECS = frozenset({tags.JPEG, tags.WEBP})
"""Codecs that give YCbCr as RGB themselves."""
_FAX = frozenset({tags.CCITT_RLE, tags.CCITT_RLE_WORDS, tags.CCITT_GROUP3, tags.CCITT_GROUP4})
_LOGLUV = frozenset({tags.LOGLUV, tags.LOGLUV24})
_LOGLUV_FORMS = frozenset({(tags.LOGLUV, tags.PHOTOMETRIC_LOGL, 1), (tags.LOGLUV, tags.PHOTOMETRIC_LOGLUV, 3),
                           (tags.LOGLUV24, tags.PHOTOMETRIC_LOGLUV, 3)})  # fmt: skip


def missing_ranges(ifd: Ifd) -> list[ByteRange]:
    """The ranges that have not arrived of all that `read_level` reads."""
    if ifd.has_all:
        return missing_tables(ifd)
    parts = [gap for tag in _SMALL if tag in ifd for gap in ifd.missing(tag)]
    *_, tables = _layout(ifd)
    for tag, count in tables:
        parts += ifd.missing(tag, count)
    return parts + missing_tables(ifd)


_Tables = tuple[tuple[int, int], tuple[int, int]]


class _Form(NamedTuple):
    """An image but for the places of its tiles."""

    level: Callable[..., Level]
    """Makes the level, given `tile_height`, `offsets` and `byte_counts`."""
    tile_width: int
    tables: _Tables
    """((tag of offsets, number of tiles), (tag of byte counts, number of tiles))."""
    layout: TileLayout


_forms: SharedValues[tuple[object, ...], _Form] = SharedValues()


def read_level(ifd: Ifd, *, planes: bool = False) -> Level:
    """Read an image directory.

    Args:
        ifd: The directory.
        planes: Give planar colours that are converted as the planes they are stored in, not as one strip.

    Raises:
        NeedBytes: Values have not arrived.
        CorruptTiffError: Tags contradict each other or the file's size.
        UnsupportedTiffError: The image uses a feature that cannot be decoded.
    """
    try:
        key = (*ifd.layout_key, planes)
    except (NeedBytes, CorruptTiffError):  # perhaps of a value that is not asked for below
        key = None
    form = None if key is None else _forms.get(key)
    if form is None:
        found = _read_form(ifd, planes=planes)
        if isinstance(found, Level):
            return found
        form = found if key is None else _forms.add(key, found)
    offsets, counts, tile_height = read_tile_offsets(ifd, form.tables, form.layout)
    if form.layout.size(tile_height) > MAX_TILE_BYTES:
        raise ifd.unsupported(
            f"a {'tile' if form.layout.tiled else 'strip'} of {form.tile_width} × {tile_height} pixels takes "
            f"{form.layout.size(tile_height)} bytes decoded; the most that is read at once is {MAX_TILE_BYTES}. "
            "Rewrite the file with smaller tiles"
        )
    return form.level(tile_height=tile_height, offsets=offsets, byte_counts=counts)


def _read_form(ifd: Ifd, *, planes: bool) -> _Form | Level:
    """The form of an image; all of an image that is decoded whole. Arguments are those of `read_level`."""
    width, height, tile_width, tile_height, tiled, samples, planar, tables = _layout(ifd)
    dtype, bits = _sample_type(ifd, samples)
    compression = ifd.integer(tags.COMPRESSION, tags.NONE)
    photometric = ifd.integer(tags.PHOTOMETRIC) if tags.PHOTOMETRIC in ifd else None
    predictor = ifd.integer(tags.PREDICTOR, 1) if compression in _PREDICTABLE else 1
    fill_order = ifd.integer(tags.FILL_ORDER, 1)
    _check_features(
        ifd,
        compression=compression,
        predictor=predictor,
        fill_order=fill_order,
        dtype=dtype,
        bits=bits,
        single=samples == 1 or planar == tags.PLANAR_SEPARATE,
    )

    subsampling = ifd.integers(tags.YCBCR_SUBSAMPLING, (2, 2)) if photometric == tags.PHOTOMETRIC_YCBCR else (1, 1)
    subsampling = (subsampling[0], subsampling[-1])
    if compression in _LOGLUV:
        _check_logluv(ifd, (compression, photometric, samples), dtype, planar)
    stored_samples, colours = _conversion(ifd, photometric, compression, bits=bits, samples=samples)
    if compression == tags.OLD_JPEG or (stored_samples and planar == tags.PLANAR_SEPARATE and not planes):
        given = _samples_of_whole(ifd, photometric, compression, bits=bits, samples=samples, subsampling=subsampling)
        places = read_tile_offsets(ifd, tables, TileLayout(compression, tiled, height, tile_height, tile_width))
        return whole_level(ifd, places, size=(width, height), tiled=tiled, samples=given)
    if stored_samples and photometric == tags.PHOTOMETRIC_YCBCR and planar == tags.PLANAR_CHUNKY:
        _check_chroma(ifd, subsampling, compression, predictor)
        across, down = subsampling
        form = TileLayout(compression, tiled, height, tile_height, -(-tile_width // across) * (across * down + 2), down)
    else:
        if subsampling != (1, 1) and compression not in _RGB_CODECS:
            raise ifd.unsupported(f"subsampled YCbCr of {samples} samples of {bits} bit is not supported")
        row_bytes = -(-tile_width * bits * (samples if planar == tags.PLANAR_CHUNKY else 1) // 8)
        form = TileLayout(compression, tiled, height, tile_height, row_bytes)
    level = partial(
        Level,
        width=width,
        height=height,
        tile_width=tile_width,
        tiled=tiled,
        dtype=np.dtype("u1") if stored_samples else dtype,
        bits=bits,
        samples=(3 if photometric == tags.PHOTOMETRIC_YCBCR else 4) if stored_samples else samples,
        planar=planar,
        compression=compression,
        predictor=predictor,
        photometric=photometric,
        byte_order=ifd.file.order,
        fill_order=fill_order,
        jpeg_tables=ifd.raw(tags.JPEG_TABLES) if compression == tags.JPEG else None,
        subsampling=subsampling,
        extra_samples=() if stored_samples else ifd.integers(tags.EXTRA_SAMPLES),
        stored_samples=stored_samples,
        colours=colours,
        t4_options=ifd.integer(tags.T4_OPTIONS, 0) if compression == tags.CCITT_GROUP3 else 0,
    )
    return _Form(level, tile_width, tables, form)


def _conversion(
    ifd: Ifd, photometric: int | None, compression: int, *, bits: int, samples: int
) -> tuple[int, tuple[float, ...]]:
    """(stored samples, what the conversion depends on) of colours that GDAL converts; (0, ()) of all others."""
    if photometric == tags.PHOTOMETRIC_CMYK:
        converted = samples >= 4 and ifd.integer(tags.INK_SET, 1) == 1
    elif photometric == tags.PHOTOMETRIC_YCBCR:
        converted = samples == 3 and compression not in _RGB_CODECS
    else:
        converted = samples == 3 and photometric == tags.PHOTOMETRIC_CIELAB
    if not converted or photometric is None or bits != 8:
        return 0, ()
    if photometric == tags.PHOTOMETRIC_CMYK:
        return samples, ()
    if photometric == tags.PHOTOMETRIC_CIELAB:
        white = ifd.doubles(tags.WHITE_POINT)
        return samples, white if len(white) == 2 and white[1] > 0 else D50
    luma, reference = ifd.doubles(tags.YCBCR_COEFFICIENTS), ifd.doubles(tags.REFERENCE_BLACK_WHITE)
    luma = luma if len(luma) == 3 else YCBCR_DEFAULT[:3]
    if not (all(map(math.isfinite, (*luma, *reference))) and luma[1] != 0):
        raise ifd.corrupt(f"YCbCrCoefficients {luma} and ReferenceBlackWhite {reference}")
    return samples, (*luma, *(reference if len(reference) == 6 else YCBCR_DEFAULT[3:]))


def _samples_of_whole(
    ifd: Ifd, photometric: int | None, compression: int, *, bits: int, samples: int, subsampling: tuple[int, int]
) -> int:
    """The number of samples that a pixel of an image that is decoded whole has then."""
    if compression == tags.OLD_JPEG:
        unsaid = tags.SAMPLES_PER_PIXEL not in ifd and photometric == tags.PHOTOMETRIC_YCBCR
        if (samples == 3 or unsaid) and bits == 8 and photometric in (tags.PHOTOMETRIC_YCBCR, tags.PHOTOMETRIC_RGB):
            return 3
        raise ifd.unsupported(f"old-style JPEG of {samples} samples of {bits} bit that is no YCbCr is not supported")
    if photometric == tags.PHOTOMETRIC_CMYK and samples == 4:
        return 4
    if photometric == tags.PHOTOMETRIC_YCBCR and subsampling == (1, 1):
        return 3
    name = "subsampled YCbCr" if photometric == tags.PHOTOMETRIC_YCBCR else tags.PHOTOMETRIC_NAMES[photometric or 0]
    raise ifd.unsupported(f"planar {name} of {samples} samples is not supported")


def _check_chroma(ifd: Ifd, subsampling: tuple[int, int], compression: int, predictor: int) -> None:
    if subsampling not in SUBSAMPLINGS:
        raise ifd.unsupported(f"YCbCr with one colour for {subsampling[0]} × {subsampling[1]} pixels is not supported")
    if predictor != 1 and subsampling != (1, 1):
        raise ifd.unsupported("a predictor of subsampled YCbCr is not supported")
    if subsampling != (1, 1) and gives_pixels(compression):
        raise ifd.unsupported(f"subsampled YCbCr in {tags.COMPRESSION_NAMES[compression]} is not supported")


def _layout(ifd: Ifd) -> tuple[int, int, int, int, bool, int, int, _Tables]:
    """(width, height, tile width, tile height, tiled, samples, planar, ((offsets tag, n), (byte counts tag, n)))."""
    width, height = ifd.integer(tags.IMAGE_WIDTH), ifd.integer(tags.IMAGE_LENGTH)
    samples = ifd.integer(tags.SAMPLES_PER_PIXEL, 1)
    planar = ifd.integer(tags.PLANAR_CONFIGURATION, tags.PLANAR_CHUNKY)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ifd.corrupt(f"an image of {width} × {height} pixels")
    if not 0 < samples < 65536:
        raise ifd.corrupt(f"{samples} samples per pixel")
    if planar not in (tags.PLANAR_CHUNKY, tags.PLANAR_SEPARATE):
        raise ifd.corrupt(f"PlanarConfiguration {planar}, expected 1 or 2")
    tiled = tags.TILE_WIDTH in ifd or tags.TILE_OFFSETS in ifd
    if tiled:
        tile_width, tile_height = ifd.integer(tags.TILE_WIDTH), ifd.integer(tags.TILE_LENGTH)
        names = (tags.TILE_OFFSETS, tags.TILE_BYTE_COUNTS)
        if tags.TILE_OFFSETS not in ifd and tags.STRIP_OFFSETS in ifd:
            names = (tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS)
    else:
        tile_width, tile_height = width, min(ifd.integer(tags.ROWS_PER_STRIP, height), height)
        names = (tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS)
    if not (0 < tile_width <= MAX_SIDE and 0 < tile_height <= MAX_SIDE):
        raise ifd.corrupt(f"tiles of {tile_width} × {tile_height} pixels")
    planes = samples if planar == tags.PLANAR_SEPARATE else 1
    tiles = -(-width // tile_width) * -(-height // tile_height) * planes
    if tiles > MAX_TILES:
        raise ifd.unsupported(f"an image of {tiles} tiles; at most {MAX_TILES} are read")
    return width, height, tile_width, tile_height, tiled, samples, planar, ((names[0], tiles), (names[1], tiles))


def _sample_type(ifd: Ifd, samples: int) -> tuple[np.dtype, int]:
    """(dtype of decoded samples, bits as stored)."""
    all_bits = ifd.integers(tags.BITS_PER_SAMPLE, (1,))[:samples]
    formats = ifd.integers(tags.SAMPLE_FORMAT, (tags.FORMAT_UINT,))[:samples]
    if len(set(all_bits)) > 1 or len(set(formats)) > 1:
        raise ifd.unsupported(f"samples of different types (bits {all_bits}, formats {formats}) are not supported")
    bits, form = all_bits[0], formats[0]
    if form in (tags.FORMAT_COMPLEX_INT, tags.FORMAT_COMPLEX_FLOAT):
        raise ifd.unsupported(f"complex samples (SampleFormat {form}, {bits} bit) are not supported")
    if form == tags.FORMAT_FLOAT:
        if bits not in (16, 24, 32, 64):
            raise ifd.unsupported(f"floating-point samples of {bits} bit are not supported, only 16, 24, 32 and 64")
        return np.dtype(f"f{4 if bits == 24 else bits // 8}"), bits
    if form not in (tags.FORMAT_UINT, tags.FORMAT_INT, tags.FORMAT_VOID):
        raise ifd.corrupt(f"SampleFormat {form}, expected 1 to 6")
    if not (0 < bits <= 32 or bits == 64):
        raise ifd.unsupported(f"integer samples of {bits} bit are not supported, only 1 to 32 and 64")
    if form == tags.FORMAT_INT and bits in (8, 16, 32, 64):
        return np.dtype(f"i{bits // 8}"), bits
    # Signed samples of other depths too: GDAL gives their bits as unsigned numbers.
    size = next(size for size in (1, 2, 4, 8) if bits <= size * 8)
    return np.dtype(f"u{size}"), bits


def _check_logluv(ifd: Ifd, form: tuple[int, int | None, int], dtype: np.dtype, planar: int) -> None:
    chunky = planar == tags.PLANAR_CHUNKY or form[2] == 1
    if form not in _LOGLUV_FORMS or dtype.name not in ("int16", "uint16", "float32") or not chunky:
        raise ifd.unsupported(
            f"SGI LogLuv of {form[2]} {dtype} samples with PhotometricInterpretation {form[1]} is not supported, only "
            "LogLuv and LogL of 16 bit or floating point"
        )


def _check_features(
    ifd: Ifd,
    *,
    compression: int,
    predictor: int,
    fill_order: int,
    dtype: np.dtype,
    bits: int,
    single: bool,
) -> None:
    name = tags.COMPRESSION_NAMES.get(compression, "unknown")
    if not decodable(compression):
        raise ifd.unsupported(f"compression {compression} ({name}) {why_not_decodable(compression)}")
    if predictor not in (1, 2, 3):
        raise ifd.unsupported(f"predictor {predictor} is not supported, only 1, 2 and 3")
    if predictor == 2 and bits not in (8, 16, 32, 64):
        raise ifd.unsupported(f"predictor 2 of {bits} bit samples is not supported, only of 8, 16, 32 and 64 bit")
    if predictor == 3 and dtype.kind != "f":
        raise ifd.corrupt(f"predictor 3 is for floating point, the samples are {dtype}")
    if fill_order not in (1, 2):
        raise ifd.corrupt(f"FillOrder {fill_order}, expected 1 or 2")
    if compression in _FAX and (bits != 1 or not single):
        raise ifd.unsupported(f"{name} of several samples or of {bits} bit is not supported, only of one of 1 bit")
    if compression in (tags.JPEG, tags.WEBP) and dtype != np.dtype("u1") and (compression, bits) != (tags.JPEG, 12):
        raise ifd.unsupported(f"{name} with {bits} bit {dtype} samples is not supported")
