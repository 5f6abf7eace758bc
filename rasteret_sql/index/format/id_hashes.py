"""Finds the header row of a scene by the hash of its id: one among millions takes a few reads.

A file is a magic, the number of entries, the hashes in order, and the place of each: number of the header file in the
high 32 bits, its row in the low ones. All numbers are little-endian and 64 bits wide, so that a file is mapped into
memory as it is.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import IndexFormatError

_MAGIC = b"RSQLIDS1"
_HEAD = struct.Struct("<8sQ")
_ROW_BITS = 32

Words = npt.NDArray[np.uint64]


def hash_ids(ids: Iterable[str]) -> Words:
    """BLAKE2b of each id's UTF-8, 8 bytes, as a little-endian number."""
    blake = hashlib.blake2b
    digests = b"".join([blake(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in ids])
    return np.frombuffer(digests, "<u8").astype(np.uint64, copy=False)


def places(file: int, start: int, rows: int) -> Words:
    """Places of consecutive rows of a header file."""
    return np.arange(start, start + rows, dtype=np.uint64) | np.uint64(file << _ROW_BITS)


def split_place(place: int) -> tuple[int, int]:
    """(number of the header file, row in it)."""
    return place >> _ROW_BITS, place & (1 << _ROW_BITS) - 1


def write_ids(path: Path, hashes: Words, where: Words) -> None:
    """Write one file; entries come in any order."""
    order = np.argsort(hashes, kind="stable")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(_HEAD.pack(_MAGIC, len(hashes)))
        for values in (hashes, where):
            np.take(values, order).astype("<u8", copy=False).tofile(file)


class IdFile:
    """One file, mapped into memory.

    Raises:
        IndexFormatError: It is no such file, is cut short, or is not there.
    """

    def __init__(self, path: Path) -> None:
        try:
            # All from one open file: another may be put in its place meanwhile.
            with path.open("rb") as file:
                head, size = file.read(_HEAD.size), os.fstat(file.fileno()).st_size
                magic, count = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", 0)
                if magic != _MAGIC or size != _HEAD.size + 16 * count:
                    msg = f"{path} is damaged; build the collection again with force"
                    raise IndexFormatError(msg)
                words = np.memmap(file, "<u8", "r", _HEAD.size, (2 * count,)) if count else np.zeros(0, np.uint64)
        except FileNotFoundError:
            msg = f"{path} is missing; build the collection again with force"
            raise IndexFormatError(msg) from None
        self._count = count
        self._hashes, self._places = words[:count], words[count:]

    def __len__(self) -> int:
        return int(self._count)

    def find(self, hashes: Words) -> list[list[int]]:
        """Places of each hash, more than one where ids share it, empty where none has it."""
        starts = np.searchsorted(self._hashes, hashes, "left").tolist()
        ends = np.searchsorted(self._hashes, hashes, "right").tolist()
        return [self._places[start:end].tolist() for start, end in zip(starts, ends, strict=True)]


def find_places(files: Sequence[IdFile], ids: Sequence[str]) -> list[list[list[int]]]:
    """Places where the header of each id may be, by file, newest first: hashes may agree, the row says whose it is."""
    hashes = hash_ids(ids)
    found: list[list[list[int]]] = [[] for _ in ids]
    for file in reversed(files):
        for where, more in zip(found, file.find(hashes), strict=True):
            if more:
                where.append(more)
    return found
