"""Colours pictures of one band: a few points for each colour map, linear in between."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from rasteret_sql.errors import InvalidArgumentError, did_you_mean

# Evenly spaced from the lowest value to the highest, as RGB in hexadecimal.
_POINTS = MappingProxyType(
    {
        # Lightness rises evenly in both: black and white print, and colour-blind eyes, see the same order.
        "grey": "000000 ffffff",
        "viridis": "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725",
        # Bare soil brown, sparse growth yellow, dense growth dark green; made for values from 0 to 1.
        "ndvi": "8c5a2b b88a52 dcc48c f2ecb4 c9dc84 93c35a 5aa53c 2c8128 0b5a1e",
    }
)
COLORMAPS = tuple(_POINTS)


def apply_colormap(name: str, levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Colours of grey levels.

    Args:
        name: one of `COLORMAPS`.
        levels: 0..255, any shape.

    Returns:
        RGB, shape (..., 3).

    Raises:
        InvalidArgumentError: there is no such colormap.
    """
    points = _POINTS.get(name)
    if points is None:
        raise InvalidArgumentError(f'there is no colormap "{name}"; {did_you_mean(name, COLORMAPS)}')
    colours = np.array([list(bytes.fromhex(point)) for point in points.split()], dtype=np.float64)
    at = np.linspace(0, len(colours) - 1, 256)
    steps = np.arange(len(colours))
    table = np.column_stack([np.interp(at, steps, channel) for channel in colours.T])
    painted: npt.NDArray[np.uint8] = np.round(table).astype(np.uint8)[levels]
    return painted
