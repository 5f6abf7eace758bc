"""Headers of files that were changed since they were indexed, as a session read them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from rasteret_sql.errors import FileChangedError, InterruptedQueryError, RasteretError
from rasteret_sql.index.found import BandSource, Found
from rasteret_sql.index.headers import FileHeader, read_headers
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.loop import run

_KEPT_FILES = 4096
_MAX_CONCURRENT = 50
_POLL_SECONDS = 0.05

Known = FileFacts | None
Key = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class ReadAgain:
    """What came of reading headers again, by address."""

    headers: Mapping[str, FileHeader | RasteretError]
    """The header that a file has now, or why there is none."""
    new: frozenset[str]
    """Files that were read just now; of the others another call has done so, and dealt with it."""


class FreshHeaders:
    """What stands in place of a file's indexed header, for this session: by address and what was known of the file."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, Known], FileHeader] = OrderedDict()
        self._reading = threading.Lock()

    def read(
        self, sources: Iterable[BandSource], backend: StorageBackend, cancelled: Callable[[], bool] | None
    ) -> ReadAgain:
        """Read the headers of changed files, each once however many calls want it at a time.

        Args:
            sources: As they are known to the call.
            backend: How bytes are read.
            cancelled: Polled; stops the reading.
        """
        known = {source.address: source.facts for source in sources}
        with self._alone(cancelled):
            there = {address: fresh for address in known if (fresh := self._kept.get((address, known[address])))}
            missing = known.keys() - there.keys()
            found = run(read_headers(missing, backend, _MAX_CONCURRENT), cancelled)
            for address, header in found.items():
                if isinstance(header, FileHeader) and header.facts != known[address]:
                    self._keep(address, known[address], header)
        return ReadAgain({**there, **found}, frozenset(missing))

    def applied(self, found: Mapping[Key, Found]) -> Mapping[Key, Found | FileChangedError]:
        """The same bands with the headers that their files have now; an error for one that its file has no more."""
        if not self._kept:
            return found
        return {key: self._now(one) if isinstance(one, BandSource) else one for key, one in found.items()}

    def _keep(self, address: str, before: Known, header: FileHeader) -> None:
        self._kept.pop((address, header.facts), None)  # it is again what it was once
        self._kept[address, before] = header
        while len(self._kept) > _KEPT_FILES:
            self._kept.popitem(last=False)

    def _now(self, source: BandSource) -> BandSource | FileChangedError:
        while fresh := self._kept.get((source.address, source.facts)):
            now = _with_header(source, fresh)
            if isinstance(now, FileChangedError):
                return now
            source = now
        return source

    @contextmanager
    def _alone(self, cancelled: Callable[[], bool] | None) -> Iterator[None]:
        while not self._reading.acquire(timeout=_POLL_SECONDS):
            if cancelled is not None and cancelled():
                raise InterruptedQueryError("the query was interrupted while headers of changed files were read again")
        try:
            yield
        finally:
            self._reading.release()


def _with_header(source: BandSource, fresh: FileHeader) -> BandSource | FileChangedError:
    """A band as its file has it now, or why there is none."""
    sample = source.band_index
    if sample >= fresh.header.count:
        return FileChangedError(
            f'scene "{source.scene_id}", band {source.band}: {safe_address(source.address)} was changed since it was '
            f"indexed: it has {fresh.header.count} bands now, and no band_index {sample}"
        )
    header = fresh.header.band(sample)
    # A file that does not say its CRS has the one that its scene says.
    return replace(source, header=header if header.crs else replace(header, crs=source.header.crs), facts=fresh.facts)
