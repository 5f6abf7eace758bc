"""`Job` and `TileNeed`: name the tiles that a row wants, and do the row's work as they arrive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rasteret_sql.engine.cache import TileKey
from rasteret_sql.engine.tile_source import TileSource
from rasteret_sql.io.backend import FileFacts, StorageBackend


@dataclass(frozen=True, slots=True, eq=False)
class TileNeed:
    """One tile that a job wants, and the slot under which it will be given."""

    address: str
    tiles: TileSource
    """Of the image that it is of."""
    index: int
    """Its number there."""
    slot: int
    """The job's own number for this need."""
    version: FileFacts | None = None
    """What is known of the file from the time when the places of its tiles were read."""
    backend: StorageBackend | None = None
    """Who reads the file; None: the process, as any file."""
    once: bool = False
    """True where no other job of the statement needs it, as far as the job knows."""

    def at(self, slot: int) -> TileNeed:
        """The same under another number; many are made, and `dataclasses.replace` is slow."""
        return TileNeed(self.address, self.tiles, self.index, slot, self.version, self.backend, self.once)

    def key(self, version: int) -> TileKey | None:
        """Identity of the stored tile in a version of its file; None where nothing is stored (a sparse file's hole)."""
        part = self.tiles.locate(self.index)
        return None if part is None else TileKey(self.address, part.offset, part.length, version)


class Job(ABC):
    """One row's work. `place` comes from several threads at once, `finish` once, after the last tile."""

    memory = 0
    """Bytes that the job holds between its first tile and `finish`; 0 where the caller holds them anyway."""

    @abstractmethod
    def needs(self) -> Iterable[TileNeed]:
        """The tiles, each with its slot. Asked once, and once more before where the job is planned first."""

    @abstractmethod
    def place(self, slot: int, tile: np.ndarray | None) -> None:
        """Take a tile (rows, cols, samples), which must not be changed; None for one that is not stored."""

    @abstractmethod
    def finish(self) -> None:
        """Make the result of all tiles."""

    def ahead(self) -> Sequence[Callable[[], object]]:
        """Work that needs no tile, once: threads do it that else wait for the first tiles. Without it nothing fails."""
        return ()

    def describe(self) -> str:
        """Says what the job reads, for messages; empty where there is nothing to say."""
        return ""

    def skip(self) -> None:  # noqa: B027 - most have nothing to do
        """Take note that the job is only planned: no tile comes, and `finish` does not."""

    def fail(self, error: Exception) -> bool:  # noqa: ARG002
        """Take note that the job cannot be done; True where that is dealt with, False lets the call fail."""
        return False
