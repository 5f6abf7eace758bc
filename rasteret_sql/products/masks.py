"""Knows the mask bands of products: what clouds, shadows, snow, water and missing pixels are in them.

Each condition is SQL over the mask band, here written as `qa`. Sources:

- Sentinel-2 L2A SCL: ESA's scene classification, custom-scripts.sentinel-hub.com/custom--2/scene-classification.
- Landsat Collection 2 QA_PIXEL: the item's classification:bitfields, and USGS LSDS-1619. Bit 6, "clear", is set on
  shadow and snow, so it is not used.
- HLS V2 Fmask: HLS User Guide V2, tables 6 to 9. Cirrus is in the cloud bit; bit 0 is not used. Pixels beside clouds
  and shadows (bit 2) count as clouds, as in NASA's own indices.
- DEA oa_fmask: Geoscience Australia, cmi.ga.gov.au. Brazil Data Cube Fmask: brazil-data-cube.github.io.
- MODIS MOD09A1 state: MOD09 user guide; clouds are cloudy and mixed pixels, the internal cloud flag and cirrus of
  average or high.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rasteret_sql.errors import InvalidArgumentError, name_meant

KINDS = ("clouds", "shadows", "snow", "water", "nodata")
"""Words of which a mask can be put together with `and`: 'clouds and shadows'."""


@dataclass(frozen=True, slots=True)
class MaskBand:
    """The mask band of a product."""

    product: str
    """For messages."""
    bands: tuple[str, ...]
    """Names under which collections have it."""
    words: tuple[str, ...]
    """Words that the name of the dataset has to have; empty: the band's name is enough."""
    conditions: Mapping[str, str]
    """Kind → SQL over `qa`."""


def _classes(*values: int) -> str:
    return f"qa IN ({', '.join(map(str, values))})"


def _bits(*numbers: int) -> str:
    return f"(qa & {sum(1 << number for number in numbers)}) <> 0"


MASKS = (
    MaskBand(
        "Sentinel-2 L2A",
        ("SCL", "scl"),
        (),
        {
            "clouds": _classes(8, 9, 10),
            "shadows": _classes(3),
            "snow": _classes(11),
            "water": _classes(6),
            "nodata": f"qa IS NULL OR {_classes(0)}",
        },
    ),
    MaskBand(
        "Landsat Collection 2",
        ("qa_pixel", "QA_PIXEL"),
        (),
        {
            "clouds": _bits(1, 2, 3),
            "shadows": _bits(4),
            "snow": _bits(5),
            "water": _bits(7),
            "nodata": f"qa IS NULL OR {_bits(0)}",
        },
    ),
    MaskBand(
        "HLS V2",
        ("Fmask", "fmask"),
        ("hls",),
        {
            "clouds": _bits(1, 2),
            "shadows": _bits(3),
            "snow": _bits(4),
            "water": _bits(5),
            "nodata": "qa IS NULL OR qa = 255",
        },
    ),
    MaskBand(
        "Digital Earth Australia",
        ("oa_fmask",),
        (),
        {
            "clouds": _classes(2),
            "shadows": _classes(3),
            "snow": _classes(4),
            "water": _classes(5),
            "nodata": f"qa IS NULL OR {_classes(0)}",
        },
    ),
    MaskBand(
        "Brazil Data Cube",
        ("Fmask", "fmask", "FMASK"),
        ("bdc",),
        {
            "clouds": _classes(4),
            "shadows": _classes(2),
            "snow": _classes(3),
            "water": _classes(1),
            "nodata": "qa IS NULL OR qa = 255",
        },
    ),
    MaskBand(
        "MODIS MOD09A1",
        ("STATE", "sur_refl_state_500m"),
        (),
        {
            "clouds": "qa_bits(qa, 0, 1) IN (1, 2) OR qa_bits(qa, 10, 10) = 1 OR qa_bits(qa, 8, 9) IN (2, 3)",
            "shadows": _bits(2),
            "snow": _bits(12, 15),
            "water": "qa_bits(qa, 3, 5) <> 1",
            "nodata": "qa IS NULL OR qa = 65535",
        },
    ),
)


def kinds_asked(text: str) -> list[str] | None:
    """The kinds that a mask in words asks for; None where it is no mask in words, but SQL.

    Raises:
        InvalidArgumentError: there is no such kind.
    """
    words = [word.strip() for word in re.split(r"\s+and\s+|,", text.strip(), flags=re.IGNORECASE)]
    found = [name_meant(word, KINDS) for word in words]
    if all(found):
        return [kind for kind in found if kind is not None]
    return None


def mask_condition(kinds: Sequence[str], data_source: str, bands: Sequence[str], where: str) -> tuple[str, str]:
    """The condition for kinds of pixels in a collection.

    Args:
        kinds: of `KINDS`.
        data_source: id of its dataset.
        bands: names of its bands.
        where: the collection, for messages.

    Returns:
        SQL over `qa`, and the name of the band that `qa` is.

    Raises:
        InvalidArgumentError: it has no mask band that is known.
    """
    name = data_source.lower().replace("_", "-")
    for mask in MASKS:
        band = next((one for one in mask.bands if one in bands), None)
        if band is not None and all(word in name for word in mask.words):
            return " OR ".join(f"({mask.conditions[kind]})" for kind in kinds), band
    known = "; ".join(f"{mask.product} ({mask.bands[0]})" for mask in MASKS)
    raise InvalidArgumentError(
        f"mask := '{' and '.join(kinds)}' cannot be used: {where} has no mask band that is known, of {known}. Write a "
        "condition over its bands, such as mask := 'SCL IN (3, 8, 9, 10)'"
    )
