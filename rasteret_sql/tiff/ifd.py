"""Reads image file directories: the chain of them, and the values of their tags, as far as the bytes are there."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.errors import CorruptTiffError, UnsupportedTiffError
from rasteret_sql.tiff import tags
from rasteret_sql.tiff.shared_values import SharedValues
from rasteret_sql.tiff.source import NeedBytes, OutOfFile, SparseBytes

READ_AHEAD = 16384
"""Bytes asked for with a directory that lies outside what is there: its tags' values mostly lie right behind it."""
MAX_ENTRIES = 4096
MAX_VALUE_BYTES = 16 << 20
"""Longest value of a tag that is no tile table."""

_TYPES = {
    1: "u1", 2: "S1", 3: "u2", 4: "u4", 5: "2u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 10: "2i4",
    11: "f4", 12: "f8", 13: "u4", 16: "u8", 17: "i8", 18: "u8",
}  # fmt: skip
_SIZES = {code: np.dtype(name).itemsize for code, name in _TYPES.items()}
_ORDERS: dict[bytes, Literal["<", ">"]] = {b"II": "<", b"MM": ">"}
_DTYPES = {
    (code, order): np.dtype((name[1:], (int(name[0]),)) if name[0].isdigit() else name).newbyteorder(order)
    for code, name in _TYPES.items()
    for order in _ORDERS.values()
}
_WHOLE = frozenset({1, 3, 4, 6, 7, 8, 9, 13, 16, 17, 18})
_RATIONAL = frozenset({5, 10})
_MASKS = {1: 0xFF, 3: 0xFFFF, 4: 0xFFFFFFFF, 13: 0xFFFFFFFF, 16: (1 << 64) - 1, 18: (1 << 64) - 1}
_REAL = _WHOLE | _RATIONAL | {11, 12}
_FLOATS = frozenset({11, 12})
_MOST_SHARED_BYTES = 2048
"""Longest directory that is remembered for other files."""
_OF_ONE_FILE = frozenset(
    {tags.STRIP_OFFSETS, tags.STRIP_BYTE_COUNTS, tags.TILE_OFFSETS, tags.TILE_BYTE_COUNTS, tags.SUB_IFDS,
     tags.MODEL_PIXEL_SCALE, tags.MODEL_TIEPOINT, tags.MODEL_TRANSFORMATION, tags.GEO_KEY_DIRECTORY,
     tags.GEO_DOUBLE_PARAMS, tags.GEO_ASCII_PARAMS, tags.GDAL_METADATA, tags.GDAL_NODATA, tags.RPC_COEFFICIENTS}
)  # fmt: skip
"""Tags that say nothing of how pixels are stored, but where they are, and what they mean."""


@dataclass(frozen=True, slots=True)
class TiffBytes:
    """A file's bytes and how its numbers are written."""

    chunks: SparseBytes
    address: str
    order: Literal["<", ">"]
    big: bool
    """BigTIFF: 64-bit offsets and counts."""

    def view(self, offset: int, length: int, what: str) -> memoryview:
        """Bytes of the file; `what` names them in errors."""
        try:
            return self.chunks.view(offset, length)
        except OutOfFile as error:
            raise self.beyond(offset, length, what) from error

    def missing(self, offset: int, length: int, what: str) -> list[ByteRange]:
        """Parts of a range that have not arrived."""
        try:
            return self.chunks.missing(offset, length)
        except OutOfFile as error:
            raise self.beyond(offset, length, what) from error

    def beyond(self, offset: int, length: int, what: str) -> CorruptTiffError:
        """The error for a range outside the file."""
        return CorruptTiffError(
            f"{self.address}: {what} should lie at bytes {offset} to {offset + length}, but the file has only "
            f"{self.chunks.size} bytes; it is truncated or corrupt"
        )


@dataclass(slots=True)  # not frozen: a header has a dozen, and frozen ones take three times as long to make
class Field:
    """The place where the value of one tag lies."""

    type: int
    count: int
    offset: int
    """First byte of the value in the file."""
    value: int | None = None
    """The value itself where it is one whole number that stands in the directory, as most are."""


@dataclass(frozen=True, slots=True, eq=False)
class Directory:
    """The words of a directory's own bytes. Files with the same bytes at the same place share it."""

    offset: int
    fields: dict[int, Field]
    next_offset: int
    end: int
    """The first byte behind the values that lie outside of it; `sys.maxsize` where nobody knows how long one is."""
    layout: tuple[object, ...]
    """All that it says itself of how pixels are stored; not where."""
    apart: tuple[ByteRange, ...]
    """Places of the values outside that say more of it."""


