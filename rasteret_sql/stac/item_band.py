"""Reads what an item says of a band beside its nodata: common name, scale, offset, unit.

Sources: STAC's raster extension 1 (`raster:bands`) and 2 (`raster:scale`, `raster:offset` in `bands`), EO extension 1
(`eo:bands`) and 2 (`eo:common_name`), and the conventions of Sentinel-2's Level-2A: from processing baseline 04.00 on,
1000 is added to what is stored (ESA, Sentinel-2 Products Specification Document), unless the catalog says that it was
taken off again (Earth Search's `boa_offset_applied`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rasteret_sql.tiff.header import ItemBand

_LISTS = ("bands", "raster:bands", "eo:bands")
_OFFSET_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_BASELINE = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
PROPERTIES = (*_OFFSET_APPLIED, *_BASELINE, "constellation", "platform")
"""Properties of an item that `with_offset_of_item` looks at; it looks at the item's collection, too."""
_REFLECTANCE = re.compile(
    r"(B(0[1-9]|1[0-2]|8A)|coastal|blue|green|red|rededge[123]?|nir|nir08|nir09|cirrus|swir16|swir22)(-jp2|_\d+m)?",
    re.IGNORECASE,
)
"""Keys of the assets of Sentinel-2 that hold reflectance."""
_SCALE, _OFFSET = 0.0001, -0.1
"""Of Sentinel-2 Level-2A from baseline 04.00 on."""


def item_band(asset: Mapping[str, Any], sample: int | None) -> ItemBand | None:
    """The words of an asset on one of its samples; None where it says nothing.

    Args:
        asset: As the item has it.
        sample: 0-based; None where the asset means its only band.
    """
    said = [words for name in _LISTS if (words := _words(asset.get(name), sample))] + [asset]
    found = ItemBand(
        common_name=_first(said, ("common_name", "eo:common_name"), _text),
        scale=_first(said, ("raster:scale", "scale"), _number),
        offset=_first(said, ("raster:offset", "offset"), _number),
        unit=_first(said, ("unit",), _text),
    )
    return None if found == ItemBand() else found


def with_offset_of_item(band: ItemBand | None, key: str, item: Mapping[str, Any]) -> ItemBand | None:
    """The words on a band of Sentinel-2 with the scale and offset that its item asks for.

    Args:
        band: What its asset says.
        key: Of the asset.
        item: Its properties tell of which processing it is, and whether the offset was applied.
    """
    properties = item.get("properties")
    if not isinstance(properties, Mapping):
        return band
    applied = next((properties[name] for name in _OFFSET_APPLIED if name in properties), None)
    if band is not None and (band.scale is not None or band.offset is not None):
        # The offset that the catalog lists is that of the product; a file from which it was taken has none.
        return replace(band, offset=0.0) if applied is True and band.offset else band
    if not _is_sentinel_2(item, properties) or not _REFLECTANCE.fullmatch(key):
        return band
    baseline = next((str(properties[name]) for name in _BASELINE if name in properties), None)
    if baseline is None:
        return band
    is_shifted = _version(baseline) >= (4, 0) and applied is not True
    return replace(band or ItemBand(), scale=_SCALE, offset=_OFFSET if is_shifted else 0.0)


def _is_sentinel_2(item: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    names = (str(item.get("collection")), str(properties.get("constellation")), str(properties.get("platform")))
    return any(re.search(r"sentinel-?(s)?2", name, re.IGNORECASE) for name in names)


def _version(text: str) -> tuple[int, int]:
    numbers = re.match(r"\D*(\d+)(?:\.(\d+))?", text)
    return (int(numbers[1]), int(numbers[2] or 0)) if numbers else (0, 0)


def _words(listed: Any, sample: int | None) -> Mapping[str, Any]:
    """The entry of a list of bands that speaks of a sample; empty where none does."""
    bands = listed if isinstance(listed, list) else []
    at = 0 if len(bands) == 1 else sample
    one = bands[at] if at is not None and at < len(bands) else {}
    return one if isinstance(one, Mapping) else {}


def _first(said: list[Mapping[str, Any]], names: tuple[str, ...], read: Any) -> Any:
    return next((value for one in said for name in names if (value := read(one.get(name))) is not None), None)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
