"""Defines every error that this package raises, in one tree.

DuckDB shows only an error's message, so each message stands alone: what was given, what was expected or exists, and
what to do next. Leaves also derive from the builtin that says the same thing, so Python callers catch what they expect.
"""

from __future__ import annotations

import difflib
import os
import traceback
from collections.abc import Iterable
from typing import Any, Self, TypeVar

_PACKAGE = os.path.dirname(__file__) + os.sep  # noqa: PTH120 - importing pathlib would cost more


def _is_between(file: str) -> bool:
    """True for files that are not the user's: ours, and those of IPython that run a cell."""
    return file.startswith(_PACKAGE) or f"{os.sep}IPython{os.sep}" in file


class RasteretError(Exception):
    """Root of all errors of rasteret_sql."""

    def __str__(self) -> str:
        # KeyError would show the repr of its message; every leaf shows the message itself.
        return str(self.args[0]) if self.args else type(self).__name__

    def _render_traceback_(self) -> list[str]:
        """The lines that a notebook shows: where the user's code called, without our own frames."""
        frames = traceback.extract_tb(self.__traceback__)
        theirs = [frame for frame in frames if not _is_between(frame.filename)]
        return [*"".join(traceback.format_list(theirs)).splitlines(), f"{type(self).__name__}: {self}"]

    def retold(self, message: str) -> Self:
        """The same error with another message: of its type, with all that it carries. Nothing is constructed anew.

        Args:
            message: In place of its own, which it should contain.
        """
        return _made(type(self), (message,), self.__dict__)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), self.args, self.__dict__)


class InvalidArgumentError(RasteretError, ValueError):
    """An argument has a value that cannot be used."""


class ArgumentTypeError(InvalidArgumentError, TypeError):
    """An argument is of a type that the call does not take, or the call has none of that name."""


class InvalidGeometryError(InvalidArgumentError):
    """A geometry cannot be parsed, or is of a kind that the call does not take."""


class InvalidCrsError(InvalidArgumentError):
    """A CRS is unknown, or two places cannot be related to each other."""


class UnknownDatasetError(RasteretError, KeyError):
    """No dataset of that id is registered."""


class UnknownCollectionError(RasteretError, KeyError):
    """No collection of that name is open or cached."""


class UnknownSceneError(RasteretError, ValueError):
    """No scene of that id is in the collections looked at."""


class UnknownBandError(RasteretError, ValueError):
    """A collection or scene has no such band."""


class AmbiguousSceneError(RasteretError, ValueError):
    """A scene id stands in several open collections that disagree on its files."""


class NameTakenError(RasteretError, ValueError):
    """A name wanted for the SQL surface belongs to something else."""


class StacError(RasteretError, ValueError):
    """A STAC answer or file cannot be used."""


class TableError(RasteretError, ValueError):
    """A table of scenes lacks what a collection needs, or holds what cannot be used."""


class TableTypeError(TableError, TypeError):
    """A value that was given for a table is none."""


class UnsaidSampleError(InvalidArgumentError, NotImplementedError):
    """Several bands share a file, and nothing says which of its samples each of them is."""


class IndexFormatError(RasteretError, ValueError):
    """A Parquet index lacks what a collection needs, or is of an unknown version."""


class TiffError(RasteretError, ValueError):
    """A file is not a TIFF that can be read."""


class CorruptTiffError(TiffError):
    """A file is no TIFF, is truncated, or its header contradicts itself."""


class UnsupportedTiffError(TiffError, NotImplementedError):
    """A valid TIFF uses a feature that is not supported; the message names it."""


class StorageError(RasteretError, OSError):
    """Bytes could not be fetched."""

    status: int | None = None
    """Of HTTP, where a server answered and it is known."""


class AccessDeniedError(StorageError, PermissionError):
    """The server refused access (401, 403)."""


class MissingObjectError(StorageError, FileNotFoundError):
    """The object or file does not exist (404)."""


class FileChangedError(StorageError):
    """A file is not the one that was indexed: its size, ETag or time of change differs."""

    address = ""
    """Of the file, where it was read for pixels."""


class StorageTimeoutError(StorageError, TimeoutError):
    """The server did not answer in time."""


class MemoryLimitError(RasteretError, MemoryError):
    """A call would hold more pixels than the session allows."""


class ByteLimitError(RasteretError, ValueError):
    """A read would fetch more bytes than its `max_bytes` allows."""


class InterruptedQueryError(RasteretError):
    """The call was stopped by Ctrl-C or `rasteret_sql.interrupt`."""


_E = TypeVar("_E", bound=RasteretError)


def _made(kind: type[_E], arguments: tuple[Any, ...], carried: dict[str, Any]) -> _E:
    """An error without a call of its constructor, which may ask for more than a message."""
    for parent in kind.__mro__:
        if "__new__" not in vars(parent):
            continue
        try:
            error: _E = parent.__new__(kind, *arguments)
        except TypeError:
            continue  # a child of ours and of MemoryError is allocated by Exception, whatever Python finds first
        error.args = arguments
        error.__dict__.update(carried)
        return error
    raise AssertionError(f"{kind} is no exception")


def name_meant(name: str, known: Iterable[str]) -> str | None:
    """The name of `known` that is meant: itself, else the only one that differs from it in case; None where none is.

    Bands and columns are found so wherever they are named.
    """
    names = list(dict.fromkeys(known))
    if name in names:
        return name
    alike = [one for one in names if one.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


_OTHER_WORDS = (
    ("mean", "avg", "average"),
    ("stddev", "std", "stdev", "sd"),
    ("median", "med", "p50"),
    ("majority", "mode"),
    ("variety", "unique", "nunique"),
    ("bilinear", "linear"),
    ("null", "none", "skip", "ignore"),
    ("raise", "error"),
    ("target_crs", "crs", "dst_crs"),
    ("geometry_crs", "crs", "geom_crs"),
    ("resolution", "res"),
)
"""Words that other tools, or other places here, have for the same."""


def nearest_names(name: str, known: Iterable[str], cutoff: float = 0.5) -> list[str]:
    """Names that may be meant, nearest first: those that are spelled nearly so, or have this word in other tools."""
    names = [str(k) for k in known]
    said = str(name).lower()
    same = [k for words in _OTHER_WORDS if said in words for k in names if k in words]
    if same:
        return same
    near = difflib.get_close_matches(str(name), names, n=max(len(names), 1), cutoff=cutoff) or [
        k for k in names if k.lower() == str(name).lower()
    ]
    # Of names that are as near, the first: "band_1", not "band_2", where "band" is given.
    near.sort(key=lambda k: (-difflib.SequenceMatcher(None, k, str(name)).ratio(), names.index(k)))
    return near


def did_you_mean(name: str, known: Iterable[str], limit: int = 12) -> str:
    """Say what exists, nearest first: `did you mean "B04"? Known: B02, B03, B04`."""
    names = [str(k) for k in known]
    near = nearest_names(name, names)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    if not names:
        return hint + "There are none"
    more = f", and {len(names) - limit} more" if len(names) > limit else ""
    return f"{hint}Known: {', '.join(names[:limit])}{more}"
