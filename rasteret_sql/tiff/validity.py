"""Says which pixels of a band are valid: by which tiles, and how these say it.

Every reader asks `layers` which tiles a band's level needs and what is looked at in each. A pixel is invalid where one
of the looks of kind MASK, ALPHA or NODATA hides it, or where all looks of kind NODATA_VALUES do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from rasteret_sql.tiff import tags
from rasteret_sql.tiff.header import BandHeader, Level, Plane
from rasteret_sql.tiff.nodata import Nodata, equals_value, matches_nodata

ALPHA_RULES = ("auto", "always")
"""Values of the argument `alpha`: as GDAL has it, or wherever ExtraSamples says it."""

_COUNTING_SAMPLES = (2, 4)
_COUNTING_DTYPES = ("uint8", "uint16")
_ALPHA_KINDS = (tags.ALPHA_ASSOCIATED, tags.ALPHA_UNASSOCIATED)


class Kind(Enum):
    """The thing that is looked at in a tile."""

    PIXELS = "pixels"
    MASK = "mask"
    ALPHA = "alpha"
    NODATA = "nodata"
    NODATA_VALUES = "nodata values"


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One thing that is looked at in a tile."""

    kind: Kind
    sample: int
    """Position on the last axis of the decoded tile."""
    value: Nodata = None
    """What invalid pixels have, of NODATA and NODATA_VALUES."""
    absent: Nodata = None
    """What pixels have whose tile a sparse file leaves out."""

    def default(self, dtype: np.dtype) -> npt.NDArray[Any]:
        """The pixel of a tile that is not stored: GDAL gives nodata, or 0 where there is none."""
        return np.array(self.absent or 0).astype(dtype)

    def hides(self, pixels: npt.NDArray[Any] | None) -> npt.NDArray[np.bool_] | np.bool_:
        """True where pixels are invalid by this look; `pixels` None: their tile is not stored."""
        if self.kind in (Kind.MASK, Kind.ALPHA):
            return np.True_ if pixels is None else np.asarray(pixels == 0)
        if self.kind is Kind.NODATA:
            return np.bool_(self.value is not None) if pixels is None else matches_nodata(pixels, self.value)
        return equals_value(np.array(self.absent or 0) if pixels is None else pixels, self.value)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """The tiles of one level, and all that is looked at in them."""

    level: Level
    looks: tuple[Look, ...]


@lru_cache(maxsize=16)  # many rows of a call, one after the other, read the same band
def layers(header: BandHeader, level: int, alpha: str = "auto") -> tuple[Layer, ...]:
    """The tiles to fetch of a band's level, and what to look at.

    Args:
        header: Of the band.
        level: 0 is full resolution.
        alpha: `auto`: alpha counts where GDAL has it so; `always`: wherever there is one, beside all else that counts.

    Returns:
        The layers; the first is the band's own, and its first look are the pixels.
    """
    validity, own = header.validity, header.levels[level]
    found: dict[int, tuple[Level, list[Look]]] = {
        id(own): (own, [Look(Kind.PIXELS, header.sample, absent=header.nodata)])
    }

    def look(plane: Plane, kind: Kind, value: Nodata = None) -> None:
        at = plane.levels[level]
        if at is not None:
            found.setdefault(id(at), (at, []))[1].append(Look(kind, plane.sample, value, header.nodata))

    decides = deciding(header)
    if validity.mask is not None:
        look(validity.mask, Kind.MASK)
    elif decides is Kind.NODATA_VALUES:
        for plane, value in validity.nodata_values:
            look(plane, Kind.NODATA_VALUES, value)
    elif header.nodata is not None:
        look(Plane(header.levels, header.sample), Kind.NODATA, header.nodata)
    if validity.alpha is not None and alpha_is_used(header, alpha):
        look(validity.alpha, Kind.ALPHA)
    return tuple(Layer(at, tuple(looks)) for at, looks in found.values())


def deciding(header: BandHeader) -> Kind | None:
    """The rule for validity, beside alpha: a mask, else NODATA_VALUES, else nodata; None where nothing decides."""
    if header.validity.mask is not None:
        return Kind.MASK
    if header.validity.nodata_values:
        return Kind.NODATA_VALUES
    return None if header.nodata is None else Kind.NODATA


def alpha_is_used(header: BandHeader, alpha: str) -> bool:
    """True where alpha counts: always, or where it may and neither a mask nor NODATA_VALUES decides alone."""
    if header.validity.alpha is None:
        return False
    alone = deciding(header) in (Kind.MASK, Kind.NODATA_VALUES)
    return alpha == "always" or (header.validity.alpha_counts and not alone)


def has_unused_alpha(header: BandHeader) -> bool:
    """True where a file has alpha that counts by `always` alone, and nothing else tells which pixels are valid."""
    return header.validity.alpha is not None and not header.validity.alpha_counts and deciding(header) is None


def alpha_sample(level: Level) -> int | None:
    """The 0-based sample that ExtraSamples calls alpha, the last if there are several; extra samples come last."""
    first = level.samples - len(level.extra_samples)
    marked = [first + at for at, kind in enumerate(level.extra_samples) if kind in _ALPHA_KINDS]
    return marked[-1] if marked and first >= 0 else None


def alpha_counts(level: Level) -> bool:
    """GDAL's rule: alpha counts as the last of two or four samples of 8 or 16 bit unsigned."""
    return (
        level.samples in _COUNTING_SAMPLES
        and level.dtype.name in _COUNTING_DTYPES
        and alpha_sample(level) == level.samples - 1
    )


def describe(header: BandHeader, alpha: str = "auto") -> str:
    """In words, what tells which pixels of the band are valid."""
    decides = deciding(header)
    words = {
        None: [],
        Kind.MASK: ["mask"],
        Kind.NODATA: [f"nodata {header.nodata}" + (" of the item" if header.nodata_of_item else "")],
        Kind.NODATA_VALUES: [f"nodata of all bands ({_listed(header)})"],
    }[decides]
    return " and ".join([*words, *(["alpha"] if alpha_is_used(header, alpha) else [])]) or "all valid"


def _listed(header: BandHeader) -> str:
    values: Sequence[Nodata] = [value for _, value in header.validity.nodata_values]
    return " ".join("none" if value is None else f"{value:g}" for value in values)
