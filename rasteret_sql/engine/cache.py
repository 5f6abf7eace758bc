"""Keeps decoded tiles for the next call, bounded in bytes; the least recently used go first."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict, deque
from typing import NamedTuple

import numpy as np

from rasteret_sql.engine.machine_memory import machine_memory

_MUCH = 12
"""A statement that reads much has this part of the cache for its tiles."""
_OF_OTHERS = 4
"""This part of the cache is no statement's alone that comes back to its tiles."""
_LEAST_SHARE = 64 * 1024 * 1024
"""Bytes of that part, at least: pieces beside each other share tiles."""


def default_cache_bytes() -> int:
    """Bytes of tiles that are kept unless the user says: a sixteenth of memory."""
    return machine_memory() // 16


class TileKey(NamedTuple):
    """Identity of a stored tile, whichever band or level asks for it."""

    address: str
    offset: int
    length: int
    version: int = 0
    """Number of the file's version, which tells whose backend got it, too: what one may read, another may not."""


class CacheShare:
    """The part of a cache for the tiles of a statement that reads much: those that it needs again, the oldest go first.

    It would else drop what all others find again, and hold memory for tiles that nobody asks for.

    Args:
        max_bytes: Of tiles.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.nbytes = 0
        """Of tiles that were kept for it."""
        self.tiles: deque[tuple[TileKey, int]] = deque()
        """Their keys and bytes, the oldest first."""

    @classmethod
    def of(cls, cache_bytes: int) -> CacheShare:
        """The share that a statement has of a cache of so many bytes."""
        return cls(max(cache_bytes // _MUCH, _LEAST_SHARE))

    def make_room(self, nbytes: int, cache_bytes: int) -> None:
        """Have it keep so many bytes that come up again, beside others; other statements keep a part of the cache."""
        most = cache_bytes - cache_bytes // _OF_OTHERS
        self.max_bytes = max(self.max_bytes, min(_LEAST_SHARE + nbytes, most))

    @staticmethod
    def is_much(nbytes: int, cache_bytes: int) -> bool:
        """True for more bytes of tiles than a statement may keep in all of a cache of `cache_bytes`."""
        return nbytes > cache_bytes // _MUCH


class TileCache:
    """Thread-safe map from stored tile to its decoded samples."""

    def __init__(self, max_bytes: int) -> None:
        """Keep at most `max_bytes` of decoded samples; 0 keeps none."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._tiles: OrderedDict[TileKey, tuple[np.ndarray, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: TileKey) -> np.ndarray | None:
        with self._lock:
            entry = self._tiles.get(key)
            if entry is None:
                return None
            self._tiles[key] = entry[0], time.monotonic()
            self._tiles.move_to_end(key)
            return entry[0]

    def __contains__(self, key: TileKey) -> bool:
        """True for a tile that is kept; this is no use of it."""
        return key in self._tiles

    def put(self, key: TileKey, tile: np.ndarray, since: float = math.inf, share: CacheShare | None = None) -> None:
        """Keep a tile, dropping those that were used longest ago.

        Args:
            key: identity of the tile.
            tile: its samples.
            since: tiles used after this time (`time.monotonic`) are not dropped; where they fill the cache the new
                one is not kept. A call that reads more than the cache holds thus finds a part of it again, where
                plain least-recently-used would have dropped each tile before it comes up again.
            share: of the statement that reads the tile; None: it may take all of the cache.
        """
        size = tile.nbytes
        if size > self._max_bytes:
            return
        with self._lock:
            self._drop(key)
            if share is not None:
                while share.tiles and share.nbytes + size > share.max_bytes:
                    own, own_size = share.tiles.popleft()
                    share.nbytes -= own_size
                    self._drop(own)
                if size > share.max_bytes:
                    return
            while self._bytes + size > self._max_bytes:
                oldest = next(iter(self._tiles))
                if self._tiles[oldest][1] > since:
                    return
                self._drop(oldest)
            self._tiles[key] = tile, time.monotonic()
            self._bytes += size
            if share is not None:
                share.tiles.append((key, size))
                share.nbytes += size

    def _drop(self, key: TileKey) -> None:
        old = self._tiles.pop(key, None)
        if old is not None:
            self._bytes -= old[0].nbytes

    def resize(self, max_bytes: int) -> None:
        """Set another bound, dropping what no longer fits."""
        with self._lock:
            self._max_bytes = max_bytes
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._tiles)))

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
