"""`TileSource`: tells the engine all that it knows of a file format."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rasteret_sql.byte_ranges import ByteRange

Buffer = bytes | bytearray | memoryview


class TileSource(Protocol):
    """The tiles of one image, as a format stores them; a tile is known by its number."""

    def locate(self, index: int) -> ByteRange | None:
        """The place of a tile in the file; None for one that is not stored."""

    def decode(self, index: int, data: Buffer, address: str) -> np.ndarray:
        """Decode a tile, without the interpreter's lock where that takes long.

        Args:
            index: Its number.
            data: The stored bytes, all of them.
            address: Names the file in errors, as it may be shown.

        Returns:
            Shape (rows, columns, samples). May be read-only.

        Raises:
            RasteretError: The bytes are none of such a tile.
        """

    def load_decoder(self) -> None:
        """Load what decodes, which takes some milliseconds at first use."""

    @property
    def decodes_into_own_memory(self) -> bool:
        """True where a decoded tile has none of the memory of the stored bytes."""
