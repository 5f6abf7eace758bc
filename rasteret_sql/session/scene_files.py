"""`SceneFiles`: gives the bands of files that are scenes by their path or address, without a collection."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rasteret_sql.errors import FileChangedError, RasteretError
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.index.read.file_headers import FileHeader, read_headers
from rasteret_sql.io.addresses import is_local, safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT
from rasteret_sql.io.signed_addresses import PlainAddresses
from rasteret_sql.reading.band_names import BandNames
from rasteret_sql.reading.context import Found, SceneBands
from rasteret_sql.reading.scene_bands import sources_of

_KEPT_FILES = 4096
_ENDINGS = (".tif", ".tiff")
Now = Callable[[BandSource], BandSource | FileChangedError]


def is_file(scene_id: str) -> bool:
    """True for an id that may be the path or address of a GeoTIFF: it has a slash, or ends in .tif or .tiff."""
    return "/" in scene_id or has_ending(scene_id)


def has_ending(scene_id: str) -> bool:
    """True for an id that ends in .tif or .tiff."""
    return scene_id.lower().endswith(_ENDINGS)


def shown_address(scene_id: str) -> str:
    """The address of a file for messages: a path is one of the directory where the process is now."""
    return safe_address(_address(scene_id))


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """The header of a file."""

    header: FileHeader
    stamp: object
    """Size and time of a local file when its header was read; None for others."""
    backend: StorageBackend | None
    """Who read it; held, so that no other one gets its identity."""


class SceneFiles:
    """Headers of files by their address, each read once; those of local files again where they were written anew."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int], _Known] = OrderedDict()
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def knows(self, scene_id: str, backend: StorageBackend | None) -> bool:
        """True where the header of that file is at hand."""
        return is_file(scene_id) and self._kept(_address(scene_id), backend) is not None

    def sources(
        self, requests: Sequence[SceneBands], backend: StorageBackend | None, now: Now
    ) -> dict[SceneBands, Found]:
        """The bands of files, or the error that says why there are none.

        Args:
            requests: (path or address, bands).
            backend: Who reads the files; None: the process, as any file.
            now: Gives a band with the header that its file has now.
        """
        addresses = {scene_id: _address(scene_id) for scene_id, _ in requests}
        with self._reading:  # what another call reads just now is there afterwards
            headers: dict[str, FileHeader | RasteretError] = {}
            for address in addresses.values():
                known = self._kept(address, backend)
                if known is not None:
                    headers[address] = known.header
            missing = {address: _stamp(address) for address in addresses.values() if address not in headers}
            if missing:
                headers |= run(read_headers(missing, backend or default_backend(), DEFAULT_MAX_CONCURRENT))
                self._keep({address: headers[address] for address in missing}, missing, backend)
        return {
            request: _bands_of(request, headers[addresses[request[0]]], addresses, backend, now) for request in requests
        }

    def _kept(self, address: str, backend: StorageBackend | None) -> _Known | None:
        with self._lock:
            known = self._known.get((address, id(backend)))
        return known if known is not None and known.stamp == _stamp(address) else None

    def _keep(
        self,
        headers: dict[str, FileHeader | RasteretError],
        stamps: dict[str, object],
        backend: StorageBackend | None,
    ) -> None:
        with self._lock:
            for address, header in headers.items():
                if isinstance(header, FileHeader):
                    self._known[address, id(backend)] = _Known(header, stamps[address], backend)
                    self._known.move_to_end((address, id(backend)))
            while len(self._known) > _KEPT_FILES:
                self._known.popitem(last=False)


def _bands_of(
    request: SceneBands,
    found: FileHeader | RasteretError,
    addresses: dict[str, str],
    backend: StorageBackend | None,
    now: Now,
) -> Found:
    scene_id, bands = request
    if isinstance(found, RasteretError):
        return found
    names = band_names(found)
    shown = safe_address(scene_id)
    known = BandNames(names, f'the file "{shown}"')
    try:
        meant = [known.meant(band) for band in bands]
        of_file = {name: names.index(name) for one in meant for name in one.bands}
        there = {
            name: now(
                BandSource(shown, name, addresses[scene_id], found.header.band(sample), found.facts, sample, backend)
            )
            for name, sample in of_file.items()
        }
        return sources_of(scene_id, meant, there, known.where)
    except RasteretError as error:
        return error


def band_names(found: FileHeader) -> list[str]:
    """Names of the bands of a file: its descriptions where each has one of its own, else band_1, band_2 and so on."""
    said = [text for text in found.header.descriptions if text]
    if len({text.casefold() for text in said}) == found.header.count:
        return said
    return [f"band_{number}" for number in range(1, found.header.count + 1)]


def _address(scene_id: str) -> str:
    """The plain address of a file; a path is one of the directory where the process is now."""
    return os.path.abspath(scene_id) if _is_path(scene_id) else PlainAddresses()(scene_id)  # noqa: PTH100 - no links


def _is_path(address: str) -> bool:
    return is_local(address) and address[:5].lower() != "file:"


def _stamp(address: str) -> object:
    """Size and time of a local file; None for one elsewhere, or that is not there."""
    if not _is_path(address):
        return None
    try:
        status = os.stat(address)  # noqa: PTH116
    except (OSError, ValueError):  # a NUL, which no name has
        return None
    return status.st_size, status.st_mtime_ns
