"""Reads arguments of Python's methods as SQL's of the same name are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.functions.kinds import ALIGN, RESOLUTION, SHAPE
from rasteret_sql.geo.crs import normalize_crs
from rasteret_sql.library.settings import byte_count


def grid_arguments(
    target_crs: int | str | None,
    resolution: float | tuple[float, float] | None,
    shape: tuple[int, int] | None,
    align: str | tuple[float, float] | None,
) -> dict[str, Any]:
    """Read what a call says of a grid, as `PixelOptions` has it; what it does not say is left out.

    Raises:
        InvalidArgumentError: a value is none.
    """
    named = {"crs": None if target_crs is None else normalize_crs(target_crs)}
    for name, kind, value in (("resolution", RESOLUTION, resolution), ("shape", SHAPE, shape), ("align", ALIGN, align)):
        plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        try:
            named[name] = None if value is None else kind.read(list(plain) if isinstance(plain, tuple) else plain)
        except ValueError:
            raise InvalidArgumentError(f"{name}={value!r} cannot be used; expected {kind.expected}") from None
    return {name: value for name, value in named.items() if value is not None}


def band_names(bands: Any) -> list[str]:
    """Read the bands of a call: one name, or several; the values of a mapping.

    Raises:
        InvalidArgumentError: these are no names.
    """
    given = bands.values() if isinstance(bands, Mapping) else [bands] if isinstance(bands, str) else bands
    names = list(given) if isinstance(given, Iterable) else []
    if not all(isinstance(name, str) for name in names) or not isinstance(given, Iterable):
        raise InvalidArgumentError(
            f"bands={bands!r} cannot be used; expected a name, or a list of names such as ['B04']"
        )
    return names


def most_bytes(max_bytes: int | str | None) -> int | None:
    """Read a number of bytes, or text such as '512 MiB'."""
    most = None if max_bytes is None else byte_count(max_bytes)
    if max_bytes is not None and most is None:
        raise InvalidArgumentError(f"max_bytes={max_bytes!r} is no number of bytes, nor text such as '512 MiB'")
    return most
