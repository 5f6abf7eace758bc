"""Runs the functions that append to, refresh and drop collections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.functions.calls.rows import one_row
from rasteret_sql.index.change.append import Appended
from rasteret_sql.index.change.refresh import Refreshed
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.index.place.location import workspace_of
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.remote_directory import stores_of
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.library.maintain import (
    append_collection,
    drop_collection,
    facts_of,
    refresh_collection,
)
from rasteret_sql.session.session import Session


def _opened(session: Session, arguments: dict[str, Any]) -> CollectionIndex:
    """The collection of a call, reached by the backend that it names, which takes the place of its name."""
    if arguments.get("backend") is not None:
        session = session.through(arguments["backend"])
        arguments["backend"] = session.backend
    workspace = arguments.pop("workspace_dir", None)
    return session.open(arguments.pop("name"), workspace_of(workspace) if workspace else None)


Change = Callable[[Session, CollectionIndex, BuildOptions], Appended | Refreshed]


def _changed(function: str, change: Change, session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Change the collections of a call, show them as they are now, and tell what was done."""

    def one(arguments: dict[str, Any]) -> dict[str, Any]:
        index = _opened(session, arguments)
        options = BuildOptions(**arguments, progress=session.progress, cancelled=cancelled)
        done = change(session, index, options)
        _show_again(session, index, options.backend)
        return facts_of(index, done)

    return one_row(function, texts, one)


def append(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Add new scenes of the collections' sources."""
    return _changed("rasteret_append", append_collection, session, cancelled, texts)


def refresh(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Ask the collections' sources again."""
    return _changed("rasteret_refresh", refresh_collection, session, cancelled, texts)


def drop(session: Session, cancelled: Cancelled, texts: pa.Array) -> pa.Array:
    """Remove collections and what their names mean."""

    def one(arguments: dict[str, Any]) -> dict[str, Any]:
        named, workspace = arguments.get("backend"), arguments.get("workspace_dir")
        reading, where = session.through(named), workspace_of(workspace) if workspace else None
        backend = None if named is None else reading.backend
        done = drop_collection(reading, arguments["name"], where, backend=backend, cancelled=cancelled)
        return {"name": done.name, "scenes": done.scenes, "path": done.place}

    return one_row("rasteret_drop", texts, one)


def _show_again(session: Session, index: CollectionIndex, backend: StorageBackend | None) -> None:
    """The collection as it is now, under the name that it has."""
    stores = stores_of(backend) or index.stores
    session.add(open_collection(index.place, index.name, stores), session.home_of(index.name))
    session.publish(index.name)