@dataclass(slots=True)  # not frozen: two for each header
class Ifd:
    """One image file directory, of which only the tags that matter are kept."""

    file: TiffBytes
    directory: Directory
    fields: dict[int, Field]

    def __contains__(self, tag: int) -> bool:
        return tag in self.fields

    @property
    def has_all(self) -> bool:
        """True where all values are among the bytes that arrived first."""
        return self.directory.end <= self.file.chunks.first

    @property
    def layout_key(self) -> tuple[object, ...]:
        """A value that two directories have in common only if they store their pixels in the same way.

        Raises:
            NeedBytes, CorruptTiffError: A value is not there.
        """
        view = self.file.view
        return self.directory.layout, *(bytes(view(at, length, "a value")) for at, length in self.directory.apart)

    @property
    def subfile_type(self) -> int:
        """NewSubfileType's bits."""
        return self.integer(tags.NEW_SUBFILE_TYPE, 0)

    def corrupt(self, problem: str) -> CorruptTiffError:
        """An error about this directory."""
        where = f"the image directory at byte {self.directory.offset}"
        return CorruptTiffError(f"{self.file.address}: {where} is corrupt: {problem}")

    def unsupported(self, feature: str) -> UnsupportedTiffError:
        """An error about what this directory asks for."""
        return UnsupportedTiffError(f"{self.file.address}: {feature}")

    def span(self, tag: int, limit: int | None = None) -> ByteRange:
        """Byte range of a tag's value, or of its first `limit` items."""
        field = self.fields[tag]
        size = _SIZES.get(field.type)
        if size is None:
            raise self.corrupt(f"tag {tags.TAG_NAMES[tag]} has the unknown type {field.type}")
        count = field.count if limit is None else min(field.count, limit)
        if limit is None and count * size > MAX_VALUE_BYTES:
            raise self.corrupt(f"tag {tags.TAG_NAMES[tag]} claims {count} values")
        return ByteRange(field.offset, count * size)

    def missing(self, tag: int, limit: int | None = None) -> list[ByteRange]:
        """Parts of a tag's value that have not arrived; none where the tag is absent."""
        field = self.fields.get(tag)
        if field is None or field.value is not None:
            return []
        span = self.span(tag, limit)
        return self.file.missing(span.offset, span.length, f"tag {tags.TAG_NAMES[tag]}")

    def array(self, tag: int, limit: int | None = None) -> npt.NDArray[np.generic]:
        """Values of a tag as stored, 1-D (rationals 2-D), in the file's byte order."""
        span = self.span(tag, limit)
        data = self.file.view(span.offset, span.length, f"tag {tags.TAG_NAMES[tag]}")
        return np.frombuffer(data, _DTYPES[self.fields[tag].type, self.file.order])

    def integers(self, tag: int, default: tuple[int, ...] = (), limit: int | None = None) -> tuple[int, ...]:
        """Values of a tag of whole numbers, of any type of them; none is negative."""
        field = self.fields.get(tag)
        if field is None:
            return default
        if field.value is not None:
            return (field.value,)
        return tuple(self.whole(tag, limit).tolist())

    def whole(self, tag: int, limit: int | None = None) -> npt.NDArray[np.uint64]:
        """Values of a tag of whole numbers, which some writers store as signed ones."""
        field = self.fields[tag]
        if field.type not in _WHOLE or field.count == 0:
            raise self.corrupt(f"tag {tags.TAG_NAMES[tag]} should hold whole numbers (type {field.type})")
        values = self.array(tag, limit)
        if values.dtype.kind == "i" and (values.astype(np.int64) < 0).any():
            raise self.corrupt(f"tag {tags.TAG_NAMES[tag]} holds negative numbers")
        return values.astype(np.uint64)

    def integer(self, tag: int, default: int | None = None) -> int:
        """Value of a tag of one whole number."""
        field = self.fields.get(tag)
        if field is not None and field.value is not None:
            return field.value
        values = self.integers(tag, limit=1)
        if values:
            return values[0]
        if default is None:
            raise self.corrupt(f"the required tag {tags.TAG_NAMES[tag]} is missing")
        return default

    def doubles(self, tag: int) -> tuple[float, ...]:
        """Values of a tag of real numbers, of any type of numbers; () where absent. A rational x / 0 is 0."""
        field = self.fields.get(tag)
        if field is None:
            return ()
        if field.type not in _REAL:
            raise self.corrupt(f"tag {tags.TAG_NAMES[tag]} should hold real numbers (type {field.type})")
        values = self.array(tag)
        if field.type in _FLOATS:
            return tuple(values.tolist())
        if field.type in _RATIONAL:
            return tuple(above / below if below else 0.0 for above, below in values.tolist())
        return tuple(map(float, values.tolist()))

    def raw(self, tag: int) -> bytes | None:
        """Bytes of a tag's value, None where absent."""
        if tag not in self.fields:
            return None
        span = self.span(tag)
        return bytes(self.file.view(span.offset, span.length, f"tag {tags.TAG_NAMES[tag]}"))

    def text(self, tag: int) -> str | None:
        """Text of a tag up to its first NUL, None where absent."""
        data = self.raw(tag)
        if data is None:
            return None
        data = data.partition(b"\0")[0]
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("latin-1")


