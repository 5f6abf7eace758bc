"""Appends to collections, refreshes them and drops them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.engine.scheduler import Engine
from rasteret_sql.errors import InvalidArgumentError, MissingObjectError, RasteretError, TiffError
from rasteret_sql.files.file_source import FileScenes
from rasteret_sql.index.change import append as appending
from rasteret_sql.index.change import drop as dropping
from rasteret_sql.index.change import refresh as refreshing
from rasteret_sql.index.change.append import Appended
from rasteret_sql.index.change.build_request import require_concurrency
from rasteret_sql.index.change.refresh import Refreshed
from rasteret_sql.index.change.replace_headers import Fresh, replace_headers
from rasteret_sql.index.change.transaction import require_built
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.index.place.directory_names import plain_name
from rasteret_sql.index.place.location import Workspace
from rasteret_sql.index.place.mirror import changing
from rasteret_sql.index.place.workspace import find_collection, is_named, let_mean, tell_replaced
from rasteret_sql.index.read.file_headers import FileHeader
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.remote_directory import HasStores, stores_of
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.library.remembered_search import changed_source, sources_of
from rasteret_sql.library.run_build import reader
from rasteret_sql.scenes.source import SceneSource
from rasteret_sql.stac.address import same_server
from rasteret_sql.stac.search_source import StacScenes
from rasteret_sql.stac.sign_in_headers import checked_headers
from rasteret_sql.warning import warn

_APPENDED = "scenes were appended to the collection that it meant at another time"
_PATIENCE = 5.0
"""Seconds that a read takes for writing down headers that it read again."""


class Home(Protocol):
    """A place where collections are open; a session."""

    @property
    def backend(self) -> StorageBackend | None:
        """The backend that reads headers; None: as the dataset asks for."""

    @property
    def engine(self) -> Engine:
        """Whose cached tiles are forgotten after a refresh: files may have changed."""

    def open(self, name: str, workspace_dir: Workspace | None = None) -> CollectionIndex:
        """The open or cached collection of a name."""

    def close(self, name: str) -> None:
        """Forget a collection that is gone, or that the name means no more."""

    def home_of(self, name: str) -> Workspace:
        """The workspace in which an open collection has its name; that of the session for others."""


def append_collection(
    home: Home,
    index: CollectionIndex,
    options: BuildOptions,
    *,
    source: SceneSource | None = None,
) -> Appended:
    """Add scenes of the collection's own source, asked with other arguments, or of another source.

    Args:
        home: Where it is open.
        index: The collection.
        options: Where and when the new scenes are, and conditions on them; those of the build where they are not given.
            And how the append is done.
        source: Another source, in place of the one of the build.

    Raises:
        InvalidArgumentError: An argument cannot be used, or the collection cannot be changed.
        RasteretError: The search fails, or no file could be read.
    """
    require_built(index)
    changes = {
        "address": options.stac_api,
        "bbox": options.bbox,
        "date_range": options.date_range,
        "query": options.query,
    }
    asked = source or changed_source(index, changes)
    number = require_concurrency(options.max_concurrent)
    chosen = reader(home.backend, options.backend, index.data_source)
    stores = stores_of(options.backend) or index.stores
    with _writable(index, stores) as place:
        done = appending.append(
            place,
            _reached(index, [asked], chosen, options.headers)[0],
            backend=chosen,
            max_concurrent=number,
            progress=options.progress,
            cancelled=options.cancelled,
        )
    _keep_appended(home, index, stores)
    return done


def _keep_appended(home: Home, index: CollectionIndex, stores: HasStores | None) -> None:
    """Let the name mean the collection where that is cached, and where it was loaded under the name."""
    named_here = index.manifest is not None and index.manifest.name == index.name
    own, opened_in = index.workspace if named_here else None, home.home_of(index.name)
    if opened_in != own and is_named(index.name, opened_in, stores):
        before = let_mean(opened_in, index.name, index.place, stores)
        tell_replaced(index.name, index.place, before, _APPENDED, stores)
    if own is not None:
        before = let_mean(own, index.name, index.place, stores)
        tell_replaced(index.name, index.place, before, _APPENDED, stores)


def refresh_collection(
    home: Home,
    index: CollectionIndex,
    options: BuildOptions,
) -> Refreshed:
    """Bring a collection up to date with the sources of its build and its appends.

    Headers go to the server of the build, or of `stac_api`; sources on others are asked without.

    Args:
        home: Where it is open.
        index: The collection.
        options: `stac_api`, `headers`, and how the refresh is done.

    Raises:
        InvalidArgumentError: The collection cannot be changed, or does not say where its scenes come from.
        RasteretError: A search fails; nothing is changed.
    """
    require_built(index)
    sources = sources_of(index, address=options.stac_api)
    number = require_concurrency(options.max_concurrent)
    chosen = reader(home.backend, options.backend, index.data_source)
    with _writable(index, stores_of(options.backend) or index.stores) as place:
        result = refreshing.refresh(
            place,
            _reached(index, sources, chosen, options.headers),
            backend=chosen,
            max_concurrent=number,
            progress=options.progress,
            cancelled=options.cancelled,
        )
    if result.changed:
        home.engine.cache.clear()  # tiles of the files as they were
    return result


def _reached(
    index: CollectionIndex,
    sources: Sequence[SceneSource],
    backend: StorageBackend,
    headers: Mapping[str, str] | str | None,
) -> list[SceneSource]:
    """The sources as this call reaches them. Tables know their backend, or are read as any file."""
    given, first = checked_headers(headers), sources[0]
    if given and not isinstance(first, StacScenes):
        made = "files" if isinstance(first, FileScenes) else "a table"
        raise InvalidArgumentError(f'collection "{index.name}" was made of {made}: headers are for a STAC server')
    home = first.search.address if isinstance(first, StacScenes) else ""
    return [
        source.reached_by(backend, given if same_server(source.search.address, home) else None)
        if isinstance(source, StacScenes)
        else source.reached_by(stores_of(backend))
        if isinstance(source, FileScenes)
        else source
        for source in sources
    ]


def facts_of(index: CollectionIndex, done: Appended | Refreshed) -> dict[str, Any]:
    """Say what was done to a collection, for people and programs: its name, the counts, and where it is."""
    counts = {field.name: getattr(done, field.name) for field in fields(done) if field.name != "path"}
    return {"name": index.name, **counts, "path": index.place}


@dataclass(frozen=True, slots=True)
class Dropped:
    """The things that a drop removed."""

    name: str
    scenes: int | None
    """Of the collection that the name meant; None where it was gone."""
    place: str
    """Where that was, or is where it was loaded."""


def drop_collection(
    home: Home,
    name: str,
    workspace: Workspace | None = None,
    *,
    backend: StorageBackend | None = None,
    cancelled: Cancelled | None = None,
) -> Dropped:
    """Remove all that was built under a name, and the name; or one cached collection by the name of its directory.

    What was loaded from elsewhere loses the name, and stays.

    Args:
        home: Where it may be open.
        name: Of the collection.
        workspace: Where the name means it; by default where it is open from, else that of the session.
        backend: By whose stores a workspace elsewhere is reached; by default as the collection was, or the session's.
        cancelled: Polled; stops the drop before it begins, or between two collections.

    Raises:
        UnknownCollectionError: There is none of that name.
    """
    home_of = home.home_of(name)
    where, stores = workspace or home_of, stores_of(backend or home.backend)
    try:
        index = home.open(name) if where == home_of else find_collection(name, where, stores)
    except MissingObjectError:  # what the name means is gone; the name and what is older go now
        places = dropping.drop_name(name, where, stores=stores, cancelled=cancelled)
        dropped = Dropped(name, None, next(iter(places), ""))
    else:
        dropped = Dropped(index.name, index.count_rows(), index.place)
        index = replace(index, stores=stores_of(backend) or index.stores)
        stored = index.manifest.name if index.manifest is not None else index.name
        if index.name in _directory_names(index) and index.name.casefold() != stored.casefold():
            dropping.drop(index, cancelled=cancelled)
        else:
            dropping.drop_name(index.name, where, stores=index.stores, cancelled=cancelled)
    if where == home_of:
        home.close(dropped.name)
    return dropped


def _directory_names(index: CollectionIndex) -> tuple[str, str]:
    directory = index.place.rpartition("/")[2]
    return directory, plain_name(directory)


def bring_up_to_date(index: CollectionIndex, scenes: set[str], fresh: Fresh, cancelled: Cancelled | None = None) -> int:
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
        warn(
            f'collection "{index.name}" could not be brought up to date with changed files: {error}; this session '
            "reads them as they are now, others need rasteret_refresh"
        )
        return 0


@contextmanager
def _writable(index: CollectionIndex, stores: HasStores | None) -> Iterator[CollectionIndex]:
    """The collection where it can be changed: itself, or a copy that is carried back."""
    if index.origin is None:
        yield index
        return
    with changing(index.origin, stores) as copy:
        yield open_collection(copy, index.name)
