"""Keeps the version of each file that a call began with, so that no answer mixes two."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import OrderedDict
from typing import Any

from rasteret_sql.errors import FileChangedError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.routed_backend import default_backend

_KEPT_FILES = 65_536
_NOTHING = FileFacts()


class Scopes:
    """A number for each backend; the process's own, with what is in the environment, is 0."""

    def __init__(self) -> None:
        self._numbers: dict[int, tuple[object, int]] = {}
        self._next = itertools.count(1)
        self._lock = threading.Lock()

    def of(self, backend: StorageBackend | None) -> int:
        """The number of a backend, the same as long as it lives."""
        if backend is None or backend is default_backend():
            return 0
        with self._lock:
            known = self._numbers.get(id(backend))
            if known is None:
                known = self._numbers[id(backend)] = (self._held(backend), next(self._next))
            return known[1]

    def _held(self, backend: StorageBackend) -> object:
        """An object that keeps the number from being given to another backend at the same place in memory."""
        try:
            end: Any = weakref.finalize(backend, self._numbers.pop, id(backend), None)
        except TypeError:  # there are no weak references to it: it is kept
            return backend
        end.atexit = False
        return end


class Version:
    """The version of a file that calls read: the first answer says what the others have to agree with."""

    __slots__ = ("_ended", "_facts", "_lock", "indexed", "number")

    def __init__(self, number: int, indexed: FileFacts | None) -> None:
        self.number = number
        """Tells its tiles from those of any other version, file or backend."""
        self.indexed = indexed
        """What is known of the file from the time when its header was read."""
        self._facts = indexed
        self._ended = ""
        """Why the file is another one now."""
        self._lock = threading.Lock()

    @property
    def expected(self) -> FileFacts | None:
        """The facts with which an answer has to agree."""
        return self._facts

    def check(self) -> None:
        """Ask for nothing more once an answer was of another version.

        Raises:
            FileChangedError: One was.
        """
        if self._ended:
            raise FileChangedError(self._ended)

    def settle(self, address: str, facts: FileFacts) -> None:
        """Take note of an answer.

        Raises:
            FileChangedError: It, or one before it, is of another version.
        """
        with self._lock:
            if change := facts.change_from(self._facts or _NOTHING):
                self._ended = self._ended or (
                    f"cannot read {safe_address(address)}: the file was changed while it was read: {change}. Run the "
                    "same again, with on_change := 'refresh' if it was changed since it was indexed"
                )
            known = zip(_values(self._facts or _NOTHING), _values(facts), strict=True)
            self._facts = FileFacts(*(now if before is None else before for before, now in known))  # type: ignore[arg-type]
        self.check()

    def end(self, why: str) -> None:
        """The file is another one now."""
        with self._lock:
            self._ended = self._ended or why


class Versions:
    """The version of each file that is read, by address, backend, and what the index says of it."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int, FileFacts | None], Version] = OrderedDict()
        self._next = itertools.count(1)
        self._lock = threading.Lock()

    def of(self, address: str, scope: int, indexed: FileFacts | None) -> Version:
        """The version that a call reads from its first tile to its last."""
        key = (address, scope, indexed)
        with self._lock:
            found = self._known.get(key)
            if found is None:
                found = self._known[key] = Version(next(self._next), indexed)
                if len(self._known) > _KEPT_FILES:
                    self._known.popitem(last=False)
            else:
                self._known.move_to_end(key)
            return found

    def forget(self, address: str, scope: int, version: Version) -> None:
        """Its file is another one now: calls from now on begin anew, with none of its tiles."""
        key = (address, scope, version.indexed)
        with self._lock:
            if self._known.get(key) is version:
                del self._known[key]


def _values(facts: FileFacts) -> tuple[object, ...]:
    return facts.size, facts.etag, facts.modified