def open_tiff(chunks: SparseBytes, address: str) -> tuple[TiffBytes, int]:
    """Read the first bytes: (the file, offset of its first directory)."""
    try:
        magic = bytes(chunks.view(0, 8))
    except OutOfFile as error:
        raise CorruptTiffError(
            f"{address}: this is not a TIFF file: it has only {chunks.size} bytes, a header alone takes 8"
        ) from error
    order = _ORDERS.get(magic[:2])
    version = struct.unpack(f"{order}H", magic[2:4])[0] if order else None
    if order is None or version not in (42, 43):
        raise CorruptTiffError(
            f"{address}: this is not a TIFF file: it starts with {_printable(magic)}, expected II or MM and 42 or 43. "
            "If the address answers with a web page or an error text, check it and its access rights"
        )
    file = TiffBytes(chunks, address, order, big=version == 43)
    if not file.big:
        return file, struct.unpack(f"{order}I", magic[4:8])[0]
    offset_size, zero, first = struct.unpack(f"{order}HHQ", file.view(4, 12, "the BigTIFF header"))
    if offset_size != 8 or zero != 0:
        raise CorruptTiffError(f"{address}: the BigTIFF header gives offsets of {offset_size} bytes, expected 8")
    return file, first


def read_ifd(file: TiffBytes, offset: int) -> Ifd:
    """Read the directory at `offset`; its tags' values stay where they are.

    Raises:
        NeedBytes: It has not arrived.
    """
    what = f"the image directory at byte {offset}"
    count_size, entry_size, inline = (8, 20, 8) if file.big else (2, 12, 4)
    try:
        (count,) = struct.unpack(file.order + ("Q" if file.big else "H"), file.view(offset, count_size, what))
        if not 0 < count <= MAX_ENTRIES:
            raise CorruptTiffError(f"{file.address}: {what} claims {count} tags; the file is corrupt")
        body = file.view(offset + count_size, count * entry_size + inline, what)
    except NeedBytes as need:
        size = file.chunks.size
        if size is None:
            raise
        ahead = file.missing(offset, min(READ_AHEAD, size - offset), what)
        raise NeedBytes((*need.ranges, *ahead)) from None
    key = bytes(body), file.order, file.big, offset
    directory = _directories.get(key)
    if directory is None:
        directory = _directory(*key)
        if len(body) <= _MOST_SHARED_BYTES:
            _directories.add(key, directory)
    return Ifd(file, directory, directory.fields)


_directories: SharedValues[tuple[bytes, Literal["<", ">"], bool, int], Directory] = SharedValues()


def _directory(body: bytes, order: Literal["<", ">"], big: bool, offset: int) -> Directory:
    """Read the bytes of a directory behind its number of tags; `offset` is that of the number."""
    count_size, entry_size, inline = (8, 20, 8) if big else (2, 12, 4)
    fields: dict[int, Field] = {}
    end = 0
    layout: list[object] = [order]
    apart: list[ByteRange] = []
    entries = struct.iter_unpack(order + ("HHQQ" if big else "HHII"), body[:-inline])
    where = offset + count_size - inline
    for tag, code, items, value in entries:
        where += entry_size
        if tag not in tags.TAG_NAMES or tag in fields:
            continue
        size = _SIZES.get(code, inline + 1)
        if items * size > inline:
            fields[tag] = Field(code, items, value)
            end = max(end, value + items * size if code in _SIZES else sys.maxsize)
            layout.append((tag, code, items))
            if tag not in _OF_ONE_FILE:
                apart.append(ByteRange(value, items * size))
            continue
        # A value shorter than its place is written at the front: the low end of a little-endian word.
        shift = 0 if order == "<" else 8 * (inline - size)
        single = value >> shift & _MASKS[code] if items == 1 and code in _MASKS else None
        fields[tag] = Field(code, items, where, single)
        layout.append((tag, code, items, None if tag in _OF_ONE_FILE else value))
    (next_offset,) = struct.unpack(order + ("Q" if big else "I"), body[-inline:])
    return Directory(offset, fields, next_offset, end, tuple(layout), tuple(apart))


def _printable(data: bytes) -> str:
    text = data.decode("ascii", "replace")
    return repr(text) if text.isprintable() else data.hex(" ")
