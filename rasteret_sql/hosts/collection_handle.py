"""`CollectionHandle`: holds a collection for code that runs in other processes, which open it anew there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.reading.context import ReadContext
from rasteret_sql.selection.call_access import call_backend
from rasteret_sql.session.session import Session, new_session

_OPEN = 16
"""Collections that a process has open for its handles."""


@dataclass(frozen=True, slots=True)
class CallAccess:
    """Holds what a call says of how files are reached."""

    backend: StorageBackend | None
    cloud_config: CloudConfig | Mapping[str, Any] | None
    data_source: str | None


@dataclass(frozen=True, slots=True, eq=False)
class CollectionHandle:
    """A collection that another process opens anew: its pickle says where it is, and holds nothing else."""

    opened: Session
    """Of the process that made the handle."""
    place: str
    name: str
    data_source: str
    process: int
    """Of that process."""

    @classmethod
    def of(cls, session: Session, index: CollectionIndex, data_source: str) -> CollectionHandle:
        """That of an open collection."""
        return cls(session, str(index.place), index.name, data_source, os.getpid())

    @property
    def session(self) -> Session:
        """The session of this process: another one in a forked child, where the connections of the first are dead."""
        if self.process == os.getpid():
            return self.opened
        own = _opened(self.place, self.name, self.data_source, os.getpid()).opened
        return replace(own, backend=self.opened.backend, configs=self.opened.configs, settings=self.opened.settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.place, self.name, self.data_source)


@contextmanager
def reading(collection: CollectionHandle, access: CallAccess, function: str) -> Iterator[ReadContext]:
    """Make the surroundings of one call, in this process.

    Args:
        collection: whose scenes are read.
        access: how their files are reached.
        function: what is called, for the list of costs.
    """
    session = collection.session
    backend = call_backend(session, access.backend, access.cloud_config, access.data_source, collection.data_source)
    with session.receipts.begin(function) as receipt:
        yield session.paying(receipt).reading(backend=backend)


def _reopened(place: str, name: str, data_source: str) -> CollectionHandle:
    return _opened(place, name, data_source, os.getpid())


@lru_cache(maxsize=_OPEN)
def _opened(place: str, name: str, data_source: str, process: int) -> CollectionHandle:
    session = new_session()
    session.add(open_collection(place, name))
    return CollectionHandle(session, place, name, data_source, process)
