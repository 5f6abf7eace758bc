"""Builds a cached collection of a search or a table: finds scenes, reads headers, writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rasteret_sql import schema
from rasteret_sql.callbacks import Cancelled, Progress
from rasteret_sql.errors import (
    IndexFormatError,
    InvalidArgumentError,
    MissingObjectError,
    RasteretError,
    StacError,
)
from rasteret_sql.index.change.band_samples import name_samples
from rasteret_sql.index.change.build_request import BuildRequest
from rasteret_sql.index.change.scene_headers import problems_of, read_files, scene_row, signed_hosts
from rasteret_sql.index.change.transaction import Change, change
from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.format.manifest import Manifest
from rasteret_sql.index.format.scene_rows import SceneRow
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.place.mirror import publish, remote_manifest, staging_directory
from rasteret_sql.index.place.workspace import let_mean, made_by_same_call, tell_replaced
from rasteret_sql.index.read.file_headers import FileHeader
from rasteret_sql.receipt import current_receipt
from rasteret_sql.warning import warn

__all__ = ["BuildRequest", "Progress", "build", "is_cached"]


def build(
    request: BuildRequest,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Path | str:
    """Build a collection, or find it cached, and let its name mean it in its workspace.

    The same request again makes no network request at all, unless the workspace is elsewhere.

    A file that cannot be read does not spoil the build: its scene is kept, the band is null, the column `status` says
    why, and a RuntimeWarning names it. A build that was killed or stopped goes on where it was when it is asked for
    again within a day, without `force`: that begins anew. Of several that build the same at a time, one does the work.

    Returns:
        The collection's directory, or its URL in a workspace of an object store.

    Raises:
        StacError: The search fails, or finds nothing.
        InvalidArgumentError: The bands asked for are not there, or a table has no scenes.
        RasteretError: No file at all could be read; the error is that of the first.
        InterruptedQueryError: `cancelled` said so.
    """
    place: Path | str
    if isinstance(request.workspace, str):
        url = f"{request.workspace}/{request.directory_name()}"
        place, notes = _build_elsewhere(request, url, progress, cancelled)
    else:
        place, notes = _build_here(request, request.directory(), progress, cancelled)
    before = let_mean(request.workspace, request.name, place, request.stores)
    # Who forces a build has said that what is there is to be replaced.
    if before is not None and not request.force and not made_by_same_call(before, str(place), request.stores):
        how = "it was built with other arguments than what it meant before"
        tell_replaced(request.name, place, before, how, request.stores)
    # Last, for a warning may be made an error: the collection is then there all the same.
    for text in notes:
        warn(f'collection "{request.name}": {text}')
    return place


def _build_here(
    request: BuildRequest, target: Path, progress: Progress | None, cancelled: Cancelled | None
) -> tuple[Path, list[str]]:
    """The collection's directory in a workspace of this machine, and warnings."""
    if not request.force and is_cached(request, target):
        return target, []
    tell = progress or silent
    with change(target, f'the build of "{request.name}"', cancelled) as tx:
        if not request.force and is_cached(request, target):
            return target, []  # another one made it while we waited
        number, notes = _build(request, tx, tell, cancelled)
    tell(number, number, "scenes")
    return target, notes


def _build_elsewhere(
    request: BuildRequest, url: str, progress: Progress | None, cancelled: Cancelled | None
) -> tuple[str, list[str]]:
    """Build here, then carry the collection to its place; what was built is kept if that fails."""
    if not request.force and _is_result(remote_manifest(url, request.stores), request):
        return url, []
    staged = staging_directory(url) / request.directory_name()
    directory, notes = _build_here(request, staged, progress, cancelled)
    publish(directory, url, request.stores)
    return url, notes


def _is_result(manifest: Manifest | None, request: BuildRequest) -> bool:
    return manifest is not None and json.loads(manifest.keys.get(schema.KEY_REQUEST.decode(), "{}")) == json.loads(
        json.dumps(request.identity())
    )


def is_cached(request: BuildRequest, target: Path) -> bool:
    """True where the directory holds the whole result of just this request."""
    if not target.is_dir():
        return False
    try:
        index = open_collection(target)
    except (IndexFormatError, MissingObjectError):
        return False
    return index.manifest is not None and bool(index.request == json.loads(json.dumps(request.identity())))


def silent(done: int, total: int | None, what: str) -> None:
    """Progress that nobody asked for."""


def _build(request: BuildRequest, tx: Change, tell: Progress, cancelled: Cancelled | None) -> tuple[int, list[str]]:
    """Do the work; gives the number of scenes, and warnings."""
    journal = tx.resume(request.digest(), anew=request.force)
    found = journal.scenes()
    if found is None:
        with current_receipt().plan:
            found = request.source.find(tell, cancelled)
        if not found.scenes:
            raise _nothing_found(request)
        if request.enrich:
            journal.keep_scenes(found)
    scenes, bands = found.scenes, found.bands
    headers: Mapping[str, FileHeader | RasteretError] = {}
    if request.enrich:
        headers = read_files(
            scenes,
            journal,
            backend=request.backend,
            max_concurrent=request.max_concurrent,
            tell=tell,
            cancelled=cancelled,
        )
        scenes, bands = name_samples(scenes, bands, found.named, headers)
    rows = [scene_row(scene, headers) for scene in scenes] if request.enrich else [SceneRow(scene) for scene in scenes]
    tx.create(_metadata(request, bands, signed_hosts(scenes)), rows, found.columns, request.source.identity())
    return len(rows), [*found.notes, *problems_of(rows)]


def _metadata(request: BuildRequest, bands: Sequence[str], signed: Sequence[str]) -> CollectionMetadata:
    dates = request.source.dates
    start, end = (dates.start, dates.end) if dates is not None else (None, None)
    return CollectionMetadata(
        name=request.name,
        bands=tuple(bands),
        data_source=request.source_key,
        description=request.description,
        date_range=None if start is None or end is None else (start.isoformat(), end.isoformat()),
        request=request.identity(),
        signed=signed,
    )


def _nothing_found(request: BuildRequest) -> RasteretError:
    """An error that says what was asked, so that the reader sees which condition is too narrow."""
    if request.source.kind == "stac":
        return StacError(f"{request.source.describe()} found no items; widen the bbox, the dates or the query")
    return InvalidArgumentError(f"{request.source.describe()} has no rows that fit; widen the filter, bbox or dates")
