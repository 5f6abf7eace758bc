"""Reads the headers of many files concurrently: one request for a normal COG, more only where bytes are missing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rasteret_sql.errors import CorruptTiffError, RasteretError
from rasteret_sql.index.format.band_encode import BandRecord
from rasteret_sql.index.read.sidecar_files import Siblings, with_sidecars
from rasteret_sql.io.addresses import is_local
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.fetch import fetch, fetch_prefix, fetch_starts, safe_address
from rasteret_sql.receipt import current_receipt
from rasteret_sql.scenes.scene import SceneItem
from rasteret_sql.tiff.header import BandHeader, Header
from rasteret_sql.tiff.parse import HEADER_PREFETCH, NeedBytes, SparseBytes, parse_header

_MOST_ROUNDS = 300
"""Each round follows at least one more image directory, of which a file may have 256."""
_TOGETHER = 16
"""Files of this machine that are read one after the other, at most: a thread for each costs as much as parsing it."""
_SIDE_BY_SIDE = 8
"""Where there are so few files, they are read side by side instead."""


@dataclass(frozen=True, slots=True, eq=False)
class FileHeader:
    """The header of one file, as it was read."""

    header: Header
    facts: FileFacts
    """Size, ETag and time, as the store said."""
    notes: tuple[str, ...] = ()
    """Files beside it that do not count because they cannot be understood, and why."""

    def record(self, band: BandHeader) -> BandRecord:
        """The record that the index keeps of one of its bands."""
        return BandRecord(band, self.header.count, self.facts.size, self.facts.etag, self.facts.modified)


async def read_header(
    address: str,
    backend: StorageBackend,
    siblings: Siblings | None = None,
    start: tuple[bytes, FileFacts] | None = None,
) -> FileHeader:
    """Read and parse the header of one file, and what files beside it say.

    Args:
        address: Of the file.
        backend: How bytes are read.
        siblings: Knows which files lie beside it, and what it has listed for others; None: it lists anew.
        start: Its first bytes, where they have been read.

    Raises:
        StorageError: The bytes cannot be fetched.
        TiffError: They are no TIFF that can be read, or the mask beside it is none.
    """
    header, facts = await _read_tiff(address, backend, start)
    beside = await (siblings or Siblings()).of(address)
    if not beside:
        return FileHeader(header, facts)
    whole, notes = await with_sidecars(header, beside, backend, _read_tiff)
    return FileHeader(whole, facts, notes)


async def _read_tiff(
    address: str, backend: StorageBackend, start: tuple[bytes, FileFacts] | None = None
) -> tuple[Header, FileFacts]:
    """Header of one TIFF by itself."""
    data, facts = start or await fetch_prefix(backend, address, HEADER_PREFETCH)
    chunks = SparseBytes(data, facts.size)
    shown, receipt = safe_address(address), current_receipt()
    for _ in range(_MOST_ROUNDS):
        try:
            with receipt.decode:
                return parse_header(chunks, shown), facts
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
    sidecars: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, FileHeader | RasteretError]:
    """Read the headers of files, each address once.

    Args:
        addresses: Of the files, in any order, with repetitions.
        backend: How bytes are read.
        max_concurrent: Files that are read at a time.
        on_done: Told each address with what came of it, on the I/O loop's thread.
        sidecars: Address → suffixes of files beside it, where an item names them; those of local files are found.

    Returns:
        For each address its header, or the error that says why there is none.
    """
    out: dict[str, FileHeader | RasteretError] = {}
    siblings = Siblings(sidecars or {})
    waiting = iter(_together(dict.fromkeys(addresses)))

    async def work() -> None:
        for some in waiting:
            starts = await fetch_starts(backend, some, HEADER_PREFETCH) if len(some) > 1 else {}
            for address in some:
                try:
                    out[address] = await read_header(address, backend, siblings, starts.pop(address, None))
                except RasteretError as error:
                    out[address] = error
                if on_done is not None:
                    on_done(address, out[address])

    async with asyncio.TaskGroup() as group:
        for _ in range(max_concurrent):
            group.create_task(work())
    return out


def _together(addresses: Collection[str]) -> list[tuple[str, ...]]:
    """Addresses of which one worker reads one tuple after the other: some local files, or one that is elsewhere."""
    local = [address for address in addresses if is_local(address)]
    others = [address for address in addresses if not is_local(address)]
    some = max(1, min(_TOGETHER, len(local) // _SIDE_BY_SIDE))
    runs = [tuple(local[at : at + some]) for at in range(0, len(local), some)]
    return [*runs, *((address,) for address in others)]


def named_sidecars(scenes: Iterable[SceneItem]) -> dict[str, tuple[str, ...]]:
    """Address → suffixes of the files beside it that an item names."""
    return {asset.href: asset.sidecars for scene in scenes for asset in scene.bands.values() if asset.sidecars}
