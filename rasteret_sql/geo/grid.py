"""Defines the grid of an image: `Affine` places its pixels, a `Window` is some of them, a `Grid` all; and `Bounds`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidArgumentError

Bounds = tuple[float, float, float, float]
"""(minx, miny, maxx, maxy)."""


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

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns in an array of the image."""
        return slice(self.row_off, self.row_end), slice(self.col_off, self.col_end)

    def moved(self, cols: int, rows: int) -> Window:
        """As many pixels, so many columns and rows further."""
        return Window(self.col_off + cols, self.row_off + rows, self.width, self.height)

    def union(self, other: Window) -> Window:
        """The smallest window that holds both."""
        col, row = min(self.col_off, other.col_off), min(self.row_off, other.row_off)
        return Window(col, row, max(self.col_end, other.col_end) - col, max(self.row_end, other.row_end) - row)

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
        """CRS (x, y) to pixel (col, row): the one way for windows and points.

        Masks and coverage go from the window's corner instead, and round as GDAL's rasteriser does
        (`raster.edges.pixel_coefficients`).
        """
        det = self.determinant
        if det == 0 or not math.isfinite(det):
            msg = f"the transform {tuple(self)} maps all pixels onto one line and cannot be inverted"
            raise InvalidArgumentError(msg)
        # By the reciprocal, as rasterio has it in `index`, `sample` and `geometry_window`: positions exactly on borders
        # of pixels then round to the same side.
        scale = 1.0 / det
        a, b, d, e = self.e * scale, -self.b * scale, -self.d * scale, self.a * scale
        return Affine(a, b, -self.c * a - self.f * b, d, e, -self.c * d - self.f * e)

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


def of_each_grid(tell: Callable[[Grid], Sequence[float]], grids: Sequence[Grid]) -> npt.NDArray[np.float64]:
    """Numbers that `tell` gives for each grid, shape (n, numbers); rows of one image share the object, asked once."""
    told = {key: tell(grid) for key, grid in {id(grid): grid for grid in grids}.items()}
    return np.array([told[id(grid)] for grid in grids], dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Grid:
    """The place of an image in its CRS."""

    transform: Affine
    width: int
    height: int

    @property
    def pixel(self) -> float:
        """The shorter side of a pixel, in units of the CRS."""
        t = self.transform
        return float(min(np.hypot(t.a, t.d), np.hypot(t.b, t.e)))

    def outline(self, margin: float = 0.0) -> shapely.Polygon:
        """The image as a polygon.

        Args:
            margin: pixels more on each side.
        """
        left, top, right, bottom = -margin, -margin, self.width + margin, self.height + margin
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        return shapely.Polygon([self.transform.apply(*at) for at in corners])

    @property
    def outline_length(self) -> float:
        """Length of the image's outline in pixels."""
        return 2.0 * (self.width + self.height)

    @property
    def bounds(self) -> Bounds:
        """Bounds of the image in its CRS."""
        west, south, east, north = self.outline().bounds
        return west, south, east, north
