"""A STAC search → a cached collection: search, read headers, write, publish."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rasteret_sql.errors import (
    IndexFormatError,
    InterruptedQueryError,
    MissingObjectError,
    RasteretError,
    StacError,
)
from rasteret_sql.index.band_encode import BandRecord
from rasteret_sql.index.headers import FileHeader, read_headers
from rasteret_sql.index.open import open_collection
from rasteret_sql.index.request import BuildRequest
from rasteret_sql.index.rows import SceneRow
from rasteret_sql.index.samples import name_samples, unsaid_samples
from rasteret_sql.index.write import CollectionMetadata, write_collection
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.loop import run
from rasteret_sql.io.stores import default_backend
from rasteret_sql.stac.item import BandAsset, SceneItem
from rasteret_sql.stac.scenes import band_names, scene_items
from rasteret_sql.stac.search import iter_items

__all__ = ["BuildRequest", "Progress", "build", "is_cached"]

_NAMED_PROBLEMS = 3
"""Unreadable files that a warning names; all of them stand in the column `status`."""


Progress = Callable[[int, int | None, str], None]
"""(done, total or None while unknown, `items`, `headers` or `scenes`): called from the thread that builds."""


def build(
    request: BuildRequest,
    *,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Path:
    """Build a collection, or find it cached: the same request again makes no network request at all.

    A file that cannot be read does not spoil the build: its scene is kept, the band is null, the column `status` says
    why, and a RuntimeWarning names it.

    Returns:
        The collection's directory.

    Raises:
        StacError: The search fails, or finds nothing.
        InvalidArgumentError: The bands asked for are not there.
        RasteretError: No file at all could be read; the error is that of the first.
        InterruptedQueryError: `cancelled` said so; nothing is left.
    """
    target = request.directory()
    if not request.force and is_cached(request, target):
        return target
    tell = progress or _silent
    items = []
    for item in iter_items(request.source, cancelled):
        items.append(item)
        tell(len(items), None, "items")
    tell(len(items), len(items), "items")
    if not items:
        raise StacError(_nothing_found(request))
    scenes, notes = scene_items(items, request.naming, request.url_patterns)
    bands = band_names(scenes, request.naming)
    headers = _read(request, scenes, tell, cancelled)
    scenes, bands = name_samples(scenes, bands, tuple(request.naming.band_map or ()), headers)
    rows = [_row(scene, headers) for scene in scenes]
    _write(request, rows, bands, target, cancelled)
    tell(len(rows), len(rows), "scenes")
    # Last, for a warning may be made an error: the collection is then there all the same.
    for text in (*notes, *_problems(rows)):
        warnings.warn(f'collection "{request.name}": {text}', RuntimeWarning, stacklevel=2)
    return target


def is_cached(request: BuildRequest, target: Path) -> bool:
    """Whether the directory holds the whole result of just this request."""
    if not target.is_dir():
        return False
    try:
        index = open_collection(target)
    except (IndexFormatError, MissingObjectError):
        return False
    return bool(index.request == json.loads(json.dumps(request.identity())))


def _silent(done: int, total: int | None, what: str) -> None:
    """Progress that nobody asked for."""


def _read(
    request: BuildRequest, scenes: Sequence[SceneItem], tell: Progress, cancelled: Callable[[], bool] | None
) -> dict[str, FileHeader | RasteretError]:
    """Headers of all files of the scenes, or the error of each that has none."""
    addresses = list(dict.fromkeys(asset.href for scene in scenes for asset in scene.bands.values()))
    done = 0

    def on_done(number: int) -> None:
        nonlocal done
        done = number

    def poll() -> bool:
        # Asked while waiting, on this thread: progress need not care for the I/O loop's.
        tell(done, len(addresses), "headers")
        return cancelled is not None and cancelled()

    backend = request.backend or default_backend()
    headers = run(read_headers(addresses, backend, request.max_concurrent, on_done), poll)
    tell(len(addresses), len(addresses), "headers")
    found = [headers[address] for address in addresses]
    errors = [one for one in found if isinstance(one, RasteretError)]
    if errors and len(errors) == len(found):
        first = errors[0]
        msg = f"none of the {len(found)} files of the search could be read. The first: {first}"
        raise type(first)(msg)
    return headers


def _row(scene: SceneItem, headers: Mapping[str, FileHeader | RasteretError]) -> SceneRow:
    row = SceneRow(scene)
    for band, asset in scene.bands.items():
        found = headers[asset.href]
        if isinstance(found, RasteretError):
            row.problems[band] = str(found)
        elif (asset.band_index or 0) >= found.header.count:
            row.problems[band] = _no_such_sample(asset, found)
        elif unsaid_samples(asset, found) > 1:
            row.problems[band] = (
                f"{safe_address(asset.href)} has {found.header.count} bands and nothing says which of them {band} is; "
                f"give band_index_map, such as {{'{band}': 0}}"
            )
        else:
            header = found.header.band(asset.band_index or 0)
            row.bands[band] = BandRecord(header, found.header.count, found.size)
    return row


def _no_such_sample(asset: BandAsset, found: FileHeader) -> str:
    return (
        f"{safe_address(asset.href)} has {found.header.count} bands, so no band_index {asset.band_index};"
        f" band_index_map counts from 0 to {found.header.count - 1}"
    )


def _problems(rows: Sequence[SceneRow]) -> list[str]:
    problems = [f'scene "{row.item.id}", band {band}: {why}' for row in rows for band, why in row.problems.items()]
    if not problems:
        return []
    more = len(problems) - _NAMED_PROBLEMS
    named = "; ".join(problems[:_NAMED_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
    return [f"{len(problems)} bands could not be read, their scenes are kept and the column status says why: {named}"]


def _write(
    request: BuildRequest,
    rows: Sequence[SceneRow],
    bands: Sequence[str],
    target: Path,
    cancelled: Callable[[], bool] | None,
) -> None:
    def check() -> None:
        if cancelled is not None and cancelled():
            msg = f'the build of "{request.name}" was interrupted; nothing of it is left'
            raise InterruptedQueryError(msg)

    dates = request.source.dates
    ends = (dates.start, dates.end) if dates is not None else (None, None)
    start, end = ends
    metadata = CollectionMetadata(
        name=request.name,
        bands=tuple(bands),
        data_source=request.source_key,
        description=request.description,
        date_range=None if start is None or end is None else (start.isoformat(), end.isoformat()),
        request=request.identity(),
    )
    write_collection(rows, metadata, target, check=check)


def _nothing_found(request: BuildRequest) -> str:
    """What was asked, so that the reader sees which condition is too narrow."""
    source = request.source
    asked = [f"collection {source.collection}" if source.collection else "all collections"]
    if source.area:
        asked.append(f"bbox {list(source.area)}")
    if source.dates:
        asked.append(f"dates {source.dates.interval()}")
    if source.conditions:
        asked.append(f"query {json.dumps(source.conditions, default=str)}")
    return (
        f"the search at {safe_address(source.address)} found no items for {', '.join(asked)};"
        " widen the bbox, the dates or the query"
    )
