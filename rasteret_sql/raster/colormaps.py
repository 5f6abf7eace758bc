"""Colours pictures of one band by tables of 256 colours: those of matplotlib, and one of our own.

`tabulate_colormaps.py` made the data.
"""

from __future__ import annotations

import base64
import json
import zlib
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidArgumentError, did_you_mean, name_meant

# Evenly spaced from the lowest value to the highest, as RGB in hexadecimal. Bare soil brown, sparse growth yellow,
# dense growth dark green; made for values from 0 to 1.
_NDVI = "8c5a2b b88a52 dcc48c f2ecb4 c9dc84 93c35a 5aa53c 2c8128 0b5a1e"
_REVERSED = "_r"
Table = npt.NDArray[np.uint8]


@cache
def _tables() -> dict[str, str]:
    """Name → RGB of 256 colours, deflated, in base64."""
    text = resources.files("rasteret_sql.raster").joinpath("data", "colormaps.json").read_text("utf-8")
    tables: dict[str, str] = json.loads(text)
    return tables


def colormap_names() -> tuple[str, ...]:
    """Names of all colormaps; those with `_r` behind their name are turned round."""
    return (*_tables(), "ndvi", "ndvi_r")


@cache
def colormap(name: str) -> Table:
    """The colours of a colormap.

    Args:
        name: one of `colormap_names`; case does not count.

    Returns:
        RGB, shape (256, 3), from the lowest value to the highest.

    Raises:
        InvalidArgumentError: there is no such colormap.
    """
    known = name_meant(name, colormap_names())
    if known is None:
        raise InvalidArgumentError(f'there is no colormap "{name}"; {did_you_mean(name, _shown())}')
    if known.startswith("ndvi"):
        return _between(_NDVI)[:: -1 if known.endswith(_REVERSED) else 1]
    return np.frombuffer(zlib.decompress(base64.b64decode(_tables()[known])), np.uint8).reshape(256, 3)


def _shown() -> list[str]:
    """Names for messages."""
    return [name for name in colormap_names() if not name.endswith(_REVERSED)]


def _between(points: str) -> Table:
    """256 colours, linear between some."""
    colours = np.array([list(bytes.fromhex(point)) for point in points.split()], dtype=np.float64)
    at = np.linspace(0, len(colours) - 1, 256)
    channels = [np.interp(at, np.arange(len(colours)), channel) for channel in colours.T]
    return np.round(np.column_stack(channels)).astype(np.uint8)


def apply_colormap(name: str, levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Colours of levels.

    Args:
        name: as `colormap` takes it.
        levels: 0..255, any shape.

    Returns:
        RGB, shape (..., 3).

    Raises:
        InvalidArgumentError: there is no such colormap.
    """
    painted: npt.NDArray[np.uint8] = colormap(name)[levels]
    return painted
