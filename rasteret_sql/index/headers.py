"""Headers of many files, read concurrently: one request for a normal COG, more only where bytes are missing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rasteret_sql.errors import CorruptTiffError, RasteretError
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.fetch import fetch, fetch_prefix, safe_address
from rasteret_sql.tiff.header import Header
from rasteret_sql.tiff.parse import HEADER_PREFETCH, NeedBytes, SparseBytes, parse_header

_MOST_ROUNDS = 300
"""Each round follows at least one more image directory, of which a file may have 256."""


@dataclass(frozen=True, slots=True, eq=False)
class FileHeader:
    """What was read of one file."""

    header: Header
    facts: FileFacts
    """What the store said of it."""


async def read_header(address: str, backend: StorageBackend) -> FileHeader:
    """Read and parse the header of one file.

    Raises:
        StorageError: The bytes cannot be fetched.
        TiffError: They are no TIFF that can be read.
    """
    data, facts = await fetch_prefix(backend, address, HEADER_PREFETCH)
    chunks = SparseBytes(data, facts.size)
    shown = safe_address(address)
    for _ in range(_MOST_ROUNDS):
        try:
            return FileHeader(parse_header(chunks, shown), facts)
        except NeedBytes as need:
            ranges = need.ranges
        parts = await asyncio.gather(*(fetch(backend, address, part, expected=facts) for part in ranges))
        for part, more in zip(ranges, parts, strict=True):
            chunks.add(part.offset, more)
    msg = f"{shown}: the TIFF header is in more than {_MOST_ROUNDS} places; rewrite the file as a COG"
    raise CorruptTiffError(msg)


async def read_headers(
    addresses: Iterable[str],
    backend: StorageBackend,
    max_concurrent: int,
    on_done: Callable[[str, FileHeader | RasteretError], None] | None = None,
) -> dict[str, FileHeader | RasteretError]:
    """Read the headers of files, each address once.

    Args:
        addresses: Of the files, in any order, with repetitions.
        backend: How bytes are read.
        max_concurrent: Files that are read at a time.
        on_done: Told each address with what came of it, on the I/O loop's thread.

    Returns:
        For each address its header, or the error that says why there is none.
    """
    out: dict[str, FileHeader | RasteretError] = {}
    waiting = iter(dict.fromkeys(addresses))

    async def work() -> None:
        for address in waiting:
            try:
                out[address] = await read_header(address, backend)
            except RasteretError as error:
                out[address] = error
            if on_done is not None:
                on_done(address, out[address])

    async with asyncio.TaskGroup() as group:
        for _ in range(max_concurrent):
            group.create_task(work())
    return out
