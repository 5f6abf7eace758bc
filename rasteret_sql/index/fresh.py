"""Headers of files that were changed since they were indexed, as a session read them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from rasteret_sql.errors import FileChangedError, RasteretError
from rasteret_sql.index.found import BandSource, Found
from rasteret_sql.index.headers import FileHeader, read_headers
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.loop import run

_KEPT_FILES = 4096
_MAX_CONCURRENT = 50

Key = tuple[str, str]
"""Scene id and band."""
Known = FileFacts | None


class FreshHeaders:
    """What stands in place of a file's indexed header, for this session: by address and what was indexed of it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, Known], FileHeader | RasteretError] = OrderedDict()
        self._lock = threading.Lock()

    def read(
        self, sources: Iterable[BandSource], backend: StorageBackend, cancelled: Callable[[], bool] | None
    ) -> dict[str, FileHeader | RasteretError]:
        """Read the headers of files again.

        Args:
            sources: As they are known now.
            backend: How bytes are read.
            cancelled: Polled; stops the reading.

        Returns:
            Address → new header, or why there is none, of the files that are not those that are known.
        """
        known = {source.address: source.facts for source in sources}
        found = run(read_headers(known, backend, _MAX_CONCURRENT), cancelled)
        changed: dict[str, FileHeader | RasteretError] = {}
        for address, header in found.items():
            before = known[address]
            if isinstance(header, FileHeader) and before is not None and not header.facts.change_from(before):
                continue
            changed[address] = header
        with self._lock:
            for address, header in changed.items():
                if isinstance(header, FileHeader):
                    self._kept.pop((address, header.facts), None)  # it is again what it was once
                self._kept[address, known[address]] = header
            while len(self._kept) > _KEPT_FILES:
                self._kept.popitem(last=False)
        return changed

    def applied(self, found: Mapping[Key, Found]) -> Mapping[Key, Found | FileChangedError]:
        """The same bands with the headers that their files have now; an error for one that its file has no more."""
        if not self._kept:
            return found
        return {key: self._now(one) if isinstance(one, BandSource) else one for key, one in found.items()}

    def _now(self, source: BandSource) -> BandSource | FileChangedError:
        while True:
            fresh = self._kept.get((source.address, source.facts))
            if fresh is None:
                return source
            now = _with_header(source, fresh)
            if isinstance(now, FileChangedError):
                return now
            source = now


def _with_header(source: BandSource, fresh: FileHeader | RasteretError) -> BandSource | FileChangedError:
    """A band as its file has it now, or why there is none."""
    where = f'scene "{source.scene_id}", band {source.band}: {safe_address(source.address)} was changed'
    if isinstance(fresh, RasteretError):
        return FileChangedError(f"{where} since it was indexed, and cannot be read now: {fresh}")
    sample = source.band_index
    if sample >= fresh.header.count:
        return FileChangedError(
            f"{where} since it was indexed: it has {fresh.header.count} bands, and no band {sample}"
        )
    header = fresh.header.band(sample)
    # A file that does not say its CRS has the one that its scene says.
    return replace(source, header=header if header.crs else replace(header, crs=source.header.crs), facts=fresh.facts)
