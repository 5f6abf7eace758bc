"""What happens to a collection after it was built: more scenes, a refresh, its end."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.errors import RasteretError, TiffError
from rasteret_sql.index import append as appending
from rasteret_sql.index import drop as dropping
from rasteret_sql.index import refresh as refreshing
from rasteret_sql.index.again import changed_source, sources_of
from rasteret_sql.index.append import Appended
from rasteret_sql.index.headers import FileHeader
from rasteret_sql.index.open import CollectionIndex, open_collection
from rasteret_sql.index.places import Workspace
from rasteret_sql.index.refresh import Refreshed
from rasteret_sql.index.remote import changing, remove
from rasteret_sql.index.request import require_concurrency
from rasteret_sql.index.reread import Fresh, replace_headers
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.kernels.access import reader
from rasteret_sql.stac.found import Progress, SceneSource
from rasteret_sql.stac.scene_source import StacScenes

DEFAULT_MAX_CONCURRENT = 50
_PATIENCE = 5.0
"""Seconds that a read takes for writing down headers that it read again."""


class Home(Protocol):
    """Where collections are open; a session."""

    @property
    def backend(self) -> StorageBackend:
        """How headers are read."""

    @property
    def engine(self) -> Engine:
        """Whose cached tiles are forgotten after a refresh: files may have changed."""

    def open(self, name: str, workspace_dir: Workspace | None = None) -> CollectionIndex:
        """The open or cached collection of a name."""

    def close(self, index: CollectionIndex) -> None:
        """Forget a collection that is gone."""


def append_collection(
    home: Home,
    index: CollectionIndex,
    *,
    source: SceneSource | None = None,
    bbox: Any = None,
    date_range: Any = None,
    query: Any = None,
    stac_api: str | os.PathLike[str] | None = None,
    max_concurrent: int = DEFAULT_MAX_CONCURRENT,
    backend: StorageBackend | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Appended:
    """Add scenes of the collection's own source, asked with other arguments, or of another source.

    Args:
        home: Where it is open.
        index: The collection.
        source: Another source, in place of the one of the build.
        bbox: In place of the build's, as all arguments that are not given.
        date_range: Of the new scenes.
        query: Conditions on the new items.
        stac_api: Where the source is today.
        max_concurrent: Files whose headers are read at a time.
        backend: How they are read.
        progress: Told (done, total or None, what).
        cancelled: Polled; stops the append.

    Raises:
        InvalidArgumentError: An argument cannot be used, or the collection cannot be changed.
        RasteretError: The search fails, or no file could be read.
    """
    appending.require_built(index)
    changes = {"address": stac_api, "bbox": bbox, "date_range": date_range, "query": query}
    asked = source or changed_source(index, changes)
    number = require_concurrency(max_concurrent)
    chosen = reader(home.backend, backend, index.data_source)
    with _writable(index) as place:
        return appending.append(
            place,
            _reached(asked, chosen),
            backend=chosen,
            max_concurrent=number,
            progress=progress,
            cancelled=cancelled,
        )


def refresh_collection(
    home: Home,
    index: CollectionIndex,
    *,
    stac_api: str | os.PathLike[str] | None = None,
    max_concurrent: int = DEFAULT_MAX_CONCURRENT,
    backend: StorageBackend | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Refreshed:
    """Bring a collection up to date with the sources of its build and its appends.

    Raises:
        InvalidArgumentError: The collection cannot be changed, or does not say where its scenes come from.
        RasteretError: A search fails; nothing is changed.
    """
    appending.require_built(index)
    sources = sources_of(index, address=stac_api)
    number = require_concurrency(max_concurrent)
    chosen = reader(home.backend, backend, index.data_source)
    with _writable(index) as place:
        result = refreshing.refresh(
            place,
            [_reached(source, chosen) for source in sources],
            backend=chosen,
            max_concurrent=number,
            progress=progress,
            cancelled=cancelled,
        )
    if result.changed:
        home.engine.cache.clear()  # tiles of the files as they were
    return result


def _reached(source: SceneSource, backend: StorageBackend) -> SceneSource:
    """Tables know their backend, or are read as any file."""
    return source.reached_by(backend) if isinstance(source, StacScenes) else source


def drop_collection(home: Home, index: CollectionIndex, *, cancelled: Callable[[], bool] | None = None) -> None:
    """Remove a cached collection, and close it.

    Raises:
        InvalidArgumentError: It is not one of a workspace.
    """
    if index.origin is None:
        dropping.drop(index, cancelled=cancelled)
    else:
        remove(index.origin)
    home.close(index)


def bring_up_to_date(
    index: CollectionIndex, scenes: set[str], fresh: Fresh, cancelled: Callable[[], bool] | None = None
) -> int:
    """Put new headers in place of old ones, where the collection was built here and can be written.

    A read waits but a while for one that changes the collection, and goes on with a warning where it cannot be written:
    the session knows the new headers anyhow.

    Args:
        index: An open collection.
        scenes: Ids of scenes that use the files; those of other collections count for nothing.
        fresh: Address → the header it has now, or why there is none. What may pass is not written down.
        cancelled: Polled; stops before anything is changed.

    Returns:
        How many of its scenes that were.
    """
    lasting = {place: found for place, found in fresh.items() if isinstance(found, FileHeader | TiffError)}
    if not lasting or index.manifest is None or index.origin is not None or not os.access(index.path.parent, os.W_OK):
        return 0
    end = time.monotonic() + _PATIENCE
    try:
        return replace_headers(
            index,
            scenes,
            lasting,
            cancelled=lambda: (cancelled is not None and cancelled()) or time.monotonic() > end,
        )
    except (RasteretError, OSError) as error:
        if cancelled is not None and cancelled():
            raise
        warnings.warn(
            f'collection "{index.name}" could not be brought up to date with changed files: {error}; this session '
            "reads them as they are now, others need rasteret_refresh",
            RuntimeWarning,
            stacklevel=2,
        )
        return 0


@contextmanager
def _writable(index: CollectionIndex) -> Iterator[CollectionIndex]:
    """The collection where it can be changed: itself, or a copy that is carried back."""
    if index.origin is None:
        yield index
        return
    with changing(index.origin) as copy:
        yield open_collection(copy, index.name)
