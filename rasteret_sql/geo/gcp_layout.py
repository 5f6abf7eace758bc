"""Tells ground control points that do not determine a fit, by the singular values of what they cover."""

from __future__ import annotations

import numpy as np

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.gcp_numbers import Floats, Pair

_RANK = 1e-5
"""Smallest part of the largest singular value that counts: below it the points do not determine the fit. There an error
of a hundredth of a pixel in a point would move others by a thousand."""
NO_WIDTH = 1e-8
"""The same of the width of what points cover."""
_REMEDY = "give the file more points, or warp it beforehand"


def named(points: Floats) -> str:
    """Words for points, in messages."""
    return f"the {len(points)} ground control points of the file" if len(points) != 1 else "the ground control point"


def rank_lacks(matrix: Floats, rank: int, least: float = _RANK) -> bool:
    """True where a matrix has less than a rank: by the part of its largest singular value that the last one has."""
    values = np.linalg.svd(matrix, compute_uv=False)
    return len(values) < rank or not values[rank - 1] > least * values[0]


def rounded_out(values: Floats) -> Pair:
    """Positions moved, turned and stretched so that they spread alike in all directions: of a long strip the same."""
    off = values - values.mean(axis=0)
    u, _, _ = np.linalg.svd(off, full_matrices=False)
    spread = u * np.sqrt(len(values))
    return spread[:, 0], spread[:, 1]


def require_plane(points: Floats, what: str, least: int) -> None:
    """Raise unless there are enough points, and neither their pixels nor their places lie on one line."""
    distinct = len(np.unique(points, axis=0))
    if distinct < least:
        count = f"{len(points)} ground control points" if len(points) != 1 else "1 ground control point"
        twice = "" if distinct == len(points) else f", of which {distinct} differ"
        raise InvalidCrsError(f"the file has {count}{twice}, and {what} needs {least} or more; {_REMEDY}")
    for values, of in ((points[:, :2], "pixels"), (points[:, 2:], "places")):
        if rank_lacks(values - values.mean(axis=0), 2, NO_WIDTH):
            raise InvalidCrsError(f"the {of} of {named(points)} lie on one line, so they place no others; {_REMEDY}")
