"""Which version of a file is read, and for whom: no answer ever mixes two."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import OrderedDict

from rasteret_sql.engine.cache import TileCache, TileKey
from rasteret_sql.errors import FileChangedError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.automatic import AutomaticBackend
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.stores import default_backend

_KEPT_FILES = 65_536


class Scopes:
    """A number for each backend; the process's own, with what is registered and in the environment, is 0."""

    def __init__(self) -> None:
        self._numbers: dict[int, tuple[object, int]] = {}
        self._next = itertools.count(1)
        self._lock = threading.Lock()

    def of(self, backend: StorageBackend) -> int:
        """The number of a backend, the same as long as it lives."""
        if isinstance(backend, AutomaticBackend) or backend is default_backend():
            return 0
        with self._lock:
            known = self._numbers.get(id(backend))
            if known is None:
                known = self._numbers[id(backend)] = (self._held(backend), next(self._next))
            return known[1]

    def _held(self, backend: StorageBackend) -> object:
        """What keeps the number from being given to another backend at the same place in memory."""
        try:
            end = weakref.finalize(backend, self._numbers.pop, id(backend), None)
        except TypeError:  # there are no weak references to it: it is kept
            return backend
        end.atexit = False
        return end


class FirstVersions:
    """Files whose index does not say which version it is of: the first answer settles that."""

    def __init__(self, cache: TileCache) -> None:
        self._cache = cache
        self._known: OrderedDict[tuple[str, int], FileFacts] = OrderedDict()
        self._lock = threading.Lock()

    def expected(self, key: TileKey) -> FileFacts | None:
        """What an answer has to agree with."""
        return key.version if key.version is not None else self._known.get((key.address, key.scope))

    def settle(self, key: TileKey, facts: FileFacts) -> None:
        """Take note of an answer.

        Raises:
            FileChangedError: it is of another version than an answer before it.
        """
        if key.version is not None:
            return
        with self._lock:
            first = self._known.setdefault((key.address, key.scope), facts)
            if len(self._known) > _KEPT_FILES:
                self._known.popitem(last=False)
        if change := facts.change_from(first):
            self.forget(key)
            raise FileChangedError(
                f"{safe_address(key.address)} was changed while it was read: {change}. Run the same again, and build "
                "the collection again if it still fails"
            )

    def forget(self, key: TileKey) -> None:
        """The file was changed: let its new version be read."""
        if key.version is None:
            with self._lock:
                self._known.pop((key.address, key.scope), None)
            self._cache.forget(key.address, key.scope)
