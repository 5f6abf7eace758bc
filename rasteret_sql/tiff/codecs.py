"""Decodes stored bytes of a tile to the bytes of its samples."""

from __future__ import annotations

import imagecodecs
import numpy as np
import numpy.typing as npt

from rasteret_sql.scratch import Recycled
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
"""Compression → codec of imagecodecs and its function."""
_SLACK = 16
"""Bytes beyond the expected length that LZW and LZMA may write into, so that a longer stream is noticed."""
_tiles = Recycled()
_LZW_END = 3
"""Bytes that hold LZW's end code of up to 12 bits, and the bits before and behind it."""


def decompresses(compression: int) -> bool:
    """True where `decompress` takes a compression, with the imagecodecs that is installed."""
    return compression == tags.NONE or (compression in _BYTE_CODECS and has_codec(_BYTE_CODECS[compression][0]))


def is_of_bytes(compression: int) -> bool:
    """True for codecs of bytes: what they decode has none of the memory of the stored bytes."""
    return compression in _BYTE_CODECS


def has_codec(name: str) -> bool:
    """True where the installed imagecodecs was built with a codec, such as LERC."""
    return bool(getattr(getattr(imagecodecs, name, None), "available", False))


def load_codec(compression: int, predictor: int) -> None:
    """Load what decodes tiles of that kind, which imagecodecs does at first use: some milliseconds."""
    if compression in _BYTE_CODECS:
        getattr(imagecodecs, _BYTE_CODECS[compression][1], None)
    if predictor != 1:
        imagecodecs.delta_decode  # noqa: B018


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
    if compression == tags.LZW:
        return _decompress_lzw(data, size)
    decode = getattr(imagecodecs, _BYTE_CODECS[compression][1])
    slack = _SLACK if compression == tags.LZMA else 0
    decoded: npt.NDArray[np.uint8] = decode(data, out=_tiles.get(size + slack))
    return decoded


def decompress_head_of_lzw(data: Buffer, size: int) -> npt.NDArray[np.uint8]:
    """The first `size` bytes of an LZW stream; what follows is not looked at. Fewer where it is shorter."""
    decoded: npt.NDArray[np.uint8] = imagecodecs.lzw_decode(data, out=np.empty(size, np.uint8))
    return decoded


def _decompress_lzw(data: Buffer, size: int) -> npt.NDArray[np.uint8]:
    """A stream whose last bytes alone say something else than its end counts as whole.

    Some writers, LibTiff.NET among them, write the end code a bit too narrow where codes grow wider just then. Read
    at full width it is another code, or none. libtiff reads no further than the pixels.
    """
    decoded: npt.NDArray[np.uint8]
    try:
        decoded = imagecodecs.lzw_decode(data, out=_tiles.get(size + _SLACK))
        if len(decoded) <= size:
            return decoded
    except CODEC_ERRORS:
        if len(data) <= _LZW_END:
            raise
    decoded = imagecodecs.lzw_decode(data[:-_LZW_END], out=_tiles.get(size + _SLACK))
    return decoded if len(decoded) > size else decompress_head_of_lzw(data, size)


def packbits_length(data: Buffer, size: int) -> int:
    """The length of the first runs of a PackBits stream that give `size` bytes; all of it where they give fewer."""
    view, at = memoryview(data), 0
    while size > 0 and at < len(view):
        head = view[at]
        if head == 128:
            at += 1
        elif head > 128:
            at, size = at + 2, size - (257 - head)
        else:
            at, size = at + head + 2, size - (head + 1)
    return min(at, len(view))
