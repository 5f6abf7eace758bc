"""Keeps headers that a session read again because their files were changed after they were indexed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from rasteret_sql.callbacks import POLL_SECONDS, Cancelled
from rasteret_sql.errors import FileChangedError, InterruptedQueryError, RasteretError
from rasteret_sql.index.read.band_source import BandSource, Found
from rasteret_sql.index.read.file_headers import FileHeader, read_headers
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT
from rasteret_sql.tiff.header import BandHeader

_KEPT_FILES = 4096

Known = FileFacts | None
Key = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class ReadAgain:
    """The results of reading headers again, by address."""

    headers: Mapping[str, FileHeader | RasteretError]
    """The header that a file has now, or why there is none."""
    new: frozenset[str]
    """Files that were read just now; of the others another call has done so, and dealt with it."""


class FreshHeaders:
    """Headers that stand in place of the indexed ones, for this session: by address and what was known of the file."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, Known], FileHeader] = OrderedDict()
        self._reading = threading.Lock()

    def read(self, sources: Iterable[BandSource], cancelled: Cancelled | None) -> ReadAgain:
        """Read the headers of changed files, each once however many calls want it at a time.

        Args:
            sources: As they are known to the call, each with who reads it.
            cancelled: Polled; stops the reading.
        """
        sources = list(sources)
        known = {source.address: source.facts for source in sources}
        with self._alone(cancelled):
            there = {address: fresh for address in known if (fresh := self._kept.get((address, known[address])))}
            missing = known.keys() - there.keys()
            found: dict[str, FileHeader | RasteretError] = {}
            for backend, those in _by_backend(source for source in sources if source.address in missing):
                beside = {one.address: [file.suffix for file in one.header.sidecars] for one in those}
                reading = read_headers(beside, backend, DEFAULT_MAX_CONCURRENT, sidecars=beside)
                found |= run(reading, cancelled)
            for address, header in found.items():
                if isinstance(header, FileHeader) and header.facts != known[address]:
                    self._keep(address, known[address], header)
        return ReadAgain({**there, **found}, frozenset(missing))

    def applied(self, found: Mapping[Key, Found]) -> Mapping[Key, Found | FileChangedError]:
        """The same bands with the headers that their files have now; an error for one that its file has no more."""
        if not self._kept:
            return found
        return {key: self.now(one) if isinstance(one, BandSource) else one for key, one in found.items()}

    def _keep(self, address: str, before: Known, header: FileHeader) -> None:
        self._kept.pop((address, header.facts), None)  # it is again what it was once
        self._kept[address, before] = header
        while len(self._kept) > _KEPT_FILES:
            self._kept.popitem(last=False)

    def now(self, source: BandSource) -> BandSource | FileChangedError:
        """A band with the header that its file has now; an error if the file has the band no more."""
        while fresh := self._kept.get((source.address, source.facts)):
            now = _with_header(source, fresh)
            if isinstance(now, FileChangedError):
                return now
            source = now
        return source

    @contextmanager
    def _alone(self, cancelled: Cancelled | None) -> Iterator[None]:
        while not self._reading.acquire(timeout=POLL_SECONDS):
            if cancelled is not None and cancelled():
                raise InterruptedQueryError("the query was interrupted while headers of changed files were read again")
        try:
            yield
        finally:
            self._reading.release()


def _by_backend(sources: Iterable[BandSource]) -> Iterable[tuple[StorageBackend, list[BandSource]]]:
    """Files by who reads them."""
    groups: dict[int, tuple[StorageBackend, list[BandSource]]] = {}
    for source in sources:
        backend = source.backend or default_backend()
        groups.setdefault(id(backend), (backend, []))[1].append(source)
    return groups.values()


def _with_header(source: BandSource, fresh: FileHeader) -> BandSource | FileChangedError:
    """A band as its file has it now, or why there is none."""
    header = band_now(fresh, source.band_index, source.header)
    if isinstance(header, str):
        shown = f"{safe_address(source.address)} was changed since it was indexed: it {header}"
        return FileChangedError(f'scene "{source.scene_id}", band {source.band}: {shown}')
    return replace(source, header=header, facts=fresh.facts)


def band_now(found: FileHeader, sample: int, before: BandHeader | None) -> BandHeader | str:
    """A band of a file that was changed, or what of the file leaves it without one.

    Args:
        found: The file as it is now.
        sample: From 0.
        before: The band as it was. What its item said of it stays: nodata, scale, and CRS and place where the file has
            none.
    """
    if sample >= found.header.count:
        return f"has {found.header.count} bands now, and no band_index {sample}"
    if before is None:
        return found.header.band(sample)
    header = found.header.band(sample, before.item_nodata, before.item)
    same_grid = (header.width, header.height) == (before.width, before.height)
    return replace(
        header,
        crs=header.crs or before.crs,
        transform=header.transform or (before.transform if same_grid and header.gcps is None else None),
    )
