"""Says how many bytes of the tiles of a scene are to be kept until a statement comes back to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.reading.derived_band import DerivedBand
from rasteret_sql.reading.input_level import level_of_input
from rasteret_sql.reading.options import PixelOptions
from rasteret_sql.tiff.header import Level
from rasteret_sql.tiff.validity import layers

_ROWS = 1024
"""Rows of pixels, at least, in which neighbouring geometries come back to tiles: small zones are mostly no larger."""
_Stored = dict[tuple[str, int], Level]
"""The images that a band is read from, by address and the place of their last tile."""


def bytes_again(bands: Sequence[BandSource], options: PixelOptions, *, apart: bool) -> int:
    """Bytes of decoded tiles of a scene that are needed again, whichever of its geometries come next.

    Neighbouring geometries are read one after the other, in rows: so these are some rows of tiles. Where bands are
    read one after the other and from one image, as those of a file that has them side by side, or those of one mask, it
    is all of them: the next band comes after all geometries.

    Args:
        bands: of the scene.
        options: how they are read.
        apart: True: one band after the other; False: all together.
    """
    of_bands = [_stored(band, options) for band in bands]
    stored = {key: level for of_band in of_bands for key, level in of_band.items()}
    if apart and any(count > 1 for count in Counter(key for of_band in of_bands for key in of_band).values()):
        return sum(_row(level) * level.tiles_down for level in stored.values())
    return sum(_row(level) * min(level.tiles_down, 1 + -(-_ROWS // level.tile_height)) for level in stored.values())


def _stored(band: BandSource, options: PixelOptions) -> _Stored:
    found: _Stored = {}
    for one in band.files:
        is_input = isinstance(band, DerivedBand)
        at = level_of_input(one, band.header, options.level) if is_input else options.level
        for layer in layers(one.header, at, options.alpha):
            found[one.file_of(layer.level)[0], int(layer.level.offsets.max(initial=0))] = layer.level
    return found


def _row(level: Level) -> int:
    """Bytes of a row of decoded tiles."""
    samples = level.samples if level.planar == 1 else 1
    return level.tiles_across * level.tile_width * level.tile_height * samples * level.dtype.itemsize
