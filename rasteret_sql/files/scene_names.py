"""Reads the scene, the time and the band of a file out of its path."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.files.list_files import TIFF, ListedFile
from rasteret_sql.scenes.dates import parse_instant

_DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": r"\d{2}",
    "d": r"\d{2}",
    "j": r"\d{3}",
    "H": r"\d{2}",
    "M": r"\d{2}",
    "S": r"\d{2}",
    "f": r"\d{1,6}",
    "b": r"[A-Za-z]{3}",
    "B": r"[A-Za-z]+",
    "%": "%",
}
"""What each directive of strptime stands for; those of a language, a week or a zone are not read."""
_DIGITS = {4: "%Y", 6: "%Y%m", 7: "%Y%j", 8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Form of a time that is so many digits."""
_EDGES = "_-. "
ONLY_BAND = "band"
"""Name of the band of a file that nothing names; samples of a file of several are `band_1`, ..."""


@dataclass(frozen=True)
class FileNaming:
    """Rules by which paths tell scenes, times and bands. Arguments are checked when it is made."""

    id: str | None = None
    """Regular expression of the scene in the path; its groups, joined by `_`, or all of what it fits."""
    datetime: str | None = None
    """Form of strptime (`%Y%m%d`), or regular expression whose groups are digits of a time or an ISO 8601 text."""
    bands: str | Sequence[str] | None = None
    """Regular expression of the band in the file's name, or the names of the samples of each file."""
    band_map: Mapping[str, str] | None = None
    """Band → pattern of file names, or a part of them."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Word in a file's name → band, of the dataset that the files are of."""

    def __post_init__(self) -> None:
        for what in ("id", "datetime"):
            given = getattr(self, what)
            if given is not None and not (isinstance(given, str) and given):
                raise InvalidArgumentError(f"{what} is a regular expression as text, not {given!r}")
        samples = self.bands
        if samples is not None and not (
            (isinstance(samples, str) and samples)
            or (isinstance(samples, Sequence) and samples and all(isinstance(one, str) and one for one in samples))
        ):
            raise InvalidArgumentError(
                f"bands are a regular expression such as '_(B\\d+)\\.', or a list of the names of each file's "
                f"samples, not {samples!r}"
            )
        if self.band_map is not None and not (
            isinstance(self.band_map, Mapping)
            and all(isinstance(k, str) and k and isinstance(v, str) and v for k, v in self.band_map.items())
        ):
            raise InvalidArgumentError(
                f"band_map maps bands to patterns of file names, such as {{'red': '*_B04*'}}, not {self.band_map!r}"
            )
        if self.band_map and self.bands is not None:
            raise InvalidArgumentError("bands and band_map both name the bands; give one of them")
        _ = self._id, self._time, self._band

    @property
    def samples(self) -> list[str]:
        """Names of the samples of each file; empty where none are given."""
        return [] if self.bands is None or isinstance(self.bands, str) else list(self.bands)

    @cached_property
    def _id(self) -> re.Pattern[str] | None:
        return None if self.id is None else _compiled("id", self.id)

    @cached_property
    def _band(self) -> re.Pattern[str] | None:
        if isinstance(self.bands, str):
            return _compiled("bands", self.bands)
        if not self.known or self.bands is not None or self.band_map:
            return None
        words = "|".join(re.escape(word) for word in sorted(self.known, key=len, reverse=True))
        return re.compile(rf"(?:^|[_.-])({words})(?=[_.-])", re.IGNORECASE)

    @cached_property
    def _time(self) -> tuple[re.Pattern[str], str | None] | None:
        if self.datetime is None:
            return None
        if "%" not in self.datetime:
            return _compiled("datetime", self.datetime), None
        written = ""
        for literal, directive in re.findall(r"([^%]+)|%(.?)", self.datetime):
            if not literal and directive not in _DIRECTIVES:
                raise InvalidArgumentError(
                    f"datetime := {self.datetime!r} has %{directive}, which is not read; expected "
                    f"{', '.join('%' + one for one in _DIRECTIVES)}, or a regular expression without %"
                )
            written += re.escape(literal) if literal else _DIRECTIVES[directive]
        return re.compile(written), self.datetime

    def time_of(self, file: ListedFile) -> dt.datetime | None:
        """The time in a file's name, else in its path; None where none is there."""
        if self._time is None:
            return None
        pattern, form = self._time
        for text in (file.name, file.relative, file.address):
            for match in pattern.finditer(text):
                found = _time(match, form)
                if found is not None:
                    return found
        return None

    def band_of(self, file: ListedFile) -> tuple[str | None, str]:
        """The band of a file, and what of its name is left without it; None where no rule for bands fits."""
        if self.band_map:
            for band, pattern in self.band_map.items():
                if _fits(file.name, pattern):
                    return band, _without(file.name, pattern)
            return None, ""
        if self._band is None:
            return ONLY_BAND, _stem(file.name)
        match = self._band.search(file.name)
        if match is None:
            return (None, "") if isinstance(self.bands, str) else (ONLY_BAND, _stem(file.name))
        word = next((group for group in match.groups() if group), match[0])
        plain = TIFF.sub("", file.name)
        rest = (plain[: match.start()] + plain[match.end() :]).strip(_EDGES)
        by_word = {one.casefold(): band for one, band in self.known.items()}
        return by_word.get(word.casefold(), word), rest

    def scene_of(self, file: ListedFile, rest: str) -> tuple[str, str] | None:
        """The id of a file's scene, and what of its name is left without it; None where `id` does not fit.

        Args:
            file: the file.
            rest: what `band_of` leaves of its name.
        """
        if self._id is None:
            return rest or _folder(file), ""
        for text in (file.name, file.relative, file.address):
            match = self._id.search(text)
            if match is not None:
                groups = [group for group in match.groups() if group]
                left = (
                    _stem(file.name).replace(match[0], "", 1).strip(_EDGES) if text == file.name else _stem(file.name)
                )
                return "_".join(groups) or match[0], left
        return None


def _compiled(what: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InvalidArgumentError(f"{what} := {pattern!r} is no regular expression: {error}") from None


def _time(match: re.Match[str], form: str | None) -> dt.datetime | None:
    groups = [group for group in match.groups() if group]
    text = "".join(groups) if groups else match[0]
    try:
        if form is not None:
            return dt.datetime.strptime(match[0], form)  # noqa: DTZ007 - naive UTC throughout
        digits = re.sub(r"[^0-9]", "", text)
        if re.fullmatch(r"[0-9_\-T:. ]+Z?", text) and len(digits) in _DIGITS:
            return dt.datetime.strptime(digits, _DIGITS[len(digits)])  # noqa: DTZ007
        return parse_instant(text)
    except ValueError:
        return None


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) if re.search(r"[*?\[]", pattern) else pattern in name


def _without(name: str, pattern: str) -> str:
    """A name without the longest text that its pattern has literally."""
    literal = max(re.split(r"[*?]|\[[^]]*\]", TIFF.sub("", pattern)), key=len).rstrip(".")
    return _stem(name.replace(literal, "", 1) if literal else name)


def _stem(name: str) -> str:
    return TIFF.sub("", name).strip(_EDGES)


def _folder(file: ListedFile) -> str:
    return file.folder.rpartition("/")[2] or _stem(file.name)


def naming_of(identity: Mapping[str, Any]) -> FileNaming:
    """The rules that a collection remembers."""
    pairs = identity["band_map"]
    return FileNaming(
        identity["id"],
        identity["datetime"],
        identity["bands"],
        None if pairs is None else dict(pairs),
        dict(identity["known"]),
    )
