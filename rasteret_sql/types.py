"""Value types that every layer shares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from rasteret_sql.errors import InvalidArgumentError


class ByteRange(NamedTuple):
    """A part of a file: `length` bytes from `offset`."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """First byte after the range."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class Window:
    """Pixels of an image: columns `col_off .. col_off + width` (end-exclusive), rows likewise; rasterio's words."""

    col_off: int
    row_off: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 0 or self.height < 0:
            msg = f"a window has a width and height of 0 or more, not {self.width} × {self.height}"
            raise InvalidArgumentError(msg)

    @property
    def col_end(self) -> int:
        """First column after the window."""
        return self.col_off + self.width

    @property
    def row_end(self) -> int:
        """First row after the window."""
        return self.row_off + self.height

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), as numpy has it."""
        return self.height, self.width

    def intersection(self, other: Window) -> Window | None:
        """The common pixels, or None where there are none."""
        col, row = max(self.col_off, other.col_off), max(self.row_off, other.row_off)
        width, height = min(self.col_end, other.col_end) - col, min(self.row_end, other.row_end) - row
        return Window(col, row, width, height) if width > 0 and height > 0 else None


class Affine(NamedTuple):
    """Pixel corner to CRS: x = a·col + b·row + c, y = d·col + e·row + f."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    @property
    def determinant(self) -> float:
        """Signed area of a pixel in CRS units; negative for north-up images."""
        return self.a * self.e - self.b * self.d

    @property
    def is_rectilinear(self) -> bool:
        """True where rows and columns run along the axes of the CRS (north-up or south-up, not rotated)."""
        return self.b == 0 and self.d == 0

    def apply(self, col: float, row: float) -> tuple[float, float]:
        """Map a pixel position to CRS (x, y)."""
        return self.a * col + self.b * row + self.c, self.d * col + self.e * row + self.f

    def inverse(self) -> Affine:
        """CRS (x, y) to pixel (col, row)."""
        det = self.determinant
        if det == 0 or not math.isfinite(det):
            msg = f"the transform {tuple(self)} maps all pixels onto one line and cannot be inverted"
            raise InvalidArgumentError(msg)
        a, b, d, e = self.e / det, -self.b / det, -self.d / det, self.a / det
        return Affine(a, b, -a * self.c - b * self.f, d, e, -d * self.c - e * self.f)

    def shifted(self, col: float, row: float) -> Affine:
        """The transform of a window that starts at (col, row)."""
        x, y = self.apply(col, row)
        # Rounds as rasterio does, which moves the origin by a difference: masks then agree to the last bit.
        return Affine(self.a, self.b, self.c + (x - self.c), self.d, self.e, self.f + (y - self.f))

    def scaled(self, col_factor: float, row_factor: float) -> Affine:
        """The transform of an image with pixels that many times as large (an overview)."""
        return Affine(
            self.a * col_factor, self.b * row_factor, self.c, self.d * col_factor, self.e * row_factor, self.f
        )


Bounds = tuple[float, float, float, float]
"""(minx, miny, maxx, maxy)."""

Nodata = int | float | None
"""A nodata value: int for integer dtypes (exact up to 64 bit), float else, None where a band has none."""
