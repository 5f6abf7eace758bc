"""Packs tile tables, the offsets and byte counts of all tiles of a file, exactly and into little space.

Writers lay tiles one after another with the same few bytes between them, so offsets follow from the byte counts, and
only what departs from that is kept. Where tiles lie in another order than they are numbered, the order is kept as a
permutation, and offsets follow from the byte counts in that order. Byte counts are cut into planes of bytes: low bytes
are noise, which no compression makes smaller, and high ones are alike, which compresses well, so the two are apart:
mixed in one stream each would spoil the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_LEHMER_ENTRIES = 2048
"""Most entries of a permutation that is kept as a Lehmer code, whose cost grows with the square."""
_EXCEPTION_BYTES = 6
"""About what one exception takes."""
_PLANES, _LISTED = 0, 1
_IN_ORDER, _PERMUTED = 0, 1


@dataclass(frozen=True, slots=True)
class PackedTables:
    """The two streams of a file's tile tables; each compresses best among its own kind."""

    head: bytes
    """Tells how to read the rest; the exceptions, and the high bytes of the byte counts."""
    tables: bytes
    """Low bytes, and the order of the tiles: noise."""


def pack_tables(offsets: Words, counts: Words) -> PackedTables:
    """Give the bytes of two tables of equal length; `unpack_tables` gives back equal ones, whatever they hold."""
    number = len(offsets)
    plain = _Steps(offsets, counts)
    best, order = plain, None
    if plain.cost > number // 2:
        by_place = np.argsort(offsets, kind="stable")
        sorted_ = _Steps(offsets[by_place], counts[by_place])
        if sorted_.cost + _order_bytes(number) < plain.cost:
            best, order = sorted_, by_place
    width = _width(counts)
    head = bytearray([_IN_ORDER if order is None else _PERMUTED, width])
    _put(head, best.first)
    best.put(head)
    planes = _planes(counts, width)
    tables = b"".join([*planes[:-1], best.planes, b"" if order is None else _pack_order(order)])
    return PackedTables(bytes(head) + (planes[-1] if planes else b""), tables)


def unpack_tables(head: bytes, tables: bytes, number: int) -> tuple[Words, Words]:
    """Give offsets and byte counts.

    Args:
        head: As packed.
        tables: As packed.
        number: How many entries there are.

    Raises:
        ValueError: The bytes are damaged.
    """
    kind, width = head[0], head[1]
    if kind not in (_IN_ORDER, _PERMUTED) or width > 8:
        msg = "a tile table of a kind that is not known"
        raise ValueError(msg)
    numbers = _Numbers(head, 2)
    first = next(numbers)
    steps, tables_at = _read_steps(numbers, number, tables, max(width - 1, 0) * number)
    top = head[numbers.at : numbers.at + number] if width else b""
    if numbers.at + len(top) != len(head) or len(top) != (number if width else 0):
        msg = f"{len(head)} bytes of a tile table's head where {numbers.at + len(top)} were expected"
        raise ValueError(msg)
    counts = _join([tables[plane * number : (plane + 1) * number] for plane in range(width - 1)] + [top] * (width > 0))
    counts = counts if width else np.zeros(number, np.uint64)
    order, tables_at = _unpack_order(tables, tables_at, number) if kind == _PERMUTED else (None, tables_at)
    if tables_at != len(tables):
        msg = f"{len(tables)} bytes of tile tables where {tables_at} were expected"
        raise ValueError(msg)
    # All arithmetic wraps at 2^64, so that any numbers come back.
    walk = steps.view(np.uint64)
    lengths = counts if order is None else counts[order]
    if number:
        walk[0] = np.uint64(first)
        walk[1:] += lengths[:-1]
    places = np.cumsum(walk, dtype=np.uint64)
    if order is None:
        return places, counts
    offsets = np.empty(number, np.uint64)
    offsets[order] = places
    return offsets, counts


