"""Reads GDAL_METADATA: scale, offset, name and own nodata of each band, from the tag's XML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import unescape

# The tag is XML of one flat form. Patterns read it in linear time and, as GDAL does, forgive text that no XML parser
# would take; entities of a hostile file cannot grow.
_ITEM = re.compile(r"<Item\s([^<>]*)>([^<]*)</Item\s*>")
_ATTRIBUTE = re.compile(r"""([A-Za-z_:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_ENTITIES = {"&quot;": '"', "&apos;": "'"}


@dataclass(frozen=True, slots=True)
class BandMetadata:
    """The metadata of bands in GDAL_METADATA; every tuple has one value a band."""

    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    descriptions: tuple[str | None, ...]
    nodata: tuple[str | None, ...]
    """Text of a nodata value of the band's own, None where the file's counts."""
    nodata_values: tuple[str, ...] | None = None
    """Texts of NODATA_VALUES where they are as many as bands: a pixel is invalid where every band has its own."""
    items: Mapping[str, str] = field(default_factory=dict)
    """Items of the whole file, by name in capitals."""


def read_metadata(text: str | None, bands: int) -> BandMetadata:
    """Read GDAL_METADATA; items of unknown bands and malformed numbers count as absent."""
    scales, offsets = [1.0] * bands, [0.0] * bands
    descriptions: list[str | None] = [None] * bands
    nodata: list[str | None] = [None] * bands
    items: dict[str, str] = {}
    for attributes, body in _ITEM.findall(text or ""):
        item = {key.lower(): _plain(double or single) for key, double, single in _ATTRIBUTE.findall(attributes)}
        # GDAL escapes a value, and the XML that it stands in escapes it again.
        value, name = _plain(_plain(body)), item.get("name", "").upper()
        if "sample" not in item:
            if not item.get("domain"):
                items[name] = value
            continue
        sample = item.get("sample", "")
        if not (sample.isascii() and sample.isdigit() and len(sample) < 6 and int(sample) < bands):
            continue
        band, role = int(sample), item.get("role", "")
        if role == "scale":
            scales[band] = 1.0 if (number := _number(value)) is None else number
        elif role == "offset":
            offsets[band] = _number(value) or 0.0
        elif role == "description":
            descriptions[band] = value or None
        elif role == "nodata" or (name == "NODATA" and not role):
            nodata[band] = value
    return BandMetadata(
        tuple(scales), tuple(offsets), tuple(descriptions), tuple(nodata), values_of_bands(items, bands), items
    )


def values_of_bands(items: Mapping[str, str], bands: int) -> tuple[str, ...] | None:
    """Texts of the item NODATA_VALUES, None where there is none or they are not as many as bands."""
    values = tuple(one for one in items.get("NODATA_VALUES", "").split(" ") if one)
    return values if len(values) == bands else None


def _number(text: str) -> float | None:
    """A float, None for text that is no number."""
    try:
        return float(text)
    except ValueError:
        return None


def _plain(text: str) -> str:
    return unescape(text, _ENTITIES)
