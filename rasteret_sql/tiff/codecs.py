"""Codecs of bytes: what can be decoded at all, and stored bytes of a tile → its sample bytes."""

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
