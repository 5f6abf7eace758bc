"""Decodes tiles that are whole images: LERC, JPEG, WebP, JPEG XL, JPEG 2000, CCITT, LogLuv; knows all compressions.

Such a file says its own size. It is compared with the tile's before anything of that size is allocated.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import imagecodecs
import numpy as np
import numpy.typing as npt

from rasteret_sql.tiff import tags
from rasteret_sql.tiff.codecs import Buffer, decompresses, has_codec, is_of_bytes
from rasteret_sql.tiff.header import Level
from rasteret_sql.tiff.libtiff import decode_fax, decode_logluv

Pixels = npt.NDArray[np.generic]
Shape = tuple[int, int, int]

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZLIB_MAGIC = b"\x78"
_JPEG2000_SIZE = b"\xff\x4f\xff\x51"


def decodable(compression: int) -> bool:
    """True where tiles of a compression can be decoded with the imagecodecs that is installed."""
    if gives_pixels(compression):
        return all(map(has_codec, _IMAGE_CODECS[compression].needs))
    return decompresses(compression)


def why_not_decodable(compression: int) -> str:
    """The reason for a compression that is not `decodable`: the compression, or the imagecodecs that is installed."""
    if gives_pixels(compression) or is_of_bytes(compression):
        return f"is not supported by imagecodecs {imagecodecs.__version__} as it is installed; PyPI's newest has it"
    return "is not supported"


def gives_pixels(compression: int) -> bool:
    """True where the codec decodes to an image (no predictor, byte order or bit packing applies afterwards)."""
    return compression in _IMAGE_CODECS


def decode_image(level: Level, data: Buffer, shape: Shape) -> Pixels:
    """Decode a tile.

    Args:
        level: The image that it is of.
        data: The tile as stored.
        shape: (rows, cols, samples) that it holds.

    Returns:
        An array of that shape and `level.dtype`.

    Raises:
        ValueError: The image has another size or type; imagecodecs raises other errors for damaged data.
    """
    image = np.asarray(_IMAGE_CODECS[level.compression].decode(level, data, shape))
    if image.ndim == 2:
        image = image[:, :, None]
    if image.shape != shape or image.dtype.newbyteorder("=") != level.dtype:
        raise ValueError(f"it holds an image of shape {image.shape} and type {image.dtype}")
    return np.ascontiguousarray(image, dtype=level.dtype)


def _decode_jpeg(level: Level, data: Buffer, shape: Shape) -> Pixels:
    """YCbCr is given as RGB, all else as stored.

    Subsampled chroma is interpolated by libjpeg-turbo's default filter. GDAL built with the other libjpeg (version 7 or
    later) interpolates in the frequency domain instead and differs by a few grey levels at edges of colour.
    """
    samples = shape[2]
    stored, wanted = (None, None)
    if samples == 3:
        # Left alone, libjpeg takes three samples for YCbCr unless a marker of the stream tells otherwise.
        stored, wanted = ("YCBCR" if level.photometric == tags.PHOTOMETRIC_YCBCR else "RGB"), "RGB"
    out = np.empty(shape if samples > 1 else shape[:2], level.dtype)
    image: Pixels = imagecodecs.jpeg8_decode(
        data, tables=level.jpeg_tables, colorspace=stored, outcolorspace=wanted, out=out
    )
    return image


def _decode_webp(_level: Level, data: Buffer, shape: Shape) -> Pixels:
    image: Pixels = imagecodecs.webp_decode(data, hasalpha=shape[2] == 4, out=np.empty(shape, np.uint8))
    return image


def _decode_jpegxl(level: Level, data: Buffer, shape: Shape) -> Pixels:
    out = np.empty(shape if shape[2] > 1 else shape[:2], level.dtype)
    image: Pixels = imagecodecs.jpegxl_decode(data, numthreads=1, out=out)
    return image


def _decode_jpeg2000(_level: Level, data: Buffer, shape: Shape) -> Pixels:
    _check_size(_jpeg2000_size(data), shape)
    image: Pixels = imagecodecs.jpeg2k_decode(data, numthreads=1)
    return image


def _decode_lerc(level: Level, data: Buffer, shape: Shape) -> Pixels:
    """LERC, alone or wrapped in deflate or ZSTD; samples that it marks invalid become NaN, or alpha 0.

    libtiff stores NaN of floating-point images, and an alpha band of 0 and 255, as LERC's own mask. In big-endian
    files it gives LERC the samples as they stand in the file, swapped.
    """
    head = bytes(data[:4])
    most = np.prod(shape, dtype=np.int64) * level.dtype.itemsize * 2 + 65536
    if head == _ZSTD_MAGIC:
        data = imagecodecs.zstd_decode(data, out=np.empty(most, np.uint8)).tobytes()
    elif head[:1] == _ZLIB_MAGIC:
        data = imagecodecs.deflate_decode(data, out=np.empty(most, np.uint8)).tobytes()
    rows, cols, samples = shape
    _check_size(_lerc_size(data), shape)
    image: Pixels
    image, mask = imagecodecs.lerc_decode(data, masks=True)
    if image.ndim == 3 and image.shape[1:] == (rows, cols) and image.shape[0] == samples:
        # Bands with masks of their own are stored one after the other.
        image = image.transpose(1, 2, 0)
        mask = mask.transpose(1, 2, 0) if mask is not None and mask.ndim == 3 else mask
    if image.ndim == 2:
        image = image[:, :, None]
    if mask is not None:
        valid = np.asarray(mask, bool).reshape(rows, cols, -1)
        if image.shape[2] == samples - 1 and level.dtype == np.uint8:
            alpha = np.where(valid[..., :1], np.uint8(255), np.uint8(0))
            image = np.concatenate([image, alpha], axis=2)
        elif image.dtype.kind == "f" and not valid.all():
            image = np.where(valid, image, image.dtype.type(np.nan))
    return image.byteswap() if level.byte_order == ">" and level.dtype.itemsize > 1 else image


def _check_size(size: tuple[int, int], shape: Shape) -> None:
    if size != shape[:2]:
        raise ValueError(f"it holds an image of {size[0]} × {size[1]} pixels")


def _lerc_size(data: Buffer) -> tuple[int, int]:
    """(rows, cols) of a LERC blob of any version."""
    head = bytes(data[:32])
    if head.startswith(b"Lerc2 ") and len(head) == 32:
        (version,) = struct.unpack("<i", head[6:10])
        at = 10 if version < 3 else 14  # a checksum came with version 3
    elif head.startswith(b"CntZImage ") and len(head) == 32:
        at = 18
    else:
        raise ValueError("it is no LERC blob")
    rows, cols = struct.unpack("<ii", head[at : at + 8])
    return rows, cols


def _jpeg2000_size(data: Buffer) -> tuple[int, int]:
    """(rows, cols) of a JPEG 2000 codestream, alone or in a JP2 file."""
    head = bytes(data[:4096])
    at = head.find(_JPEG2000_SIZE)
    if at < 0 or len(head) < at + 24:
        raise ValueError("it is no JPEG 2000 codestream")
    right, bottom, left, top = struct.unpack(">IIII", head[at + 8 : at + 24])
    return bottom - top, right - left


def _decode_old_jpeg(_level: Level, _data: Buffer, _shape: Shape) -> Pixels:
    """Its tiles are parts of one stream: `decode_tile` decodes the whole image, which is one tile here."""
    raise ValueError("a part of old-style JPEG cannot be decoded alone")


@dataclass(frozen=True, slots=True)
class _ImageCodec:
    """One compression whose tiles are images."""

    needs: tuple[str, ...]
    """Codecs of imagecodecs."""
    decode: Callable[[Level, Buffer, Shape], Pixels]
    """As `decode_image`, which checks shape and type; (rows, cols) will do for one sample."""


_FAX = _ImageCodec(("TIFF", "CCITTFAX4"), decode_fax)
"""imagecodecs gives images of 1 bit through libtiff since the version that has CCITT alone, too."""
_LOGLUV = _ImageCodec(("TIFF",), decode_logluv)
_JPEGXL = _ImageCodec(("JPEGXL",), _decode_jpegxl)
_JPEG2000 = _ImageCodec(("JPEG2K",), _decode_jpeg2000)
_IMAGE_CODECS = {
    tags.CCITT_RLE: _FAX,
    tags.CCITT_RLE_WORDS: _FAX,
    tags.CCITT_GROUP3: _FAX,
    tags.CCITT_GROUP4: _FAX,
    tags.OLD_JPEG: _ImageCodec(("TIFF",), _decode_old_jpeg),
    tags.LOGLUV: _LOGLUV,
    tags.LOGLUV24: _LOGLUV,
    tags.JPEG: _ImageCodec(("JPEG8",), _decode_jpeg),
    tags.LERC: _ImageCodec(("LERC",), _decode_lerc),
    tags.WEBP: _ImageCodec(("WEBP",), _decode_webp),
    tags.JPEGXL: _JPEGXL,
    tags.JPEGXL_DNG: _JPEGXL,
    tags.JPEG2000: _JPEG2000,
    tags.JPEG2000_APERIO_RGB: _JPEG2000,
}
"""All of them by their number in TIFF."""
