"""Keeps the collections that a session has open, each current with what its name means."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rasteret_sql.errors import IndexFormatError, MissingObjectError
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection, reopened
from rasteret_sql.index.place.location import Workspace
from rasteret_sql.index.place.name_files import meaning_of, stamp_of


@dataclass(slots=True, eq=False)
class _Open:
    """An open collection, and where its name may be given another one."""

    index: CollectionIndex
    workspace: Workspace | None
    """None: the name means this collection here, whatever it means elsewhere."""
    stamp: object
    """Of what the workspace says of the name, as it was when that was last looked at."""


class OpenCollections:
    """Collections built, loaded or queried, by name as DuckDB compares names: without regard to case.

    A name means what it means in its workspace: where another process gave it another collection, that is opened. In a
    workspace of an object store this is looked at when a collection is opened, not at each use.
    """

    def __init__(self) -> None:
        self._by_key: dict[str, _Open] = {}
        self._lock = threading.Lock()

    def add(self, index: CollectionIndex, workspace: Workspace | None = None) -> None:
        """Open a collection; one of the same name is replaced.

        Args:
            index: The collection.
            workspace: Where its name may come to mean another one; None where it keeps meaning this one.
        """
        entry = _Open(index, workspace, None)
        if isinstance(workspace, Path):
            said = meaning_of(workspace, index.name)
            # Another process was faster with the same name, unless this one could not write what it means.
            if said is None or said.place == index.place or not os.access(workspace, os.W_OK):
                entry.stamp = stamp_of(workspace, index.name)
        with self._lock:
            self._by_key.pop(index.name.casefold(), None)
            self._by_key[index.name.casefold()] = entry

    def remove(self, name: str) -> CollectionIndex | None:
        """Close a collection, and give it, if it is open."""
        with self._lock:
            entry = self._by_key.pop(name.casefold(), None)
        return None if entry is None else entry.index

    def workspace(self, name: str) -> Workspace | None:
        """The workspace where an open collection has its name; None where none is open, or it has it here alone."""
        entry = self._by_key.get(name.casefold())
        return None if entry is None else entry.workspace

    def get(self, name: str, workspace: Workspace | None = None) -> CollectionIndex | None:
        """The collection as it is now, None where none of that name is open, or it is gone.

        Args:
            name: As it was opened.
            workspace: Only if it has its name there.
        """
        entry = self._by_key.get(name.casefold())
        if entry is None or (workspace is not None and entry.workspace != workspace):
            return None
        return self._now(entry)

    def __iter__(self) -> Iterator[CollectionIndex]:
        """Newest first, each as it is now."""
        with self._lock:
            opened = list(self._by_key.values())[::-1]
        return iter([current for entry in opened if (current := self._now(entry)) is not None])

    def current(self, index: CollectionIndex) -> CollectionIndex | None:
        """The collection opened again if it was changed, by whichever process; None if it is gone."""
        if index.is_current():
            return index
        try:
            current: CollectionIndex | None = reopened(index)
        except (MissingObjectError, IndexFormatError):
            current = None
        with self._lock:
            key = index.name.casefold()
            entry = self._by_key.get(key)
            if entry is not None and entry.index is index:
                if current is None:
                    del self._by_key[key]
                else:
                    entry.index = current
        return current

    def _now(self, entry: _Open) -> CollectionIndex | None:
        """The collection that an open one's name means now."""
        if not isinstance(entry.workspace, Path) or stamp_of(entry.workspace, entry.index.name) == entry.stamp:
            return self.current(entry.index)
        stamp, said = stamp_of(entry.workspace, entry.index.name), meaning_of(entry.workspace, entry.index.name)
        if said is None or said.place == entry.index.place:
            entry.stamp = stamp
            return self.current(entry.index)
        try:
            other = open_collection(said.place, said.name, entry.index.stores)
        except (MissingObjectError, IndexFormatError):
            self.remove(entry.index.name)
            return None  # whoever asks by name is told
        with self._lock:
            entry.index, entry.stamp = other, stamp
        return other

    def __len__(self) -> int:
        return len(self._by_key)
