"""Scenes → rows: the headers of their files, what of them could not be read, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rasteret_sql.errors import RasteretError
from rasteret_sql.index.band_encode import BandRecord
from rasteret_sql.index.extents import placed
from rasteret_sql.index.headers import FileHeader, read_headers
from rasteret_sql.index.journal import Journal
from rasteret_sql.index.rows import SceneRow
from rasteret_sql.index.samples import unsaid_samples
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.loop import run
from rasteret_sql.io.plain import plain_text
from rasteret_sql.io.signed import signed_places
from rasteret_sql.io.stores import default_backend
from rasteret_sql.stac.found import Cancelled, Progress
from rasteret_sql.stac.item import BandAsset, SceneItem

_NAMED_SCENES = 3
_NAMED_PROBLEMS = 3
"""Unreadable files that a warning names; all of them stand in the column `status`."""


def read_files(
    scenes: Sequence[SceneItem],
    journal: Journal,
    *,
    backend: StorageBackend | None,
    max_concurrent: int,
    tell: Progress,
    cancelled: Cancelled | None,
) -> dict[str, FileHeader | RasteretError]:
    """Headers of all files of the scenes, or the error of each that has none; those in the journal are not read again.

    Raises:
        RasteretError: No file at all could be read; the error is that of the first.
    """
    addresses = list(dict.fromkeys(asset.href for scene in scenes for asset in scene.bands.values()))
    headers: dict[str, FileHeader | RasteretError] = dict(journal.headers())
    known = sum(address in headers for address in addresses)
    done, failed = known, 0

    def on_done(address: str, found: FileHeader | RasteretError) -> None:
        nonlocal done, failed
        done += 1
        if isinstance(found, FileHeader):
            journal.keep_header(address, found)
        else:
            failed += 1

    def poll() -> bool:
        # Asked while waiting, on this thread: progress need not care for the I/O loop's.
        tell(done, len(addresses), "headers")
        if failed:
            tell(failed, None, "unreadable files")
        return cancelled is not None and cancelled()

    missing = [address for address in addresses if address not in headers]
    headers |= run(read_headers(missing, backend or default_backend(), max_concurrent, on_done), poll)
    tell(len(addresses), len(addresses), "headers")
    found = [headers[address] for address in addresses]
    errors = [one for one in found if isinstance(one, RasteretError)]
    if errors and len(errors) == len(found):
        first = errors[0]
        msg = f"none of the {len(found)} files could be read. The first: {first}"
        raise type(first)(msg)
    return headers


def scene_row(scene: SceneItem, headers: Mapping[str, FileHeader | RasteretError]) -> SceneRow:
    """A scene with the headers of its bands, and with their extent where its item has no geometry."""
    row = SceneRow(scene)
    for band, asset in scene.bands.items():
        found = headers[asset.href]
        if isinstance(found, RasteretError):
            row.problems[band] = plain_text(str(found))
        elif (asset.band_index or 0) >= found.header.count:
            row.problems[band] = _no_such_sample(asset, found)
        elif unsaid_samples(asset, found) > 1:
            row.problems[band] = (
                f"{safe_address(asset.href)} has {found.header.count} bands and nothing says which of them {band} is; "
                f"give band_index_map, such as {{'{band}': 0}}"
            )
        else:
            header, facts = found.header.band(asset.band_index or 0), found.facts
            row.bands[band] = BandRecord(header, found.header.count, facts.size, facts.etag, facts.modified)
    return replace(row, item=placed(scene, row.bands.values()))


def problems_of(rows: Sequence[SceneRow]) -> list[str]:
    """Warnings that name some of the files that could not be read, and of the scenes whose CRS is not one."""
    return [*_unread(rows), *_odd_crs(rows)]


def _odd_crs(rows: Sequence[SceneRow]) -> list[str]:
    several, unknown = [], []
    for row in rows:
        said = {record.header.crs or row.crs for record in row.bands.values()}
        if len(said) > 1:
            several.append(row.item.id)
        elif said == {None}:
            unknown.append(row.item.id)
    return [
        f"{len(ids)} {'scene' if len(ids) == 1 else 'scenes'} {what}: {', '.join(ids[:_NAMED_SCENES])}"
        + (", ..." if len(ids) > _NAMED_SCENES else "")
        for ids, what in (
            (several, "whose files are in several CRS, each band is read in its own"),
            (unknown, "of which neither files nor item say the CRS, so only whole images of it can be read"),
        )
        if ids
    ]


def _unread(rows: Sequence[SceneRow]) -> list[str]:
    problems = [f'scene "{row.item.id}", band {band}: {why}' for row in rows for band, why in row.problems.items()]
    if not problems:
        return []
    more = len(problems) - _NAMED_PROBLEMS
    named = "; ".join(problems[:_NAMED_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
    return [f"{len(problems)} bands could not be read, their scenes are kept and the column status says why: {named}"]


def signed_hosts(scenes: Iterable[SceneItem]) -> list[str]:
    """Hosts of the scenes' files whose addresses were signed."""
    return signed_places(asset.href for scene in scenes for asset in scene.bands.values())


def _no_such_sample(asset: BandAsset, found: FileHeader) -> str:
    return (
        f"{safe_address(asset.href)} has {found.header.count} bands, so no band_index {asset.band_index};"
        f" band_index_map counts from 0 to {found.header.count - 1}"
    )
