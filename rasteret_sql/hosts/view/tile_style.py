"""`TileStyle`: reads what the address of a tile says of its pixels and their picture."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from rasteret_sql.errors import InvalidArgumentError, did_you_mean
from rasteret_sql.raster.colormaps import colormap
from rasteret_sql.raster.composite import METHODS
from rasteret_sql.raster.stretch import Stretch
from rasteret_sql.reading.asked_band import Asked, ask
from rasteret_sql.reading.options import PixelOptions, require, require_one_of
from rasteret_sql.scenes.dates import DateRange, parse_date_range

SIZES = (256, 512)
"""Pixels of a side of a tile."""
_LONGEST = 8_000
"""Characters of an argument."""
Given = Mapping[str, Sequence[str]]
"""The arguments of an address: each may be given several times."""


@dataclass(frozen=True, slots=True)
class TileStyle:
    """The arguments of tiles of a collection, by their names in addresses."""

    expr: tuple[str, ...] = ()
    """One band or expression over bands, or three as red, green and blue; empty: those that the collection shows."""
    mask: str | None = None
    dilate: int = 0
    date: str | None = None
    """A day, month, year, or two of them with / between."""
    where: str | None = None
    """Condition in SQL over columns of scenes."""
    scene: str | None = None
    """The id of the only scene."""
    method: str = "first"
    best_by: str | None = None
    stretch: str | None = None
    """'low,high', several of them with ; between, 'p2-p98' or 'none'."""
    colormap: str | None = None
    resampling: str | None = None
    scaled: bool = False
    nodata: float | None = None
    size: int = 256

    @classmethod
    def of(cls, given: Given) -> TileStyle:
        """Read the arguments of an address.

        Raises:
            InvalidArgumentError: there is none of that name, or a value cannot be used.
        """
        known = [one.name for one in fields(cls)]
        named: dict[str, object] = {}
        for name, texts in given.items():
            if name not in known:
                raise InvalidArgumentError(f"tiles have no argument {name!r}; {did_you_mean(name, known)}")
            if any(len(text) > _LONGEST for text in texts):
                raise InvalidArgumentError(f"{name} is longer than {_LONGEST:,} characters")
            if name == "expr":
                named[name] = tuple(part.strip() for text in texts for part in text.split(";") if part.strip())
            elif texts[-1].strip():
                named[name] = _READ.get(name, _text)(name, texts[-1].strip())
        style = cls(**named)  # type: ignore[arg-type]
        style.check()
        return style

    def check(self) -> None:
        """Raise where values cannot be used, or not together."""
        require(len(self.expr) in (0, 1, 3), "expr", ";".join(self.expr), "one, or three as red, green and blue")
        require_one_of("method", self.method, METHODS)
        require(
            (self.method == "best") == (self.best_by is not None),
            "best_by",
            self.best_by,
            "a band or an expression with method=best, and none with others",
        )
        require(self.size in SIZES, "size", self.size, f"{SIZES[0]} or {SIZES[1]} pixels")
        if self.colormap is not None:
            colormap(self.colormap)
            require(len(self.expr) < 2, "colormap", self.colormap, "none where three bands are red, green and blue")
        self.options("")
        self.of_stretch()
        self.dates()

    def options(self, collection: str) -> PixelOptions:
        """The options of reads."""
        return PixelOptions(
            collection or None,
            mask=self.mask,
            dilate=self.dilate,
            scaled=self.scaled,
            nodata=self.nodata,
            resampling=self.resampling,
            on_change="refresh",
        )

    def bands(self, names: Sequence[str]) -> tuple[Asked, ...]:
        """The bands that are read.

        Args:
            names: those where the style says none.
        """
        return ask(list(self.expr or names), self.options("").of_bands())

    def scores(self) -> Asked | None:
        """The band that the method best compares."""
        return None if self.best_by is None else ask([self.best_by], self.options("").of_bands())[0]

    def dates(self) -> DateRange | None:
        """The time of scenes; None: any."""
        return parse_date_range(self.date)

    def of_stretch(self) -> Stretch:
        """The rule by which values become black and white."""
        return Stretch.of(_limits(self.stretch))

    def key(self) -> str:
        """A text that differs where pictures may."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:24]


def _text(_name: str, text: str) -> str:
    return text


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    require(value == value, name, text, "a number")  # noqa: PLR0124 - NaN
    return value


def _nodata(name: str, text: str) -> float:
    return math.nan if text.lower() == "nan" else _number(name, text)


def _whole(name: str, text: str) -> int:
    require(text.isdecimal() and len(text) < 10, name, text, "a whole number, 0 or more")
    return int(text)


def _flag(name: str, text: str) -> bool:
    require(text.lower() in ("true", "false", "1", "0"), name, text, "true or false")
    return text.lower() in ("true", "1")


_READ = {"dilate": _whole, "size": _whole, "scaled": _flag, "nodata": _nodata}


def _limits(text: str | None) -> object:
    """The limits that a text says, as `Stretch.of` takes them."""
    if text is None or not any(sign.isdigit() for sign in text) or text.lower().startswith("p"):
        return text
    pairs = [[_number("stretch", number) for number in pair.split(",")] for pair in text.split(";") if pair.strip()]
    return pairs[0] if len(pairs) == 1 else pairs
