"""Sorts the values of many zones, each zone by itself.

Where zone, value and place fit into 64 bits, one sort of such numbers does it, several times as fast as `np.lexsort`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Values = npt.NDArray[np.generic]


def sorted_zones(values: Values, zone: Ints) -> Values:
    """The values of each zone in ascending order, zone after zone.

    Args:
        values: shape (n,), without NaN.
        zone: of each, ascending.
    """
    packed = _packed(values, zone, 0)
    if packed is None:
        return values[np.lexsort((values, zone))]
    keys, least, bits = packed
    keys.sort()
    ranked: Values = ((keys & ((1 << bits) - 1)) + least).astype(values.dtype)
    return ranked


def order_of_zones(values: Values, zone: Ints) -> Ints:
    """The places of the values in that order; equal ones of a zone as they lie."""
    places = max(len(values) - 1, 0).bit_length()
    packed = _packed(values, zone, places)
    if packed is None:
        return np.lexsort((values, zone))
    keys = (packed[0] << places) | np.arange(len(values))
    keys.sort()
    return keys & ((1 << places) - 1)


def _packed(values: Values, zone: Ints, room: int) -> tuple[Ints, int, int] | None:
    """Numbers that order integers by zone and value, the least value, and the bits that values take.

    None where they would have no room of so many bits left.
    """
    if values.dtype.kind not in "ui" or not len(values):
        return None
    least, most = int(values.min()), int(values.max())
    bits = (most - least).bit_length()
    if int(zone[-1]).bit_length() + bits + room > 63 or values.dtype.itemsize > 4:
        return None
    return (zone << bits) | (values.astype(np.int64) - least), least, bits
