"""Decoded tiles kept for the next call, least recently used first to go, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np


class TileKey(NamedTuple):
    """Identity of a stored tile, whichever band or level asks for it."""

    address: str
    offset: int
    length: int


class TileCache:
    """Thread-safe map from stored tile to its decoded samples."""

    def __init__(self, max_bytes: int) -> None:
        """Keep at most `max_bytes` of decoded samples; 0 keeps none."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._tiles: OrderedDict[TileKey, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: TileKey) -> np.ndarray | None:
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None:
                self._tiles.move_to_end(key)
            return tile

    def put(self, key: TileKey, tile: np.ndarray) -> None:
        size = tile.nbytes
        if size > self._max_bytes:
            return
        with self._lock:
            old = self._tiles.pop(key, None)
            if old is not None:
                self._bytes -= old.nbytes
            self._tiles[key] = tile
            self._bytes += size
            while self._bytes > self._max_bytes:
                _, gone = self._tiles.popitem(last=False)
                self._bytes -= gone.nbytes

    def resize(self, max_bytes: int) -> None:
        """Set another bound, dropping what no longer fits."""
        with self._lock:
            self._max_bytes = max_bytes
            while self._bytes > self._max_bytes:
                _, gone = self._tiles.popitem(last=False)
                self._bytes -= gone.nbytes

    def clear(self) -> None:
        """Forget all tiles: files may have been replaced."""
        with self._lock:
            self._tiles.clear()
            self._bytes = 0

    @property
    def nbytes(self) -> int:
        return self._bytes

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    def __len__(self) -> int:
        return len(self._tiles)
