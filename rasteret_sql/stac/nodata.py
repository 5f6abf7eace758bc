"""Reads the nodata that an item says of an asset or its bands, as text: numbers exactly, `nan`, `inf`, `-inf`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_BAND_LISTS = ("bands", "raster:bands")
"""STAC 1.1, and the raster extension before it."""


def item_nodata(asset: Mapping[str, Any], sample: int | None) -> str | None:
    """The nodata that an asset says of one of its samples.

    The band's own word counts before the asset's. A list with one entry speaks of all samples, and so do several that
    agree where it is not known which sample is meant.

    Args:
        asset: As the item has it.
        sample: 0-based; None where the asset means its only band.

    Returns:
        None where nothing is said, or nothing that is a number.
    """
    for name in _BAND_LISTS:
        listed = asset.get(name)
        bands = listed if isinstance(listed, list) else []
        values = [_text(band.get("nodata")) if isinstance(band, Mapping) else None for band in bands]
        if sample is not None and len(values) > 1:
            values = values[sample : sample + 1]
        if values and len(set(values)) == 1 and values[0] is not None:
            return values[0]
    own = _text(asset.get("nodata"))
    return own if own is not None else _text(asset.get("raster:nodata"))


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, int):
        return str(value)
    try:
        number = float(value)
    except ValueError:
        return None
    if math.isfinite(number) and number.is_integer():
        # A table may keep all as doubles; text of a whole number is exact as it stands.
        return value.strip() if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() else str(int(number))
    return repr(number)
