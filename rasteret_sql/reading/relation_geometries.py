"""`Geometries`: keeps the shapes or points of a relation, and places them on images; points are arrays of numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.geo.apart import Apart, image_box
from rasteret_sql.geo.grid import Affine, Grid
from rasteret_sql.geo.placement import are_places, is_place, place, place_points
from rasteret_sql.geo.wkb_boxes import geometry_boxes
from rasteret_sql.raster.window import geometry_windows, point_pixels
from rasteret_sql.reading.swapped_axes import some_meet

_BYTES_OF_SHAPE, _BYTES_OF_VERTEX = 400, 24
Numbers = npt.NDArray[np.int64]
Windows = npt.NDArray[np.signedinteger[Any]]
"""Shape (n, 4), as `geometry_windows` has them; of points the pixel."""
Placed = npt.NDArray[Any]
"""Of shapes: geometries, None for those that miss. Of points: x and y, shape (n, 2), NaN for those."""


class Geometries(ABC):
    """The geometries of a relation, by their numbers from 0."""

    def __init__(self, crs: Sequence[str], there: npt.NDArray[np.bool_]) -> None:
        """Know the CRS of each, and which rows have a geometry."""
        self.crs = crs
        numbers = np.flatnonzero(there)
        self.groups: dict[str, Numbers] = {}
        """CRS → the geometries in it."""
        if len(numbers) and crs.count(crs[0]) == len(crs):  # as a rule
            self.groups[crs[0]] = numbers
        else:
            some: dict[str, list[int]] = defaultdict(list)
            for number in numbers.tolist():
                some[crs[number]].append(number)
            self.groups = {name: np.array(each, np.int64) for name, each in some.items()}

    def __len__(self) -> int:
        return len(self.crs)

    @abstractmethod
    def of(self, numbers: Sequence[int]) -> list[shapely.Geometry | None]:
        """Some of them."""

    @abstractmethod
    def nowhere(self) -> Placed:
        """All of them, missing an image."""

    @abstractmethod
    def place(self, numbers: Numbers, crs: str, native: str, grid: Grid) -> tuple[Placed, list[int]]:
        """Some that are in one CRS, in that of an image, and the numbers of those that are no place at all."""

    @abstractmethod
    def meet(self, placed: Placed, grid: Grid) -> bool:
        """True where the bounds of any meet the image."""

    @abstractmethod
    def windows(self, placed: Placed, transform: Affine, size: tuple[int, int], tile: tuple[int, int]) -> Windows:
        """The window of each on a level of that width and height, as `geometry_windows` has them."""


class Shapes(Geometries):
    """Geometries of any type, which meet an image by their window."""

    def __init__(self, geometries: npt.NDArray[np.object_], crs: Sequence[str]) -> None:
        """Keep geometries, None where a row has none, and the CRS of each."""
        super().__init__(crs, ~shapely.is_missing(geometries) & ~shapely.is_empty(geometries))
        self.geometries = geometries
        self._bounds = geometry_boxes(geometries).bounds

    def of(self, numbers: Sequence[int]) -> list[shapely.Geometry | None]:
        return [self.geometries[number] for number in numbers]

    def nowhere(self) -> Placed:
        return np.full(len(self.geometries), None, object)

    def place(self, numbers: Numbers, crs: str, native: str, grid: Grid) -> tuple[Placed, list[int]]:
        placed = np.full(len(numbers), None, object)
        apart = Apart([image_box(crs, native, grid)]).surely(self._bounds[numbers], np.zeros(len(numbers), np.int64))
        near = np.flatnonzero(~apart)
        if not len(near):
            return placed, []
        placed[near] = place(self.geometries[numbers[near]].tolist(), crs, native, [grid] * len(near))
        lost = numbers[near[shapely.is_missing(placed[near])]].tolist()
        return placed, [number for number in lost if not is_place(self.geometries[number], crs)]

    def meet(self, placed: Placed, grid: Grid) -> bool:
        return some_meet(placed, [grid])

    def windows(self, placed: Placed, transform: Affine, size: tuple[int, int], tile: tuple[int, int]) -> Windows:
        return geometry_windows(placed, transform, *size, tile)


class Points(Geometries):
    """Points, which meet an image by the pixel that holds them."""

    def __init__(self, xy: npt.NDArray[np.float64], crs: Sequence[str]) -> None:
        """Keep x and y, shape (n, 2), NaN where a row has none, and the CRS of each."""
        super().__init__(crs, np.isfinite(xy[:, 0]) & np.isfinite(xy[:, 1]))
        self.xy = xy

    @classmethod
    def of_geometries(cls, points: npt.NDArray[np.object_], crs: Sequence[str]) -> Points:
        """Make them of points; None and empty ones are none."""
        xy = np.full((len(points), 2), np.nan)
        there = ~shapely.is_missing(points) & ~shapely.is_empty(points)  # some versions of GEOS have no x of those
        xy[there] = shapely.get_coordinates(points[there])
        return cls(xy, crs)

    def of(self, numbers: Sequence[int]) -> list[shapely.Geometry | None]:
        xy = self.xy[list(numbers)]
        found = shapely.points(xy)
        found[~np.isfinite(xy).all(axis=1)] = None
        return list(found)

    def nowhere(self) -> Placed:
        return np.full(self.xy.shape, np.nan)

    def place(self, numbers: Numbers, crs: str, native: str, grid: Grid) -> tuple[Placed, list[int]]:
        placed = place_points(self.xy[numbers], crs, native, grid)
        lost = numbers[np.isnan(placed[:, 0])]
        return placed, lost[~are_places(self.xy[lost], crs)].tolist()

    def meet(self, placed: Placed, grid: Grid) -> bool:
        west, south, east, north = grid.bounds
        x, y = placed.T
        return bool(((x >= west) & (x <= east) & (y >= south) & (y <= north)).any())

    def windows(self, placed: Placed, transform: Affine, size: tuple[int, int], tile: tuple[int, int]) -> Windows:  # noqa: ARG002 - of shapes
        width, height = size
        cols, rows = point_pixels(placed[:, 0], placed[:, 1], transform)
        inside = (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
        found = np.zeros((len(placed), 4), np.int32)  # there may be millions
        found[inside, 0], found[inside, 1], found[inside, 2:] = cols[inside], rows[inside], 1
        return found


def bytes_of(shapes: npt.NDArray[np.object_]) -> int:
    """Bytes that shapes hold, about."""
    return _BYTES_OF_SHAPE * len(shapes) + _BYTES_OF_VERTEX * int(shapely.get_num_coordinates(shapes).sum())
