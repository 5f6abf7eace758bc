"""Reads what the system has in memory of files of this machine in the thread that decodes it, which waits for none."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from rasteret_sql.byte_ranges import ByteRange, MergedRange
from rasteret_sql.engine.call import Wanted
from rasteret_sql.errors import FileChangedError
from rasteret_sql.io.routed_backend import RoutedBackend, default_backend
from rasteret_sql.scratch import Scratch

Request = tuple[MergedRange, dict[ByteRange, Wanted]]
"""A range to ask for, and the tiles of its file by their own."""
TILES_A_TURN = 8
"""Tiles that are decoded before another call has its turn."""
_BYTES_A_TURN = 256 * 1024
"""Bytes that are read for them, if they are several: those that were read are still in the processor's cache."""
_MISSES = 2
"""Pieces in a row that are not in memory, from which on none is looked for."""
_body = Scratch()


class Piece(NamedTuple):
    """Tiles of a request that are read and decoded in one turn."""

    tiles: list[Wanted]
    span: ByteRange
    nbytes: int
    """Of its request: up to where the next piece begins."""
    uncounted: list[bool]
    """Of all pieces of the request; empty once one of them has been read, and the request been counted."""


class Pieces:
    """Those of some requests, which several threads take one by one."""

    def __init__(self, requests: Iterable[Request]) -> None:
        self._left = deque(piece for request in requests for piece in pieces_of(request))
        self._misses = 0
        """Pieces in a row that were not at hand."""

    def __len__(self) -> int:
        return len(self._left)

    def take(self) -> Piece | None:
        """The next one; None where there is none."""
        try:
            return self._left.popleft()
        except IndexError:
            return None

    def take_all(self) -> list[Wanted]:
        """The tiles of all that are left."""
        found: list[Wanted] = []
        while (piece := self.take()) is not None:
            found += piece.tiles
        return found

    def hit(self) -> None:
        """Take note that one was at hand."""
        self._misses = 0

    def missed(self, piece: Piece) -> list[Wanted]:
        """The tiles to get in another way because one was not at hand: of all, where it probably is not alone."""
        self._misses += 1
        return piece.tiles if self._misses < _MISSES else piece.tiles + self.take_all()


def is_local(request: Request) -> bool:
    """True for a request for a file of this machine, which is read without a backend of the user's."""
    first = next(iter(request[1].values()))
    backend = first.backend or default_backend()
    return type(backend) is RoutedBackend and backend.is_local(first.key.address)


def pieces_of(request: Request) -> Iterator[Piece]:
    """Cut a request for a file of this machine."""
    (span, ranges), wanted = request
    uncounted = [True]

    def piece(some: list[ByteRange], until: int) -> Piece:
        start, end = some[0].offset, max(part.end for part in some)
        return Piece([wanted[part] for part in some], ByteRange(start, end - start), until - start, uncounted)

    some = list(ranges[:1])
    for part in ranges[1:]:
        if len(some) == TILES_A_TURN or part.end - some[0].offset > _BYTES_A_TURN:
            yield piece(some, part.offset)
            some = []
        some.append(part)
    yield piece(some, span.end)


def body_of(piece: Piece) -> memoryview | None:
    """The bytes of a piece, until the thread asks for others; None where they are to be fetched like any others."""
    part, span = piece.tiles[0], piece.span
    address, version, receipt = part.key.address, part.version, part.call.receipt
    backend = part.backend or default_backend()
    assert isinstance(backend, RoutedBackend)
    # Without a codec the pixels of a tile are these very bytes.
    own = part.tiles.decodes_into_own_memory
    body = (_body.get(span.length) if own else np.empty(span.length, np.uint8)).data
    with receipt.fetch:
        facts = backend.read_at_hand(address, span.offset, body)
        if facts is None or facts.change_from(version.expected or facts):
            return None
        try:
            version.check()
            version.settle(address, facts)
        except FileChangedError:
            return None
    with suppress(IndexError):  # another piece has counted the request
        piece.uncounted.pop()
        receipt.sent(again=False)
    receipt.received(piece.nbytes)
    return body
