"""One key of a Parquet file's metadata, read without parsing the rest: a workspace may hold hundreds of files."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq

_MAGIC = b"PAR1"
_TAIL = 8
"""Bytes after the footer: its length, and the magic."""
_FIELD = b"\x18"
"""Head of a binary field of Thrift's compact protocol, the next one of its struct."""


def read_key(file: Path, key: bytes) -> bytes | None:
    """Value of a key of the file's metadata, None where it has no such key.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not Parquet.
    """
    value = _value_in(_footer(file), key)
    return value if value is not None else (pq.read_metadata(file).metadata or {}).get(key)


def _footer(file: Path) -> bytes:
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _TAIL))
        tail = stream.read(_TAIL)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length + _TAIL > size:
            return b""  # the full reader says what is wrong
        stream.seek(size - _TAIL - length)
        return stream.read(length)


def _value_in(footer: bytes, key: bytes) -> bytes | None:
    """The value where the footer holds the pair once and nothing else like it; None: look again with a full reader."""
    start = _FIELD + _varint(len(key)) + key + _FIELD
    if footer.count(start) != 1:
        return None
    position = footer.index(start) + len(start)
    length = shift = 0
    while position < len(footer):
        byte = footer[position]
        position += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            end = position + length
            return footer[position:end] if footer[end : end + 1] == b"\0" else None
    return None


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
