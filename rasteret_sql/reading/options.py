"""Checks the options that reads share, as values, when they are made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from rasteret_sql.errors import FileChangedError, InvalidArgumentError, RasteretError, nearest_names
from rasteret_sql.geo.gcps import METHODS
from rasteret_sql.raster.warp.resampling import INTERPOLATIONS, RESAMPLINGS
from rasteret_sql.tiff.validity import ALPHA_RULES

_FEW_WORDS = 2
_NEAR = 0.65
"""Least likeness of words of which one may be meant: 'nearest' is not what 'best' means."""
AUTO = "auto"
"""The value of `overview` that leaves the choice to us."""


class Whole(Enum):
    """The request for a whole image, without a geometry: a value of its own, since NULL is a missing geometry."""

    IMAGE = "(whole image)"
    """Its text is the default of `geom` in SQL."""


@dataclass(frozen=True, slots=True)
class SaidCollection:
    """Names the collection of a scene as the column `collection` of its relation says it.

    That is the name of a collection, or as in the views the STAC collection of which the scene is an item.
    """

    name: str


@dataclass(frozen=True, slots=True)
class PixelOptions:
    """Named arguments of a pixel function; NULL in SQL leaves the default."""

    collection: str | SaidCollection | None = None
    """Where the scene ids are looked up; None: in all open collections."""
    all_touched: bool = False
    """True: pixels that the geometry touches; False: pixels whose centre it holds."""
    clip: bool = True
    """True: fill what lies outside the geometry."""
    fill: float | None = None
    """Value outside the geometry of a chip; None: the file's nodata, else 0."""
    fill_invalid: float | None = None
    """Value of pixels that are not valid, which are valid then; None: they stay as they are."""
    overview: int | str = AUTO
    """0 full resolution, 1 the first overview, and so on; 'auto': on a target grid the one with at least its
    resolution, else full resolution."""
    crs: str | None = None
    """Of the target grid; None: that of the scene, or of the one that it is aligned with."""
    resolution: tuple[float, float] | None = None
    """Width and height of its pixels, in units of its CRS."""
    shape: tuple[int, int] | None = None
    """Its height and width in pixels, over the bounds of the geometry; in place of a resolution."""
    align: str | tuple[float, float] | None = None
    """The id of a scene whose grid it is in line with, or x and y of a point at a corner of its pixels."""
    resampling: str | None = None
    """One of `RESAMPLINGS`; None: nearest for classes and masks, else bilinear."""
    interpolation: str | None = None
    """One of `INTERPOLATIONS`: how a value at a point is computed from the pixels around it; None: it is that of its
    pixel."""
    weighted: bool = False
    """True: each pixel counts by the exact fraction of it that the geometry covers."""
    max_distance_pixels: int = 0
    """How far a point looks for a valid pixel."""
    on_error: str = "raise"
    """'raise': one failing row fails the query; 'null': it gives NULL."""
    on_change: str = "raise"
    """'raise': a file that was changed since it was indexed is an error; 'refresh': its header is read again."""
    alpha: str = "auto"
    """'auto': alpha counts as validity where GDAL has it so; 'always': wherever a file has it."""
    backend: str | None = None
    """Name under which the session knows the backend that reads; None: the session's own."""

    max_bytes: int | None = None
    """Most bytes that the function may fetch in a statement; None: as many as it takes."""

    mask: str | None = None
    """Condition over bands: where it is true, pixels are not valid; or words for it, such as clouds."""
    dilate: int = 0
    """Pixels by which the mask grows."""
    scaled: bool = False
    """True: values in units, by scale and offset; False: as stored."""
    nodata: float | None = None
    """In place of that of the files."""
    gcp: str | None = None
    """One of `METHODS`: how ground control points place pixels; None: by the number of points."""

    def of_bands(self) -> dict[str, Any]:
        """Those that change the pixels of bands, for `AskedBand`; empty where none is given."""
        # A point that looks at the pixels around it is filled once it has found nothing.
        fill = self.fill_invalid if self.max_distance_pixels == 0 and self.interpolation is None else None
        given = {"mask": self.mask, "dilate": self.dilate, "scaled": self.scaled, "nodata": self.nodata, "fill": fill}
        given["gcp"] = self.gcp
        is_plain = self.mask is None and self.nodata is None and fill is None and not self.scaled and self.gcp is None
        return {} if is_plain else given

    @property
    def level(self) -> int:
        """The level that is read on the scene's own grid."""
        return self.overview if isinstance(self.overview, int) else 0

    @property
    def has_target(self) -> bool:
        """True where pixels are wanted on another grid than the scene's own."""
        # Asked for each row, so without a loop.
        return not (self.crs is None and self.resolution is None and self.shape is None and self.align is None)

    def of_scene(self, collection: str | None) -> PixelOptions:
        """The same for a scene of which a relation says the collection; what the call itself says counts first."""
        if collection is None or self.collection is not None:
            return self
        return replace(self, collection=SaidCollection(collection))

    @property
    def collection_name(self) -> str | None:
        """The collection as it was named, for messages."""
        return self.collection.name if isinstance(self.collection, SaidCollection) else self.collection

    def tolerates(self, error: Exception) -> bool:
        """True where a row that fails so gives NULL."""
        return self.on_error == "null" and isinstance(error, RasteretError)

    def refreshes(self, error: Exception) -> bool:
        """True where a row that fails so is read again, with the headers that its files have now."""
        return self.on_change == "refresh" and isinstance(error, FileChangedError)

    def __post_init__(self) -> None:
        require_one_of("on_change", self.on_change, ("raise", "refresh"))
        require_one_of("on_error", self.on_error, ("raise", "null"))
        require_one_of("alpha", self.alpha, ALPHA_RULES)
        require(
            self.max_bytes is None or self.max_bytes >= 0, "max_bytes", self.max_bytes, "a number of bytes, 0 or more"
        )
        require(
            self.fill_invalid is None or math.isfinite(self.fill_invalid), "fill", self.fill_invalid, "a finite number"
        )
        require(0 <= self.dilate <= 256, "dilate", self.dilate, "0 to 256 pixels")
        require(not self.dilate or self.mask is not None, "dilate", self.dilate, "a mask := that it grows")
        require(
            self.overview == AUTO or (isinstance(self.overview, int) and self.overview >= 0),
            "overview",
            self.overview,
            "0 for full resolution, the number of an overview, or 'auto'",
        )
        for name, value, known in (("resampling", self.resampling, RESAMPLINGS), ("gcp", self.gcp, METHODS)):
            if value is not None:
                require_one_of(name, value, known)
        require(
            self.interpolation is None or self.interpolation in INTERPOLATIONS,
            "resampling",
            self.interpolation,
            "'nearest', 'bilinear' or 'cubic'",  # the first is not said here: it is no interpolation
        )
        if self.shape is not None:
            for name in ("resolution", "align"):
                value = getattr(self, name)
                require(value is None, name, value, "no value where a shape is given, which tells the pixels")
        require(
            0 <= self.max_distance_pixels <= 256, "max_distance_pixels", self.max_distance_pixels, "0 to 256 pixels"
        )


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Refuse the value of a named argument, in words that tell what is expected, unless the condition holds."""
    if not condition:
        raise refusal(name, value, (), expected)


def require_one_of(name: str, value: object, known: Iterable[str]) -> None:
    """Refuse the value of a named argument that is none of some words; the error tells all, and the nearest."""
    words = [*known]
    if value in words:
        return
    few = len(words) <= _FEW_WORDS
    expected = f"{', '.join(map(repr, words[:-1]))} or {words[-1]!r}" if few else f"one of {', '.join(words)}"
    raise refusal(name, value, nearest_names(str(value), words, _NEAR), expected)


def refusal(name: str, value: object, near: Sequence[str], expected: str) -> InvalidArgumentError:
    """The error of a named argument's value, with what may be meant, the nearest first, and what is expected."""
    hint = f"did you mean {near[0]!r}? Expected" if near else "expected"
    return InvalidArgumentError(f"{name} := {value!r} cannot be used; {hint} {expected}")
