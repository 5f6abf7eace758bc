"""Gives memory that was used before: new memory costs more than most of what is done in it."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict, deque
from typing import Any

import numpy as np
import numpy.typing as npt

_MOST_KEPT = 4 * 1024 * 1024
"""Bytes that a thread keeps for one purpose, at most."""
_LEAST_RECYCLED = 64 * 1024
"""Smaller pieces of memory are had at once."""
_MOST_RECYCLED = 8 * 1024 * 1024
"""Bytes that are kept of pieces of one size, at most."""
_SIZES = 4
"""Sizes of which pieces are kept."""


class Scratch(threading.local):
    """Memory for one purpose, of each thread its own. What a thread gets is gone when it asks again."""

    def __init__(self) -> None:
        self._kept: npt.NDArray[np.uint8] = np.empty(0, np.uint8)

    def get(self, size: int) -> npt.NDArray[np.uint8]:
        """So many bytes, of any content."""
        if size > _MOST_KEPT:
            return np.empty(size, np.uint8)
        if len(self._kept) < size:
            self._kept = np.empty(size, np.uint8)
        return self._kept[:size]


class Recycled:
    """Memory that comes back when nobody uses it any more, for whoever asks for as much next, on any thread."""

    def __init__(self) -> None:
        self._free: OrderedDict[int, deque[npt.NDArray[np.uint8]]] = OrderedDict()
        """Pieces by their size; what is done with them is done at once, for they come back at any moment."""

    def get(self, size: int) -> npt.NDArray[np.uint8]:
        """So many bytes, of any content; they are the caller's as long as any array is a view of them."""
        if not _LEAST_RECYCLED <= size <= _MOST_RECYCLED:
            return np.empty(size, np.uint8)
        free = self._free.get(size)
        if free is None:
            free = self._free[size] = deque(maxlen=_MOST_RECYCLED // size)
            if len(self._free) > _SIZES:
                self._free.popitem(last=False)
        try:
            piece = free.pop()
        except IndexError:
            piece = np.empty(size, np.uint8)
        # All views of it hold this array, not the one that is kept.
        given = np.frombuffer(piece.data, np.uint8)
        end: Any = weakref.finalize(given, free.append, piece)
        end.atexit = False
        return given
