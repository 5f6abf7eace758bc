"""`Scratch`: gives a thread the memory that it had before; new memory costs more than most of what is done in it."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

_MOST_KEPT = 4 * 1024 * 1024
"""Bytes that a thread keeps for one purpose, at most."""


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
