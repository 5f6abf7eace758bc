"""`TiffTiles`: gives the tiles of one image of a TIFF, located and decoded."""

from __future__ import annotations

from dataclasses import dataclass

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.tiff.codecs import Buffer, is_of_bytes, load_codec
from rasteret_sql.tiff.decode import Pixels, decode_tile
from rasteret_sql.tiff.header import Level


@dataclass(frozen=True, slots=True, eq=False)
class TiffTiles:
    """A `TileSource` of the engine; a tile's number is its position in the tables of the image."""

    level: Level

    def locate(self, index: int) -> ByteRange | None:
        offset, length = int(self.level.offsets[index]), int(self.level.byte_counts[index])
        return ByteRange(offset, length) if offset and length else None

    def decode(self, index: int, data: Buffer, address: str) -> Pixels:
        return decode_tile(self.level, index, data, address)

    def load_decoder(self) -> None:
        load_codec(self.level.compression, self.level.predictor)

    @property
    def decodes_into_own_memory(self) -> bool:
        return is_of_bytes(self.level.compression)
