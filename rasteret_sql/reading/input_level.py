"""Chooses the overview in which an input of a derived band is read."""

from __future__ import annotations

import math

from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.tiff.header import BandHeader

_SAME_SIZE = 1.01
"""Pixels count as no larger than others up to this factor: an odd size makes overviews a little larger."""


def level_of_input(source: BandSource, header: BandHeader, level: int) -> int:
    """The coarsest level of an input whose pixels are no larger than those of the band that is computed.

    Args:
        source: The input.
        header: Of the band that is computed.
        level: That is read of it.
    """
    wanted = _pixel(header, level) * _SAME_SIZE
    mask = source.header.validity.mask
    fine = [
        one
        for one in range(len(source.header.levels))
        if _pixel(source.header, one) <= wanted and (mask is None or mask.levels[one] is not None)
    ]
    return fine[-1] if fine else 0


def _pixel(header: BandHeader, level: int) -> float:
    """Side of a pixel in units of the CRS; a part of the image where it has no place."""
    transform = header.level_transform(level)
    if transform is None:
        return 1 / math.sqrt(header.levels[level].width * header.levels[level].height)
    return math.sqrt(abs(transform.determinant))
