"""A search or a table → a cached collection: find the scenes, read headers, write, publish."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rasteret_sql import schema
from rasteret_sql.errors import (
    IndexFormatError,
    InterruptedQueryError,
    InvalidArgumentError,
    MissingObjectError,
    RasteretError,
    StacError,
)
from rasteret_sql.index.headers import FileHeader
from rasteret_sql.index.journal import Journal, writing
from rasteret_sql.index.manifest import Manifest
from rasteret_sql.index.metadata import CollectionMetadata
from rasteret_sql.index.open import open_collection
from rasteret_sql.index.reading import problems_of, read_files, scene_row, signed_hosts
from rasteret_sql.index.remote import publish, remote_manifest, staging_directory
from rasteret_sql.index.request import BuildRequest
from rasteret_sql.index.rows import SceneRow
from rasteret_sql.index.samples import name_samples
from rasteret_sql.index.store import write_collection
from rasteret_sql.stac.found import Cancelled, Progress

__all__ = ["BuildRequest", "Progress", "build", "is_cached"]


def build(
    request: BuildRequest,
    *,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Path | str:
    """Build a collection, or find it cached: the same request again makes no network request at all.

    A file that cannot be read does not spoil the build: its scene is kept, the band is null, the column `status` says
    why, and a RuntimeWarning names it. A build that was killed or stopped goes on where it was when it is asked for
    again within a day. Of several that build the same at a time, one does the work.

    Returns:
        The collection's directory, or its URL in a workspace of an object store.

    Raises:
        StacError: The search fails, or finds nothing.
        InvalidArgumentError: The bands asked for are not there, or a table has no scenes.
        RasteretError: No file at all could be read; the error is that of the first.
        InterruptedQueryError: `cancelled` said so.
    """
    if isinstance(request.workspace, str):
        return _build_elsewhere(request, f"{request.workspace}/{request.directory_name()}", progress, cancelled)
    target = request.directory()
    if not request.force and is_cached(request, target):
        return target
    tell = progress or silent
    with writing(target, f'the build of "{request.name}"', cancelled):
        if not request.force and is_cached(request, target):
            return target  # another one made it while we waited
        journal = Journal(target, f"{request.digest()} {request.force}")
        try:
            notes = _build(request, target, journal, tell, cancelled)
        except RasteretError as error:
            # What was found may be the cause. A build that was stopped goes on from there.
            if not isinstance(error, InterruptedQueryError):
                journal.remove()
            raise
        finally:
            journal.close()
        journal.remove()
    # Last, for a warning may be made an error: the collection is then there all the same.
    for text in notes:
        warnings.warn(f'collection "{request.name}": {text}', RuntimeWarning, stacklevel=2)
    return target


def _build_elsewhere(request: BuildRequest, url: str, progress: Progress | None, cancelled: Cancelled | None) -> str:
    """Build here, then carry the collection to its place; what was built is kept if that fails."""
    if not request.force and _is_result(remote_manifest(url), request):
        return url
    directory = build(replace(request, workspace_dir=staging_directory(url)), progress=progress, cancelled=cancelled)
    assert isinstance(directory, Path)
    publish(directory, url)
    return url


def _is_result(manifest: Manifest | None, request: BuildRequest) -> bool:
    return manifest is not None and json.loads(manifest.keys.get(schema.KEY_REQUEST.decode(), "{}")) == json.loads(
        json.dumps(request.identity())
    )


def is_cached(request: BuildRequest, target: Path) -> bool:
    """Whether the directory holds the whole result of just this request."""
    if not target.is_dir():
        return False
    try:
        index = open_collection(target)
    except (IndexFormatError, MissingObjectError):
        return False
    return index.manifest is not None and bool(index.request == json.loads(json.dumps(request.identity())))


def silent(done: int, total: int | None, what: str) -> None:
    """Progress that nobody asked for."""


def _build(
    request: BuildRequest, target: Path, journal: Journal, tell: Progress, cancelled: Cancelled | None
) -> list[str]:
    """Do the work; gives warnings."""
    found = journal.scenes()
    if found is None:
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
    write_collection(
        rows,
        _metadata(request, bands, signed_hosts(scenes)),
        target,
        columns=found.columns,
        search=request.source.identity(),
        check=_stop_when(cancelled, request.name),
    )
    tell(len(rows), len(rows), "scenes")
    return [*found.notes, *problems_of(rows)]


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


def _stop_when(cancelled: Callable[[], bool] | None, name: str) -> Callable[[], None]:
    def check() -> None:
        if cancelled is not None and cancelled():
            msg = f'the build of "{name}" was interrupted; asked for again it goes on where it was'
            raise InterruptedQueryError(msg)

    return check


def _nothing_found(request: BuildRequest) -> RasteretError:
    """What was asked, so that the reader sees which condition is too narrow."""
    if request.source.kind == "stac":
        return StacError(f"{request.source.describe()} found no items; widen the bbox, the dates or the query")
    return InvalidArgumentError(f"{request.source.describe()} has no rows that fit; widen the filter, bbox or dates")
