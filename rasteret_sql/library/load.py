"""Loads a collection: from a path, or the name of a cached one, to an open index."""

from __future__ import annotations

import os
from pathlib import Path

from rasteret_sql.errors import MissingObjectError, UnknownCollectionError
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.index.place.location import Workspace, is_remote
from rasteret_sql.index.place.workspace import find_collection, let_mean, tell_replaced
from rasteret_sql.io.remote_directory import HasStores


def load_collection(
    workspace: Workspace, path: str | os.PathLike[str], name: str = "", stores: HasStores | None = None
) -> CollectionIndex:
    """Open an index, and let its name mean it in the workspace; its files stay where they are.

    Args:
        workspace: Where names are looked up and kept.
        path: Directory, Parquet file or URL; where nothing lies at it, the name of a collection of the workspace.
        name: What to call it; the one kept in the index by default.
        stores: By whose stores a workspace or collection elsewhere is reached; None: the process's own.

    Raises:
        MissingObjectError: There is neither.
        IndexFormatError: What is there is no collection.
    """
    index = find_loaded(workspace, path, name, stores)
    keep_loaded(workspace, index, stores)
    return index


def find_loaded(
    workspace: Workspace, path: str | os.PathLike[str], name: str = "", stores: HasStores | None = None
) -> CollectionIndex:
    """As `load_collection`, and what names mean stays as it is."""
    text = os.fspath(path)
    if is_remote(text) or Path(text.removeprefix("file://")).expanduser().exists():
        return open_collection(text, name, stores)
    try:
        index = find_collection(text, workspace, stores)
    except UnknownCollectionError as error:
        raise MissingObjectError(
            f"there is no collection at {Path(text).expanduser().absolute()}: no such file or directory; and "
            f"{error}. rasteret_collections() lists what is cached"
        ) from None
    return open_collection(index.place, name, stores) if name else index


def keep_loaded(workspace: Workspace, index: CollectionIndex, stores: HasStores | None = None) -> None:
    """Let the name of an index that was loaded mean it in a workspace, with a warning where it meant another one."""
    before = let_mean(workspace, index.name, index.place, stores)
    tell_replaced(index.name, index.place, before, "it was loaded under that name", stores)
