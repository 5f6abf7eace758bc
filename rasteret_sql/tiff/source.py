"""Holds the parts of a file that have arrived, and requests those that have not."""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterable

from rasteret_sql.byte_ranges import ByteRange, merge_ranges

MERGE_GAP = 4096
"""Missing parts that lie this close are asked for as one range: a request costs more than a page of bytes."""


class NeedBytes(Exception):  # noqa: N818  (a signal of the protocol, no error)
    """Parsing needs `ranges` of the file before it can go on: fetch them, `SparseBytes.add` them, parse again."""

    def __init__(self, ranges: Iterable[ByteRange]) -> None:
        merged = merge_ranges(ranges, MERGE_GAP, max_request=sys.maxsize)
        self.ranges = tuple(request.span for request in merged)
        super().__init__(f"{len(self.ranges)} byte ranges of the file are needed: {self.ranges}")


class OutOfFile(Exception):  # noqa: N818  (always turned into a CorruptTiffError that names file and tag)
    """A range was asked for that the file, whose size is known, does not hold."""


class SparseBytes:
    """Known parts of one file, seen as the file.

    Args:
        data: The first bytes of the file, if they are there already.
        size: Length of the file in bytes, None where it is unknown; ranges beyond it are then only found out by the
            caller's fetch.
    """

    __slots__ = ("_data", "_starts", "size")

    def __init__(self, data: bytes | bytearray | memoryview = b"", size: int | None = None) -> None:
        self.size = size
        self._starts: list[int] = []
        self._data: list[memoryview] = []
        if len(data):
            self.add(0, data)

    def add(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Keep `data` as the file's bytes from `offset` on; where parts overlap, both must say the same."""
        at = bisect_right(self._starts, offset)
        self._starts.insert(at, offset)
        self._data.insert(at, memoryview(data).cast("B"))

    @property
    def first(self) -> int:
        """Bytes from the begin of the file on that arrived in one part."""
        return len(self._data[0]) if self._starts and not self._starts[0] else 0

    def missing(self, offset: int, length: int) -> list[ByteRange]:
        """Those parts of a range that have not arrived, in order; empty where all is there.

        Raises:
            OutOfFile: The file is known to be shorter.
        """
        if offset < 0 or length < 0 or (self.size is not None and offset + length > self.size):
            raise OutOfFile(offset, length, self.size)
        gaps: list[ByteRange] = []
        position, end = offset, offset + length
        for start, data in zip(self._starts, self._data, strict=True):
            if start >= end:
                break
            if start > position:
                gaps.append(ByteRange(position, start - position))
            position = max(position, start + len(data))
        if position < end:
            gaps.append(ByteRange(position, end - position))
        return gaps

    def view(self, offset: int, length: int) -> memoryview:
        """The bytes of a range, without a copy where they arrived in one part.

        Raises:
            NeedBytes: Some have not arrived.
            OutOfFile: The file is known to be shorter.
        """
        # The newest start at or before the offset usually holds it all; parts are few.
        for at in range(bisect_right(self._starts, offset) - 1, -1, -1):
            begin = offset - self._starts[at]
            data = self._data[at]
            if begin + length <= len(data):
                return data[begin : begin + length]
        if gaps := self.missing(offset, length):
            raise NeedBytes(gaps)
        joined = bytearray(length)
        for start, data in zip(self._starts, self._data, strict=True):
            low, high = max(offset, start), min(offset + length, start + len(data))
            if low < high:
                joined[low - offset : high - offset] = data[low - start : high - start]
        return memoryview(joined)
