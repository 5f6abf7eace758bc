"""`AskedBand`: holds a band as a call asks for it, with what is done to its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AskedBand:
    """A band of which a call says more than its name or number."""

    band: str | int
    """Name, number from 1, common name, name of an index, or expression."""
    name: str | None = None
    """Its name in the result; None: as it is asked for."""
    mask: str | None = None
    """Condition over bands: where it is true, pixels are not valid. Or words, such as clouds."""
    dilate: int = 0
    """Pixels by which the mask grows."""
    scaled: bool = False
    """True: by scale and offset."""
    nodata: float | None = None
    """In place of that of the file."""
    fill: float | None = None
    """Value of pixels that are not valid, which are valid then."""
    gcp: str | None = None
    """How ground control points place the pixels; None: as the file's own number of them says."""

    def __str__(self) -> str:
        return str(self.band) if self.name is None else self.name


Asked = str | int | AskedBand
"""A name, a number from 1, or more than that."""


def ask(bands: Sequence[str | int] | Mapping[str, str | int], pixels: Mapping[str, Any]) -> tuple[Asked, ...]:
    """The bands of a call.

    Args:
        bands: as they are asked for, or name in the result → what is asked for.
        pixels: mask, dilate, scaled, nodata, fill, gcp of the call; empty where it says none of them.
    """
    names: Sequence[str | None] = list(bands) if isinstance(bands, Mapping) else [None] * len(bands)
    asked = list(bands.values()) if isinstance(bands, Mapping) else bands
    if not pixels and not isinstance(bands, Mapping):
        return tuple(asked)
    return tuple(AskedBand(band, name, **pixels) for band, name in zip(asked, names, strict=True))
