"""Reads the headers of scenes' files and makes rows of them; notes what could not be read, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.crs import is_known
from rasteret_sql.index.change.band_samples import unsaid_samples
from rasteret_sql.index.change.file_extents import placed
from rasteret_sql.index.change.journal import Journal
from rasteret_sql.index.format.scene_rows import SceneRow
from rasteret_sql.index.read.file_headers import FileHeader, named_sidecars, read_headers
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.loop import run
from rasteret_sql.io.redact import plain_text
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.io.signed_addresses import signed_places
from rasteret_sql.scenes.projection_fields import SaidPlace
from rasteret_sql.scenes.scene import BandAsset, SceneItem
from rasteret_sql.tiff.header import BandHeader
from rasteret_sql.tiff.validity import has_unused_alpha

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
    named = named_sidecars(scenes)
    headers |= run(read_headers(missing, backend or default_backend(), max_concurrent, on_done, named), poll)
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
            header = found.header.band(asset.band_index or 0, asset.nodata, asset.item)
            row.bands[band] = found.record(_where_said(header, asset.place, scene.epsg))
            row.notes.extend(note for note in found.notes if note not in row.notes)
    return replace(row, item=placed(scene, row.bands.values()))


def _where_said(header: BandHeader, place: SaidPlace, epsg: int | None) -> BandHeader:
    """The header with the CRS and the transform of its item, where the file has none, or one unknown to PROJ."""
    if place.crs is not None and (header.crs is None or not is_known(header.crs)):
        # What the scene's code says is not said again in each header.
        header = replace(header, crs=None if place.crs == f"EPSG:{epsg}" else place.crs)
    is_placed = header.transform is not None or header.gcps is not None
    if not is_placed and place.transform is not None and place.fits(header.width, header.height):
        header = replace(header, transform=place.transform)
    return header


def problems_of(rows: Sequence[SceneRow]) -> list[str]:
    """Warnings on what of the files, and of those beside them, could not be read, on odd CRS, and on unused alpha."""
    return [*_unread(rows), *_passed_over(rows), *_odd_crs(rows), *_unused_alpha(rows)]


def _passed_over(rows: Sequence[SceneRow]) -> list[str]:
    notes = [f'scene "{row.item.id}": {plain_text(note)}' for row in rows for note in row.notes]
    if not notes:
        return []
    more = len(notes) - _NAMED_PROBLEMS
    named = "; ".join(notes[:_NAMED_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
    count, does = ("1 file", "does") if len(notes) == 1 else (f"{len(notes)} files", "do")
    return [f"{count} beside others cannot be understood and {does} not count, as in GDAL: {named}"]


def _unused_alpha(rows: Sequence[SceneRow]) -> list[str]:
    """A word on files whose alpha hides nothing unless it is asked to."""
    found = [row.item.id for row in rows if any(has_unused_alpha(record.header) for record in row.bands.values())]
    if not found:
        return []
    named = ", ".join(found[:_NAMED_SCENES]) + (", ..." if len(found) > _NAMED_SCENES else "")
    count = "1 scene has" if len(found) == 1 else f"{len(found)} scenes have"
    what = f"{count} files with an alpha band that hides no pixels by default, as in GDAL ({named})"
    return [f"{what}; read them with alpha := 'always' if it should"]


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
