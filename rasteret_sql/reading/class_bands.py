"""Tells which bands hold classes, bits or masks, whose values have no mean."""

from __future__ import annotations

import re

from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.reading.derived_band import DerivedBand
from rasteret_sql.tiff import tags

_NAMES = re.compile(
    r"(scl|qa([_-].*)?|.*[_-]qa|.*qa[_-]?(pixel|radsat|aerosol|60)|.*fmask.*|.*mask.*|(.*[_-])?(class|classes|"
    r"classification|landcover|land_cover|lulc|cover|labels?|map))",
    re.IGNORECASE,
)
"""Names of such bands in the usual catalogs: Sentinel-2's SCL, Landsat's QA_PIXEL, HLS's Fmask, maps of land cover."""


def is_of_classes(source: BandSource) -> bool:
    """True where a band is known to hold classes: it has a palette, single bits, or one of their usual names.

    A band of integers that is computed from such bands has classes, too.
    """
    if isinstance(source, DerivedBand):
        return source.header.dtype.kind in "iu" and any(is_of_classes(one) for one in source.inputs)
    level = source.header.levels[0]
    return level.photometric == tags.PHOTOMETRIC_PALETTE or level.bits == 1 or is_name_of_classes(source.band)


def is_name_of_classes(band: str) -> bool:
    """True for a usual name of a band that holds classes."""
    return _NAMES.fullmatch(band) is not None
