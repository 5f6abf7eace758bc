"""`Gcps`: holds the ground control points of an image: pixels of which the place is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

METHODS = ("polynomial", "tps", "homography")
"""Ways to place all pixels by some, as `gcp :=` names them."""


@dataclass(frozen=True, slots=True)
class Gcps:
    """Ground control points, in the order in which the file has them."""

    data: bytes
    """Column, row, x, y of each point, float64, little-endian. (0, 0) is the upper left corner of the first pixel."""
    crs: str | None = None
    """CRS of the places; None: that of the file."""

    @classmethod
    def of(cls, points: npt.ArrayLike, crs: str | None = None) -> Gcps:
        """Make them of numbers of shape (n, 4)."""
        return cls(np.ascontiguousarray(points, "<f8").tobytes(), crs)

    @property
    def points(self) -> npt.NDArray[np.float64]:
        """Shape (n, 4): column, row, x, y."""
        return np.frombuffer(self.data, "<f8").reshape(-1, 4).astype(np.float64, copy=False)

    def __len__(self) -> int:
        return len(self.data) // 32
