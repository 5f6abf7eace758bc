"""Finds the lattice on which pixels of a file are shown where a call asks for none: its own, or a north-up one."""

from __future__ import annotations

import math

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.crs import metres_a_unit
from rasteret_sql.geo.grid import Affine
from rasteret_sql.geo.image_crs import ImageCrs
from rasteret_sql.geo.target_grid import lattice_through
from rasteret_sql.tiff.header import BandHeader

_DIGITS = 3
"""Digits of the metres of a pixel: images of one instrument so have one lattice."""


def own_lattice(header: BandHeader, level: int = 0) -> Affine | None:
    """The lattice of a level in `header.map_crs`; None where it has no place.

    The pixels of an image that ground control points place lie on none. They are shown on north-up squares of as many
    metres as one of them has, with corners at multiples of that.

    Raises:
        InvalidCrsError: The points do not place the image.
    """
    transform = header.level_transform(level)
    if transform is None or not isinstance(header.crs, ImageCrs):
        return transform
    metres = metres_a_unit(header.crs) * math.sqrt(abs(transform.determinant))
    side = float(f"{metres:.{_DIGITS}g}") / metres_a_unit(header.crs.base)
    return lattice_through((side, side))


def lattice_if_placed(header: BandHeader) -> Affine | None:
    """The lattice of an image; None also where its points do not place it."""
    try:
        return own_lattice(header)
    except InvalidCrsError:  # a read says why
        return None
