"""Decompression: stored bytes of a tile → its sample bytes, or its pixels for codecs of whole images."""

from __future__ import annotations

import imagecodecs
import numpy as np
import numpy.typing as npt

from rasteret_sql.tiff import tags

Buffer = bytes | bytearray | memoryview

CODEC_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, OverflowError, EOFError)
"""What imagecodecs raises for data that it cannot decode (its own errors are RuntimeErrors)."""

_BYTE_CODECS = {
    tags.LZW: ("LZW", "lzw_decode"),
    tags.DEFLATE: ("DEFLATE", "deflate_decode"),
    tags.DEFLATE_OLD: ("DEFLATE", "deflate_decode"),
    tags.PACKBITS: ("PACKBITS", "packbits_decode"),
    tags.LZMA: ("LZMA", "lzma_decode"),
    tags.ZSTD: ("ZSTD", "zstd_decode"),
}
_IMAGE_CODECS = {
    tags.JPEG: "JPEG8",
    tags.LERC: "LERC",
    tags.WEBP: "WEBP",
    tags.JPEGXL: "JPEGXL",
    tags.JPEGXL_DNG: "JPEGXL",
    tags.JPEG2000: "JPEG2K",
    tags.JPEG2000_APERIO_RGB: "JPEG2K",
}
_SLACK = 16
"""Bytes beyond the expected length that LZW and LZMA may write into, so that a longer stream is noticed."""


def decodable(compression: int) -> bool:
    """Whether tiles of a compression can be decoded with the imagecodecs that is installed."""
    if compression == tags.NONE:
        return True
    name = _BYTE_CODECS[compression][0] if compression in _BYTE_CODECS else _IMAGE_CODECS.get(compression)
    return name is not None and bool(getattr(imagecodecs, name).available)


def gives_pixels(compression: int) -> bool:
    """Whether the codec decodes to an image (no predictor, byte order or bit packing applies afterwards)."""
    return compression in _IMAGE_CODECS


def decompress(compression: int, data: Buffer, size: int) -> npt.NDArray[np.uint8]:
    """Decode the bytes of a tile.

    Args:
        compression: TIFF code of a byte codec, not of an image codec.
        data: The tile as stored.
        size: Bytes that it must decode to.

    Returns:
        uint8 of shape (n,). n differs from `size` where the stream is shorter, or longer by the codecs that tell;
        others raise then. Writable except for uncompressed data, which is a view of `data`.
    """
    if compression == tags.NONE:
        return np.frombuffer(data, np.uint8)
    decode = getattr(imagecodecs, _BYTE_CODECS[compression][1])
    slack = _SLACK if compression in (tags.LZW, tags.LZMA) else 0
    out = np.empty(size + slack, np.uint8)
    decoded: npt.NDArray[np.uint8] = decode(data, out=out)
    return decoded


def decode_lerc(data: Buffer, samples: int) -> npt.NDArray[np.generic]:
    """Decode a LERC blob, alone or wrapped in deflate or ZSTD; pixels that it marks invalid become NaN.

    libtiff stores NaN of floating-point images, and an alpha band of zeros and ones, as LERC's own mask.
    """
    head = bytes(data[:4])
    if head == b"\x28\xb5\x2f\xfd":
        data = imagecodecs.zstd_decode(data)
    elif head[:1] == b"\x78":
        data = imagecodecs.zlib_decode(data)
    image: npt.NDArray[np.generic]
    image, mask = imagecodecs.lerc_decode(data, masks=True)
    if mask is None:
        return image
    mask = np.asarray(mask, dtype=bool)
    depth = 1 if image.ndim == 2 else image.shape[2]
    if samples == depth + 1 and image.dtype == np.uint8:
        alpha = np.where(mask[..., :1] if mask.ndim == 3 else mask[..., None], 255, 0).astype(np.uint8)
        return np.concatenate([image.reshape(*image.shape[:2], depth), alpha], axis=2)
    if image.dtype.kind == "f" and not mask.all():
        image = image.copy()
        image[~(mask if mask.ndim == image.ndim else np.broadcast_to(mask[..., None], image.shape))] = np.nan
    return image


def decode_jpeg(data: Buffer, tables: bytes | None, samples: int, *, ycbcr: bool) -> npt.NDArray[np.generic]:
    """Decode a JPEG tile; YCbCr is given as RGB, all else as stored.

    Subsampled chroma is interpolated by libjpeg-turbo's default filter. GDAL built with the other libjpeg (version 7 or
    later) interpolates in the frequency domain instead and differs by a few grey levels at edges of colour.
    """
    stored, wanted = ("YCBCR", "RGB") if ycbcr else (None, None)
    if not ycbcr and samples == 3:
        # Left alone, libjpeg takes three samples for YCbCr unless a marker of the stream tells otherwise.
        stored = wanted = "RGB"
    return np.asarray(imagecodecs.jpeg8_decode(data, tables=tables, colorspace=stored, outcolorspace=wanted))


def decode_image(compression: int, data: Buffer, samples: int) -> npt.NDArray[np.generic]:
    """Decode a tile of WebP, JPEG XL or JPEG 2000."""
    if compression == tags.WEBP:
        image = imagecodecs.webp_decode(data, hasalpha=samples == 4)
    elif compression in (tags.JPEGXL, tags.JPEGXL_DNG):
        image = imagecodecs.jpegxl_decode(data, numthreads=1)
    else:
        image = imagecodecs.jpeg2k_decode(data, numthreads=1)
    return np.asarray(image)
