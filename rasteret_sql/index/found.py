"""What an index says of a band of a scene, from the values in which it is stored."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rasteret_sql import schema
from rasteret_sql.errors import IndexFormatError
from rasteret_sql.index.band_decode import decode_metadata
from rasteret_sql.index.packed import Packed, unpack_header
from rasteret_sql.index.packed_v1 import unpack_header_v1
from rasteret_sql.io.backend import FileFacts
from rasteret_sql.tiff.header import BandHeader

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
    """What was known of the file when the header was read; None where the index does not say."""
    band_index: int = 0
    """0-based sample of the file."""


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
    status: Sequence[str | None]
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
            some(self.status),
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
        for scene, asset, header, known, status in zip(self.ids, assets, headers, facts, self.status, strict=True):
            yield scene, _found(scene, band, asset, header, known, status)


def crs_of(texts: Iterable[str | None], codes: Iterable[int | None]) -> list[str | None]:
    """CRS of each row from its columns `crs` and `proj:epsg`."""
    return [text or (None if code is None else f"EPSG:{code}") for text, code in zip(texts, codes, strict=True)]


def address_of(found: Found) -> str | None:
    """Address of a band's file."""
    return None if found is None else found.address


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
    """The header in a value of `{band}_header`, of either version; None where there is none."""
    if value is None:
        return None
    if schema.PACKED_V1_FIELD in value:
        packed = value[schema.PACKED_V1_FIELD]
        return None if packed is None else unpack_header_v1(packed)
    if value["layout"] is None:
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
    scene: str, band: str, asset: Any, header: BandHeader | None, facts: FileFacts | None, status: str | None
) -> Found:
    address = asset_address(asset)
    if address is None:
        return None
    if header is None:
        reason = (
            status
            if status not in (None, schema.STATUS_OK)
            else "the index holds no header of this band's file; build it with enrich_cog := true"
        )
        return UnreadableBand(scene, band, address, str(reason))
    sample = asset.get("band_index") if isinstance(asset, dict) else None
    return BandSource(scene, band, address, header, facts, sample or 0)