class _Steps:
    """From the end of each entry to the start of the next: mostly one number, and what departs from it."""

    def __init__(self, offsets: Words, counts: Words) -> None:
        self.first = int(offsets[0]) if len(offsets) else 0
        gaps = (offsets[1:] - offsets[:-1] - counts[:-1]).view(np.int64)
        # The median is the common gap wherever one is common, and costs least where none is.
        self._base = int(np.partition(gaps, len(gaps) // 2)[len(gaps) // 2]) if len(gaps) else 0
        spread = gaps - np.int64(self._base)
        self._odd = np.flatnonzero(spread)
        if not len(self._odd):  # as writers lay tiles
            self._listed, self.planes, self.cost = True, b"", 0
            return
        self._zigzag = ((spread << 1) ^ (spread >> 63)).view(np.uint64)
        self._width = _width(self._zigzag)
        self._listed = len(self._odd) * _EXCEPTION_BYTES <= self._width * len(offsets)
        self.planes = b"" if self._listed else b"".join(_planes(np.append(self._zigzag, np.uint64(0)), self._width))
        self.cost = len(self._odd) * _EXCEPTION_BYTES if self._listed else len(self.planes)

    def put(self, head: bytearray) -> None:
        _put(head, _fold(self._base))
        if not self._listed:
            head += bytes([_PLANES, self._width])
            return
        head.append(_LISTED)
        _put(head, len(self._odd))
        before = 0
        for at in self._odd.tolist():
            _put(head, at - before)
            _put(head, int(self._zigzag[at]))
            before = at


def _read_steps(numbers: _Numbers, number: int, tables: bytes, start: int) -> tuple[npt.NDArray[np.int64], int]:
    """The step onto each entry (that onto the first means nothing), and where the tables go on."""
    base = _unfold(next(numbers))
    steps = np.full(number, base, np.int64)
    kind = numbers.byte()
    if kind == _PLANES:
        width = numbers.byte()
        zigzag = _join([tables[start + plane * number : start + (plane + 1) * number] for plane in range(width)])
        if number:
            steps[1:] += ((zigzag >> np.uint64(1)) ^ (np.uint64(0) - (zigzag & np.uint64(1)))).view(np.int64)[:-1]
        return steps, start + width * number
    if kind != _LISTED:
        msg = "steps of a kind that is not known"
        raise ValueError(msg)
    at = 0
    for _ in range(next(numbers)):
        at += next(numbers)
        folded = next(numbers)
        if at + 1 >= number:
            msg = "an exception beyond the end of its table"
            raise ValueError(msg)
        step = (base + _unfold(folded) + 2**63) % 2**64 - 2**63
        steps[at + 1] = step
    return steps, start


class _Numbers:
    """Reads variable-length integers one after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = at

    def __iter__(self) -> Iterator[int]:
        return self

    def byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def __next__(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value


def _put(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _fold(value: int) -> int:
    """Signed → unsigned, small where the value is near 0."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def _unfold(value: int) -> int:
    return value >> 1 if value & 1 == 0 else -((value + 1) >> 1)


def _width(values: Words) -> int:
    """Bytes that the largest value needs; 0 where all are 0."""
    return (int(values.max()).bit_length() + 7) // 8 if len(values) else 0


def _planes(values: Words, width: int) -> list[bytes]:
    """The `width` low bytes of all values: all first bytes, all second ones, ..."""
    wide = values.astype("<u8", copy=False).view(np.uint8).reshape(-1, 8)
    return [wide[:, plane].tobytes() for plane in range(width)]


def _join(planes: list[bytes]) -> Words:
    """Values of their planes."""
    number = len(planes[0]) if planes else 0
    wide = np.zeros((number, 8), np.uint8)
    for place, plane in enumerate(planes):
        wide[:, place] = np.frombuffer(plane, np.uint8)
    return wide.view("<u8").reshape(-1).astype(np.uint64, copy=False)


@lru_cache(maxsize=64)
def _order_bytes(number: int) -> int:
    if number > _LEHMER_ENTRIES:
        return (number * (number - 1).bit_length() + 7) // 8
    return ((math.factorial(number) - 1).bit_length() + 7) // 8


def _pack_order(order: npt.NDArray[np.intp]) -> bytes:
    """The number of a permutation among all, or, where that would be too much work, its entries as they are."""
    number = len(order)
    if number > _LEHMER_ENTRIES:
        bits = (order[:, None] >> np.arange((number - 1).bit_length())) & 1
        return np.packbits(bits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()
    # How many of the entries that are still free come before the one that is taken.
    digits = np.triu(order[None, :] < order[:, None], 1).sum(axis=1)
    value = 0
    for free, digit in zip(range(number, 0, -1), digits.tolist(), strict=True):
        value = value * free + digit
    return value.to_bytes(_order_bytes(number), "little")


def _unpack_order(tables: bytes, start: int, number: int) -> tuple[npt.NDArray[np.intp], int]:
    end = start + _order_bytes(number)
    if len(tables) < end:
        msg = f"{len(tables)} bytes of tile tables where {end} were expected"
        raise ValueError(msg)
    if number > _LEHMER_ENTRIES:
        width = (number - 1).bit_length()
        bits = np.unpackbits(np.frombuffer(tables[start:end], np.uint8), bitorder="little")
        return (bits[: number * width].reshape(number, width) @ (1 << np.arange(width))).astype(np.intp), end
    value = int.from_bytes(tables[start:end], "little")
    digits = []
    for free in range(1, number + 1):
        value, digit = divmod(value, free)
        digits.append(digit)
    if value:
        msg = "a permutation beyond the last"
        raise ValueError(msg)
    left = list(range(number))
    return np.array([left.pop(digit) for digit in reversed(digits)], np.intp), end
