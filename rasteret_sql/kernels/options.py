"""The named arguments that pixel functions share, checked once for each distinct set."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from rasteret_sql.errors import FileChangedError, InvalidArgumentError, RasteretError, did_you_mean

WHOLE_IMAGE = "(whole image)"
"""Default of `geom` in SQL: NULL means a missing geometry there and gives NULL."""


@dataclass(frozen=True, slots=True)
class PixelOptions:
    """Named arguments of a pixel function; NULL in SQL leaves the default."""

    collection: str | None = None
    """Where the scene ids are looked up; None: in all open collections."""
    geom_crs: str | None = None
    """CRS of the geometry as given, not checked yet; None: that of its type or SRID, else EPSG:4326."""
    all_touched: bool = False
    """True: pixels that the geometry touches; False: pixels whose centre it holds."""
    clip: bool = True
    """True: fill what lies outside the geometry."""
    fill: float | None = None
    """Value outside the geometry; None: the file's nodata, else 0."""
    overview: int = 0
    """0 full resolution, 1 the first overview, and so on."""
    weighted: bool = False
    """True: each pixel counts by the exact fraction of it that the geometry covers."""
    max_distance_pixels: int = 0
    """How far a point looks for a valid pixel."""
    on_error: str = "raise"
    """'raise': one failing row fails the query; 'null': it gives NULL."""
    on_change: str = "raise"
    """'raise': a file that was changed since it was indexed is an error; 'refresh': its header is read again."""
    backend: str | None = None
    """Name under which the session knows the backend that reads; None: the session's own."""

    def tolerates(self, error: Exception) -> bool:
        """True where a row that fails so gives NULL."""
        return self.on_error == "null" and isinstance(error, RasteretError)

    def refreshes(self, error: Exception) -> bool:
        """True where a row that fails so is read again, with the headers that its files have now."""
        return self.on_change == "refresh" and isinstance(error, FileChangedError)

    def __post_init__(self) -> None:
        _require(self.on_change in ("raise", "refresh"), "on_change", self.on_change, "'raise' or 'refresh'")
        _require(self.on_error in ("raise", "null"), "on_error", self.on_error, "'raise' or 'null'")
        _require(self.overview >= 0, "overview", self.overview, "0 for full resolution, or the number of an overview")
        _require(
            0 <= self.max_distance_pixels <= 256, "max_distance_pixels", self.max_distance_pixels, "0 to 256 pixels"
        )


_KINDS: dict[str, tuple[type, ...]] = {
    "collection": (str,),
    "geom_crs": (str, int, dict),
    "all_touched": (bool,),
    "clip": (bool,),
    "fill": (int, float),
    "overview": (int,),
    "weighted": (bool,),
    "max_distance_pixels": (int,),
    "on_error": (str,),
    "on_change": (str,),
    "backend": (str,),
}
_WORDS = {str: "text", int: "an integer", float: "a number", bool: "true or false", dict: "PROJJSON"}


@lru_cache(maxsize=1024)
def pixel_options(text: str) -> PixelOptions:
    """Read the options of a row from the JSON object in which SQL hands them over."""
    given: dict[str, Any] = {k: v for k, v in json.loads(text).items() if v is not None}
    known = [field.name for field in fields(PixelOptions)]
    for name, value in given.items():
        if name not in known:
            raise InvalidArgumentError(f'unknown argument "{name}"; {did_you_mean(name, known)}')
        kinds = _KINDS[name]
        # bool is an int in Python, but `overview := true` is a mistake
        right = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        _require(right, name, value, " or ".join(_WORDS[kind] for kind in kinds))
    if "geom_crs" in given:
        crs = given["geom_crs"]
        given["geom_crs"] = json.dumps(crs) if isinstance(crs, dict) else str(crs)
    return PixelOptions(**given)


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise InvalidArgumentError(f"{name} := {value!r} cannot be used; expected {expected}")


@lru_cache(maxsize=1024)
def band_request(text: str) -> tuple[str | int, ...]:
    """Read a band argument from JSON: a name, a 1-based integer, or a list of these."""
    value = json.loads(text)
    parts = value if isinstance(value, list) else [value]
    if not parts:
        raise InvalidArgumentError("band is an empty list; expected a band name, a 1-based integer, or a list of these")
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, (str, int)):
            msg = f"band := {part!r} cannot be used; expected a band name, a 1-based integer, or a list of these"
            raise InvalidArgumentError(msg)
    return tuple(parts)
