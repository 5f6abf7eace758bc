"""Merges neighbouring byte ranges of one file into one request; has `ByteRange`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

# Measured with tests/benchmarks (30 ms latency, with and without a cap on each connection's bandwidth): small gaps
# waste few bytes, and requests of at most 1 MiB keep several connections busy where one has a bandwidth cap.
GAP = 64 * 1024
"""Unneeded bytes that are read rather than asked around."""
MAX_REQUEST = 1024 * 1024
"""A request grows no further than this by merging; one tile may be larger."""


class ByteRange(NamedTuple):
    """A part of a file: `length` bytes from `offset`."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """First byte after the range."""
        return self.offset + self.length


class MergedRange(NamedTuple):
    """One request and the wanted ranges inside it."""

    span: ByteRange
    parts: tuple[ByteRange, ...]


def merge_ranges(ranges: Iterable[ByteRange], gap: int = GAP, max_request: int = MAX_REQUEST) -> list[MergedRange]:
    """Merge the ranges of one file into requests, in file order.

    Two ranges share a request when at most `gap` bytes lie between them and the request stays within `max_request`.
    Ranges that overlap always do, so that no byte is asked twice.

    Args:
        ranges: distinct ranges in any order.
        gap: bytes.
        max_request: bytes.
    """
    merged: list[MergedRange] = []
    parts: list[ByteRange] = []
    start = end = 0
    for part in sorted(ranges):
        joined = max(end, part.end)
        if parts and (part.offset < end or (part.offset - end <= gap and joined - start <= max_request)):
            parts.append(part)
            end = joined
            continue
        if parts:
            merged.append(MergedRange(ByteRange(start, end - start), tuple(parts)))
        parts, start, end = [part], part.offset, part.end
    if parts:
        merged.append(MergedRange(ByteRange(start, end - start), tuple(parts)))
    return merged
