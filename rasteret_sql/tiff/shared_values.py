"""Remembers what the headers of files of one layout have in common, so that it is found out once.

The files of a collection mostly have the same directories: only the places and sizes of tiles, and that of the image,
differ. What is remembered hangs on bytes alone, never on the file that they came from.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_MOST = 1024


class SharedValues(Generic[K, V]):
    """Values by what they were made of; all are forgotten when there are too many. Threads may share it."""

    def __init__(self) -> None:
        self._known: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value of a key, if it is known."""
        return self._known.get(key)

    def add(self, key: K, value: V) -> V:
        """Remember a value, and give it back."""
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = value
        return value
