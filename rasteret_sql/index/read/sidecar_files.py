"""Finds and reads the files beside a TIFF: of a local one those in its folder, of others those that an item names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rasteret_sql.errors import MissingObjectError, TiffError
from rasteret_sql.io.addresses import is_local
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.clouds.registry import route
from rasteret_sql.io.fetch import fetch_prefix, safe_address
from rasteret_sql.tiff.header import Header, Sidecar
from rasteret_sql.tiff.sidecars import (
    MASK,
    MASK_OVERVIEWS,
    OVERVIEWS,
    PAM,
    SUFFIXES,
    with_mask,
    with_overviews,
    with_pam,
    with_world_file,
    world_endings,
)

_MOST_TEXT_BYTES = 16 << 20
"""Most of an .aux.xml that is read."""
_WORLD = "world file"
_PASSED_OVER = (TiffError, MissingObjectError)
"""Errors that end the reading of a file beside whose absence changes no pixel's validity."""

ReadTiff = Callable[[str, StorageBackend], Awaitable[tuple[Header, FileFacts]]]
"""Reads the header of one TIFF."""


@dataclass(slots=True)
class Siblings:
    """The files that lie beside others. The folder of a local file is listed once."""

    named: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Address of a file → the suffixes of `SUFFIXES` that its item names."""
    _folders: dict[str, asyncio.Task[dict[str, list[str]]]] = field(default_factory=dict)

    async def of(self, address: str) -> dict[str, str]:
        """Suffix, or `world file` → address of the file beside."""
        found = {suffix: address + suffix for suffix in self.named.get(address, ())}
        if not is_local(address):
            return found
        folder, name = os.path.split(route(address).path)
        if folder not in self._folders:
            self._folders[folder] = asyncio.create_task(asyncio.to_thread(_listing, folder))
        stem, ending = _split(name)
        there = (await self._folders[folder]).get(stem, ())
        if len(there) == 1 and there[0] == name:
            return found  # as most are
        beside = {one[len(name) :].lower(): one[len(name) :] for one in there if one.startswith(name) and one != name}
        found |= {suffix: address + beside[suffix] for suffix in SUFFIXES if suffix in beside}
        world = {one[len(stem) :].lower(): one[len(stem) :] for one in there}
        for known in world_endings(ending.lower()) if ending else ():
            if known in world:
                found[_WORLD] = address[: len(address) - len(ending)] + world[known]
                break
        return found


def _split(name: str) -> tuple[str, str]:
    """Stem and ending; a name that begins with its only dot has no ending, nor has one that ends with a dot."""
    at = name.rfind(".")
    return (name[:at], name[at:]) if 0 < at < len(name) - 1 else (name, "")


def _listing(folder: str) -> dict[str, list[str]]:
    """Names in a folder by what stands before the image's ending: `a.tif`, `a.tif.msk` and `a.tfw` are `a`."""
    names: dict[str, list[str]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                stem = entry.name
                while stem.lower().endswith(SUFFIXES):
                    stem = stem[: -len(next(one for one in SUFFIXES if stem.lower().endswith(one)))]
                names.setdefault(_split(stem)[0], []).append(entry.name)
    except OSError:
        return {}  # a folder whose files may be read but not listed; its files are read alone, as by GDAL
    return names


async def with_sidecars(
    header: Header, beside: Mapping[str, str], backend: StorageBackend, read_tiff: ReadTiff
) -> tuple[Header, tuple[str, ...]]:
    """The header with what the files beside say.

    Overviews and an .aux.xml that are gone or cannot be understood are passed over, as by GDAL. A mask is not: pixels
    that it hides would be taken for valid.

    Args:
        header: Of the file itself.
        beside: As `Siblings.of` gives it.
        backend: How bytes are read.
        read_tiff: Reads the header of one TIFF.

    Returns:
        The header, and which files beside do not count and why.

    Raises:
        StorageError: A file beside cannot be read.
        TiffError: A mask cannot be understood.
    """
    known: list[Sidecar] = []
    notes: list[str] = []

    async def tiff(suffix: str) -> Header | None:
        if suffix not in beside:
            return None
        found, facts = await read_tiff(beside[suffix], backend)
        remember(suffix, facts)
        return found

    def remember(suffix: str, facts: FileFacts) -> None:
        known.append(Sidecar(suffix, facts.size, facts.etag, facts.modified))

    if len(header.levels) == 1:
        try:
            overviews = await tiff(OVERVIEWS)
            header = header if overviews is None else with_overviews(header, overviews)
        except _PASSED_OVER as error:
            notes.append(str(error))
    if not header.has_masks and (mask := await tiff(MASK)) is not None:
        header = with_mask(header, mask, await tiff(MASK_OVERVIEWS), safe_address(beside[MASK]))
    if PAM in beside:
        try:
            data, facts = await fetch_prefix(backend, beside[PAM], _MOST_TEXT_BYTES)
            remember(PAM, facts)
            header, note = with_pam(header, bytes(data), safe_address(beside[PAM]))
            notes += [] if note is None else [note]
        except _PASSED_OVER as error:
            notes.append(str(error))
    if _WORLD in beside and header.transform is None:
        data, _ = await fetch_prefix(backend, beside[_WORLD], _MOST_TEXT_BYTES)
        header = with_world_file(header, bytes(data).decode("latin-1"))
        if header.transform is None:
            notes.append(f"{safe_address(beside[_WORLD])}: these are not the six numbers of a world file")
    return replace(header, sidecars=tuple(known)) if known else header, tuple(notes)
