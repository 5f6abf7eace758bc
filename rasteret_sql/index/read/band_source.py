"""Makes a `BandSource` of the values that an index stores of a scene's band."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from rasteret_sql.errors import IndexFormatError
from rasteret_sql.index.format.band_decode import decode_metadata
from rasteret_sql.index.format.header_codec import Packed, unpack_header
from rasteret_sql.index.format.scene_status import Problem, status_text
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.tiff.header import BandHeader, Level, Sidecar

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_ALTERNATES = ("s3", "aws", "https", "http", "cloudfront")


@dataclass(frozen=True, slots=True, eq=False)
class BandSource:
    """All that reading one band of one scene needs."""

    scene_id: str
    band: str
    address: str
    """URL or absolute path of the file."""
    header: BandHeader
    facts: FileFacts | None = None
    """Size, ETag and time of the file when the header was read; None where the index does not say."""
    band_index: int = 0
    """0-based sample of the file."""
    backend: StorageBackend | None = None
    """The backend that reads its files; None: the process, as any file."""

    @property
    def files(self) -> tuple[BandSource, ...]:
        """The bands of files that are read for it: itself."""
        return (self,)

    def file_of(self, level: Level) -> tuple[str, FileFacts | None]:
        """Address of the file that holds the tiles of a level, and what was known of it."""
        if not level.sidecar:
            return self.address, self.facts
        beside = next((one for one in self.header.sidecars if one.suffix == level.sidecar), None)
        return self.address + level.sidecar, None if beside is None else _facts_of(beside)


@lru_cache(maxsize=4096)
def _facts_of(beside: Sidecar) -> FileFacts:
    """One object for equal facts: it stands for a file in a call."""
    return FileFacts(beside.size, beside.etag, beside.modified)


@dataclass(frozen=True, slots=True, eq=False)
class UnreadableBand:
    """A band whose file could not be read when the collection was built."""

    scene_id: str
    band: str
    address: str
    reason: str
    """The scene's `status`."""


Found = BandSource | UnreadableBand | None
"""None where the scene has no such band."""


@dataclass(frozen=True, slots=True, eq=False)
class HeaderRows:
    """Rows of an index with what is stored of some bands, a value each."""

    where: str
    """The collection, for messages."""
    ids: Sequence[str]
    crs: Sequence[str | None]
    problems: Sequence[Sequence[Problem]]
    assets: Mapping[str, Sequence[Any]]
    """Of each band, in any of the shapes that an asset takes."""
    stored: Mapping[str, Any]
    """Of each band: `{band}_header` as dicts, or `{band}_metadata` as an Arrow array."""

    def at(self, rows: Sequence[int]) -> HeaderRows:
        """Some of the rows, of an index of ours."""

        def some(values: Sequence[Any]) -> list[Any]:
            return [values[row] for row in rows]

        return HeaderRows(
            self.where,
            some(self.ids),
            some(self.crs),
            some(self.problems),
            {band: some(values) for band, values in self.assets.items()},
            {band: some(values) for band, values in self.stored.items()},
        )

    def of(self, band: str) -> Iterable[tuple[str, Found]]:
        """(scene id, what is there) of each row.

        Raises:
            IndexFormatError: A stored header cannot be read.
        """
        assets, stored = self.assets[band], self.stored[band]
        headers: Iterable[BandHeader | None]
        facts: Sequence[FileFacts | None] = [None] * len(self.ids)
        if isinstance(stored, list):
            facts = [_facts(value) for value in stored]
            headers = (
                _unpacked(value, crs, f'{self.where}, band {band}, scene "{scene}"')
                for scene, crs, value in zip(self.ids, self.crs, stored, strict=True)
            )
        else:
            samples = [asset.get("band_index") if isinstance(asset, dict) else None for asset in assets]
            headers = decode_metadata(stored, samples, list(self.crs), f"{self.where}, band {band}")
        for scene, asset, header, known, problems in zip(self.ids, assets, headers, facts, self.problems, strict=True):
            yield scene, _found(scene, band, asset, header, known, problems)


def crs_of(texts: Iterable[str | None], codes: Iterable[int | None]) -> list[str | None]:
    """CRS of each row from its columns `crs` and `proj:epsg`."""
    return [text or (None if code is None else f"EPSG:{code}") for text, code in zip(texts, codes, strict=True)]


def address_of(found: Found) -> str | None:
    """Address of a band's file."""
    return None if found is None else found.address


def read_by(found: Found, backend: StorageBackend | None) -> Found:
    """The same band, whose files a backend reads."""
    if not isinstance(found, BandSource) or found.backend is backend:
        return found
    return replace(found, backend=backend)


def with_absolute_path(found: Found) -> Found:
    """Relative paths are relative to the current directory at the time of reading, as rasteret has it."""
    if found is None or _SCHEME.match(found.address) or os.path.isabs(found.address):  # noqa: PTH117
        return found
    return replace(found, address=os.path.abspath(found.address))  # noqa: PTH100


def asset_address(asset: Any) -> str | None:
    """The address in any of the shapes that an asset takes: text, or a struct with href, alternates or links."""
    if asset is None or isinstance(asset, str):
        return asset or None
    if asset.get("href"):
        return str(asset["href"])
    alternate = asset.get("alternate")
    if isinstance(alternate, dict):
        for key in (*_ALTERNATES, *alternate):
            address = asset_address(alternate.get(key))
            if address is not None:
                return address
    links = asset.get("links")
    return asset_address(links[0]) if isinstance(links, list) and links else None


def unpack_stored(value: Mapping[str, Any] | None) -> BandHeader | None:
    """The header in a value of `{band}_header`; None where there is none."""
    if value is None or value["layout"] is None:
        return None
    return unpack_header(Packed(value["layout"], value["head"], value["tables"]))


def _unpacked(value: Mapping[str, Any] | None, crs: str | None, where: str) -> BandHeader | None:
    try:
        header = unpack_stored(value)
    except IndexFormatError as error:
        msg = f"{where}: {error}"
        raise IndexFormatError(msg) from error
    if header is None or header.crs is not None:
        return header
    # A file that does not say its CRS has the one that its scene says.
    return replace(header, crs=crs)


def _facts(value: Mapping[str, Any] | None) -> FileFacts | None:
    return None if value is None else FileFacts(value.get("size"), value.get("etag"), value.get("modified"))


def _found(  # noqa: PLR0917
    scene: str, band: str, asset: Any, header: BandHeader | None, facts: FileFacts | None, problems: Sequence[Problem]
) -> Found:
    address = asset_address(asset)
    if address is None:
        return None
    if header is None:
        reason = (
            status_text(problems)
            if problems
            else "the index holds no header of this band's file; build it with enrich_cog := true"
        )
        return UnreadableBand(scene, band, address, str(reason))
    sample = asset.get("band_index") if isinstance(asset, dict) else None
    return BandSource(scene, band, address, header, facts, sample or 0)
