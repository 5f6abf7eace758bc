"""GDAL_METADATA: scale, offset, name and own nodata of each band, from the tag's XML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.sax.saxutils import unescape

# The tag is XML of one flat form. Patterns read it in linear time and, as GDAL does, forgive text that no XML parser
# would take; entities of a hostile file cannot grow.
_ITEM = re.compile(r"<Item\s([^<>]*)>([^<]*)</Item\s*>")
_ATTRIBUTE = re.compile(r"""([A-Za-z_:]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_ENTITIES = {"&quot;": '"', "&apos;": "'"}


@dataclass(frozen=True, slots=True)
class BandMetadata:
    """What GDAL_METADATA says about bands; every tuple has one value a band."""

    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    descriptions: tuple[str | None, ...]
    nodata: tuple[str | None, ...]
    """Text of a nodata value of the band's own, None where the file's counts."""


def read_metadata(text: str | None, bands: int) -> BandMetadata:
    """Read GDAL_METADATA; items of unknown bands and malformed numbers count as absent."""
    scales, offsets = [1.0] * bands, [0.0] * bands
    descriptions: list[str | None] = [None] * bands
    nodata: list[str | None] = [None] * bands
    for attributes, body in _ITEM.findall(text or ""):
        item = {key.lower(): _plain(double or single) for key, double, single in _ATTRIBUTE.findall(attributes)}
        # GDAL escapes a value, and the XML that it stands in escapes it again.
        value, name = _plain(_plain(body)), item.get("name", "").upper()
        if name == "NODATA_VALUES" and "sample" not in item and not item.get("domain"):
            values = value.split()
            if len(values) == bands:
                nodata = list(values)
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
    return BandMetadata(tuple(scales), tuple(offsets), tuple(descriptions), tuple(nodata))


def _number(text: str) -> float | None:
    """A float, None for text that is no number."""
    try:
        return float(text)
    except ValueError:
        return None


def _plain(text: str) -> str:
    return unescape(text, _ENTITIES)
