"""Declares once the named arguments that the reads of a collection share, with their defaults and their words."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import Annotated, Any, NamedTuple, ParamSpec, TypedDict, TypeVar, get_type_hints

from rasteret_sql.callbacks import Progress
from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.errors import ArgumentTypeError, did_you_mean
from rasteret_sql.functions.docstrings import in_python
from rasteret_sql.functions.registry import DECLARED
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT
from rasteret_sql.scenes.dates import DateLike
from rasteret_sql.selection.areas import AUTO, Crs

P = ParamSpec("P")
R = TypeVar("R")
_REST = "**named:"
"""Stands in a docstring where the shared arguments are to be."""


class Takes(NamedTuple):
    """The default and the meaning of an argument."""

    default: Any
    doc: str


def _as_read_chip(name: str, default: Any = None) -> Takes:
    """An argument that means what it means in SQL."""
    (doc,) = (argument.doc for argument in DECLARED["read_chip"].arguments if argument.name == name)
    return Takes(default, in_python(doc))


class AccessArguments(TypedDict, total=False):
    """Say how files are reached."""

    max_concurrent: Annotated[
        int,
        Takes(
            DEFAULT_MAX_CONCURRENT,
            "taken for the sake of existing code: requests are bounded for the whole process",
        ),
    ]
    progress: Annotated[
        bool | Progress | None, Takes(None, "True: shown on stderr; a function: told (done, total, what)")
    ]
    cloud_config: Annotated[
        CloudConfig | Mapping[str, Any] | None,
        Takes(None, "how files are reached in this call, in place of what is registered for the data source"),
    ]
    data_source: Annotated[
        str | None,
        Takes(
            None,
            "dataset of the scenes, in place of the collection's: its config and login reach the files, and its names "
            "of bands serve beside the collection's own",
        ),
    ]
    backend: Annotated[StorageBackend | None, Takes(None, "how pixels are read in this call, in place of all these")]


class TargetArguments(TypedDict, total=False):
    """Say the CRS of pixels."""

    target_crs: Annotated[
        int | str | None,
        Takes(
            None,
            "CRS of the pixels (EPSG code). It, resolution, shape or align asks for one grid for all scenes, whose CRS "
            "is by default that of most of them; a warning tells where they are in several",
        ),
    ]


class GeometryArguments(TypedDict, total=False):
    """Say the form of geometries."""

    geometry_crs: Annotated[
        Crs, Takes(AUTO, "CRS of the geometries; by default what they say themselves, else EPSG:4326")
    ]
    geometry_column: Annotated[str | None, Takes(None, "which column, where the geometries are a table")]


class GridArguments(TypedDict, total=False):
    """Say the grid of pixels, and which of them are in an area, and what the others are."""

    all_touched: Annotated[bool, _as_read_chip("all_touched", default=False)]
    resolution: Annotated[float | tuple[float, float] | None, _as_read_chip("resolution")]
    resampling: Annotated[str | None, _as_read_chip("resampling")]
    shape: Annotated[tuple[int, int] | None, _as_read_chip("shape")]
    align: Annotated[str | tuple[float, float] | None, _as_read_chip("align")]
    fill: Annotated[
        float | None,
        Takes(None, "value of pixels outside an area, or that a mask drops; by default the nodata, else 0"),
    ]


class ValueArguments(TypedDict, total=False):
    """Say what values are, and what happens to scenes that fail."""

    on_error: Annotated[
        str,
        Takes(
            "null",
            "'null': scenes that cannot be read are left out, and a RuntimeWarning counts them; 'raise': the first of "
            "them is an error",
        ),
    ]
    on_change: Annotated[
        str,
        Takes(
            "raise",
            "'raise': a file that was changed since it was indexed cannot be read; 'refresh': its header is read "
            "again, and the index brought up to date",
        ),
    ]
    max_bytes: Annotated[
        int | str | None,
        Takes(
            None,
            "most bytes to fetch, such as 10_000_000 or '10 MB': a call that needs more is an error before its first "
            "request. What is cached is free",
        ),
    ]
    mask: Annotated[str | None, _as_read_chip("mask")]
    dilate: Annotated[int, _as_read_chip("dilate", default=0)]
    scaled: Annotated[bool, _as_read_chip("scaled", default=False)]
    nodata: Annotated[float | None, _as_read_chip("nodata")]
    gcp: Annotated[str | None, _as_read_chip("gcp")]


class FilterArguments(TypedDict, total=False):
    """Choose scenes, as `subset` does."""

    cloud_cover_lt: float | None
    date_range: Sequence[DateLike] | str | None
    bbox: Sequence[float] | None
    split: str | Sequence[str] | None
    split_column: str


class AreaArguments(
    AccessArguments, TargetArguments, GeometryArguments, GridArguments, ValueArguments, FilterArguments, total=False
):
    """The named arguments of every read of areas."""


class PointFilterArguments(FilterArguments, total=False):
    """Choose scenes, as `subset` does, of a read whose geometries are points."""

    geometries: Any


class PointArguments(AccessArguments, GeometryArguments, ValueArguments, PointFilterArguments, total=False):
    """The named arguments of every read of points."""


class WindowArguments(AccessArguments, ValueArguments, total=False):
    """The named arguments of every read of named scenes."""


_FILTERS = frozenset(PointFilterArguments.__annotations__)


@cache
def _declared(arguments: type) -> dict[str, tuple[Any, Takes]]:
    """Name → type and meaning of those that have one; filters have that of `subset`."""
    hints = get_type_hints(arguments, include_extras=True)
    return {name: (kind.__origin__, kind.__metadata__[0]) for name, kind in hints.items() if name not in _FILTERS}


def _filter_names(arguments: type) -> list[str]:
    return [name for name in get_type_hints(arguments) if name in _FILTERS]


def with_defaults(arguments: type, named: Mapping[str, Any]) -> dict[str, Any]:
    """The shared arguments of a call, those that it does not say too; without filters."""
    return {name: named.get(name, takes.default) for name, (_, takes) in _declared(arguments).items()}


def filters_of(arguments: type, named: Mapping[str, Any]) -> dict[str, Any]:
    """The filters of a call."""
    return {name: named[name] for name in _filter_names(arguments) if name in named}


def argument_names(arguments: type) -> list[str]:
    """The shared arguments and the filters."""
    return [*_declared(arguments), *_filter_names(arguments)]


def takes(arguments: type) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Give a method that takes `**named` the signature and docstring of all that it takes, and refuse other names.

    Args:
        arguments: the shared arguments, a TypedDict of those above.
    """

    def decorated(method: Callable[P, R]) -> Callable[P, R]:
        own = inspect.signature(method)
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=takes.default, annotation=kind)
            for name, (kind, takes) in _declared(arguments).items()
        ]
        filters = [inspect.Parameter("filters", inspect.Parameter.VAR_KEYWORD, annotation=Any)]
        *mine, _ = own.parameters.values()
        first = [one for one in mine if one.default is inspect.Parameter.empty]
        last = filters if _filter_names(arguments) else []
        signature = own.replace(parameters=[*first, *shared, *mine[len(first) :], *last])
        known = [name for name in signature.parameters if name not in ("self", "filters")] + _filter_names(arguments)

        @wraps(method)
        def call(*args: P.args, **named: P.kwargs) -> R:
            for name in named:
                if name not in known:
                    raise ArgumentTypeError(
                        f"{method.__name__} has no argument {name!r}; {did_you_mean(name, known, len(known))}"
                    )
            return method(*args, **named)

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__doc__ = _documented(method.__doc__ or "", arguments)
        return call

    return decorated


def _documented(doc: str, arguments: type) -> str:
    """A docstring with the words of the shared arguments, and those of the filters at the end of its arguments."""
    lines = doc.split("\n")
    at = next(number for number, line in enumerate(lines) if line.lstrip().startswith(_REST))
    end = next(number for number in range(at, len(lines)) if not lines[number].strip())
    indent = lines[at][: -len(lines[at].lstrip())]
    entries = [f"{name}: {takes.doc}." for name, (_, takes) in _declared(arguments).items()]
    names = ", ".join(_filter_names(arguments))
    filters = [f"**filters: which scenes: {names}, as for `subset`."] if names else []
    shared, last = ([line for entry in some for line in _filled(entry, indent)] for some in (entries, filters))
    return "\n".join([*lines[:at], *shared, *lines[at + 1 : end], *last, *lines[end:]])


def _filled(entry: str, indent: str) -> list[str]:
    return textwrap.wrap(entry, 120, initial_indent=indent, subsequent_indent=f"{indent}    ", break_on_hyphens=False)
