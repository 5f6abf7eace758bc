"""Finds the pixels of many polygons on one grid at once, as runs along rows, and cuts these at the borders of tiles.

The pixels are those of `scanline.polygon_mask`, with the same arithmetic; polygons that need more than it says here
are left to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.geo.grid import Affine
from rasteret_sql.raster.edges import Floats, Ints, Lines, many_edges
from rasteret_sql.raster.expand import expand
from rasteret_sql.raster.grid_nearest import pixel_under

_AT_ONCE = 1 << 14
"""Crossings of edges and rows that are found together."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Runs of pixels, those of a polygon one after the other from its first row."""

    polygon: Ints
    """Number of the polygon that each is of, ascending."""
    row: Ints
    """Of the image."""
    col: Ints
    """First column, of the image."""
    length: Ints
    """Pixels, at least one."""
    first: Ints
    """Shape (polygons + 1,): number of the first run of each polygon, and of all runs."""
    weights: Floats | None = None
    """Fraction of each pixel that counts, run by run; None: each counts once."""
    _cut: dict[tuple[int, int, int], TilePieces] = field(default_factory=dict, init=False)
    _under: dict[tuple[Affine, Affine, int, int], tuple[Runs, Ints]] = field(default_factory=dict, init=False)

    def cut(self, tile_width: int, tile_height: int, tiles_across: int) -> TilePieces:
        """They, cut at the borders of tiles; done once for images with the same ones."""
        tiling = tile_width, tile_height, tiles_across
        if tiling not in self._cut:
            self._cut[tiling] = _cut_at_tiles(self, *tiling)
        return self._cut[tiling]

    def under(self, grid: Affine, other: Affine, width: int, height: int) -> tuple[Runs, Ints]:
        """The pixels of another image under the centres of these; done once for images of one grid.

        Args:
            grid: pixel → CRS of the image of the runs.
            other: pixel → the same CRS, of the other image.
            width: pixels across the other image.
            height: pixels down the other image.

        Returns:
            Runs of the other image, and for each pixel of these its position among the pixels of those; -1 outside.
        """
        key = grid, other, width, height
        if key not in self._under:
            self._under[key] = _under(self, *key)
        return self._under[key]

    def of(self, polygons: Ints) -> Runs:
        """The runs of some polygons, numbered anew from 0 in that order."""
        if len(polygons) and polygons[-1] - polygons[0] == len(polygons) - 1 and (np.diff(polygons) == 1).all():
            return self._between(int(polygons[0]), int(polygons[-1]) + 1)
        counts = self.first[polygons + 1] - self.first[polygons]
        first = np.concatenate(([0], np.cumsum(counts)))
        at = expand(self.first[polygons], counts)
        weights = self.weights
        if weights is not None:
            place = np.cumsum(self.length) - self.length
            weights = weights[expand(place[at], self.length[at])]
        of = np.repeat(np.arange(len(polygons)), counts)
        return Runs(of, self.row[at], self.col[at], self.length[at], first, weights)

    def _between(self, begin: int, end: int) -> Runs:
        """Those of neighbouring polygons, which share the memory of these."""
        first, last = int(self.first[begin]), int(self.first[end])
        some = slice(first, last)
        weights = self.weights
        if weights is not None:
            before = int(self.length[:first].sum())
            weights = weights[before : before + int(self.length[some].sum())]
        borders = self.first[begin : end + 1] - first
        return Runs(self.polygon[some] - begin, self.row[some], self.col[some], self.length[some], borders, weights)

    def and_then(self, other: Runs) -> Runs:
        """These and those of other polygons, which are numbered on from here."""
        count = len(self.first) - 1
        weights = self.weights
        if weights is not None and other.weights is not None:
            weights = np.concatenate((weights, other.weights))
        return Runs(
            np.concatenate((self.polygon, other.polygon + count)),
            np.concatenate((self.row, other.row)),
            np.concatenate((self.col, other.col)),
            np.concatenate((self.length, other.length)),
            np.concatenate((self.first, other.first[1:] + len(self.row))),
            weights,
        )

    @property
    def pixels(self) -> Ints:
        """Number of pixels of each polygon."""
        sums = np.concatenate(([0], np.cumsum(self.length)))
        pixels: Ints = sums[self.first[1:]] - sums[self.first[:-1]]
        return pixels

    @property
    def nbytes(self) -> int:
        """Bytes that they hold, with all that was found out of them."""
        arrays = [self.polygon, self.row, self.col, self.length, self.first]
        own = sum(one.nbytes for one in arrays) + (0 if self.weights is None else self.weights.nbytes)
        cut = sum(pieces.nbytes for pieces in [*self._cut.values()])
        return own + cut + sum(runs.nbytes + at.nbytes for runs, at in [*self._under.values()])


def pixel_runs(cols: Ints, rows: Ints) -> Runs:
    """Single pixels as runs, each that of a polygon of its own."""
    count = np.arange(len(cols) + 1)
    return Runs(count[:-1], rows, cols, np.ones(len(cols), np.int64), count)


def _under(runs: Runs, grid: Affine, other: Affine, width: int, height: int) -> tuple[Runs, Ints]:
    cols = expand(runs.col, runs.length)
    ends = np.cumsum(runs.length)
    first = ends - runs.length
    numbers = pixel_under(np.repeat(runs.row, runs.length), cols, grid, other, width, height)
    begin, end = numbers[first], numbers[ends - 1]
    # As a rule a run lies on one row of the other image, and comes to it from the left.
    if ((begin >= 0) & (end >= begin) & (begin // width == end // width)).all() and (numbers >= 0).all():
        length = end - begin + 1
        at = np.cumsum(length) - length
        count = np.arange(len(begin) + 1)
        found = Runs(count[:-1], begin // width, begin % width, length, count)
        return found, numbers - np.repeat(begin - at, runs.length)
    inside = numbers >= 0
    distinct, at = np.unique(numbers[inside], return_inverse=True)
    places = np.full(len(numbers), -1, np.int64)
    places[inside] = at
    return pixel_runs(distinct % width, distinct // width), places


def polygon_runs(
    geometries: npt.NDArray[np.object_], transform: Affine, windows: Ints
) -> tuple[Runs, npt.NDArray[np.bool_]]:
    """Runs of the pixels whose centres polygons hold.

    Args:
        geometries: Polygons in the CRS of the image, shape (n,).
        transform: pixel → CRS of the image.
        windows: of `raster.window.geometry_windows`, shape (n, 4).

    Returns:
        The runs, and for each geometry True where they are those of its mask. They are not for a geometry that is no
        Polygon, on a rotated grid, or with an edge exactly along a row of pixel centres; it has no runs then.
    """
    count = len(geometries)
    exact = (shapely.get_type_id(geometries) == shapely.GeometryType.POLYGON) & (windows[:, 2] > 0)
    if not transform.is_rectilinear:
        none = np.empty(0, np.int64)
        return Runs(none, none, none, none, np.zeros(count + 1, np.int64)), np.zeros(count, np.bool_)
    numbers = np.flatnonzero(exact)
    lines, of, _ = many_edges(geometries[numbers], transform, windows[numbers])
    of = numbers[of]
    x1, y1, x2, y2 = lines
    level = (y1 == y2) & (x1 != x2) & (y1 - np.floor(y1) == 0.5)
    exact[of[level]] = False
    found = list(_inside(lines, of, windows)) or [(np.empty(0, np.int64),) * 4]
    polygon, row, col, length = (np.concatenate(some) for some in zip(*found, strict=True))
    if level.any():
        kept = exact[polygon]
        polygon, row, col, length = polygon[kept], row[kept], col[kept], length[kept]
    first = np.concatenate(([0], np.cumsum(np.bincount(polygon, minlength=count))))
    return Runs(polygon, row, col, length, first), exact


def _inside(lines: Lines, of: Ints, windows: Ints) -> Iterator[tuple[Ints, Ints, Ints, Ints]]:
    """Polygon, row, first column and number of the pixels of each run inside, in order.

    A row turns from outside to inside and back where edges cross the line of its centres. It has an even number of
    such borders (see `scanline._fill`).
    """
    x1, y1, x2, y2 = lines
    cols, rows, width, height = windows[:, 0], windows[:, 1], windows[of, 2], windows[of, 3]
    top, bottom = np.minimum(y1, y2), np.maximum(y1, y2)
    first = np.maximum(np.ceil(top - 0.5), 0.0)
    last = np.minimum(np.ceil(bottom - 0.5), height)
    count = np.maximum(last - first, 0.0).astype(np.int64)
    down = y1 < y2
    run, drop, x = np.where(down, x2 - x1, x1 - x2), bottom - top, np.where(down, x1, x2)
    # Polygon, row and column in one number, for they are to be sorted.
    of_row, of_col = int(height.max(initial=0)).bit_length(), int(width.max(initial=0)).bit_length()
    begin = (of << of_row) + first.astype(np.int64)
    for edges in _few_together(of, count):
        counts = count[edges]
        edge = np.repeat(np.arange(edges.start, edges.stop), counts)
        # Which of the edge's rows it is, from its first on.
        nth = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
        column = nth + first.take(edge)
        column += 0.5
        column -= top.take(edge)
        column *= run.take(edge)
        column /= drop.take(edge)
        column += x.take(edge)
        column += 0.5
        np.floor(column, out=column)
        np.maximum(column, 0.0, out=column)
        np.minimum(column, width.take(edge), out=column)
        nth += begin.take(edge)
        nth <<= of_col
        nth += column.astype(np.int64)
        nth.sort()
        start = nth[0::2]
        length = nth[1::2] - start
        there = length > 0
        start, length = start[there], length[there]
        row, col = start >> of_col, start & ((1 << of_col) - 1)
        polygon = row >> of_row
        row &= (1 << of_row) - 1
        yield polygon, row + rows.take(polygon), col + cols.take(polygon), length


def _few_together(of: Ints, count: Ints) -> Iterator[slice]:
    """Cut edges between polygons, so that some cross about as many rows as the processor's cache has room for."""
    if not len(of):
        return
    ends = np.append(np.flatnonzero(np.diff(of)) + 1, len(of))
    reach = np.cumsum(count)[ends - 1] // _AT_ONCE
    borders = [0, *ends[:-1][reach[:-1] != reach[1:]].tolist(), len(of)]
    yield from (slice(begin, end) for begin, end in pairwise(borders))


@dataclass(frozen=True, slots=True, eq=False)
class TilePieces:
    """Pieces of runs that lie in one tile each, tile after tile."""

    tiles: Ints
    """Positions in the tile table, ascending."""
    first: Ints
    """Shape (tiles + 1,): number of the first piece of each tile, and of all pieces."""
    begin: npt.NDArray[np.int32]
    """Position of the first pixel in the tile, row-major."""
    length: npt.NDArray[np.int32]
    polygon: npt.NDArray[np.int32]
    """The polygon that each is of."""
    place: Ints
    """Position of the first pixel among all pixels of all runs."""

    @property
    def nbytes(self) -> int:
        """Bytes that they hold."""
        arrays: list[npt.NDArray[Any]] = [self.tiles, self.first, self.begin, self.length, self.place, self.polygon]
        return sum(one.nbytes for one in arrays)

    def of(self, tile: int) -> slice:
        """The pieces in the n-th tile."""
        return slice(int(self.first[tile]), int(self.first[tile + 1]))

    def pixels(self, tile: int) -> tuple[Ints, Ints]:
        """The pixels of the n-th tile: their positions in it, row-major, and among all pixels of all runs."""
        some = self.of(tile)
        length = self.length[some]
        return expand(self.begin[some], length), expand(self.place[some], length)


def _cut_at_tiles(runs: Runs, tile_width: int, tile_height: int, tiles_across: int) -> TilePieces:
    """Cut runs at the borders of tiles."""
    place = np.cumsum(runs.length) - runs.length
    left = runs.col // tile_width
    right = (runs.col + runs.length - 1) // tile_width
    row, col, length, polygon, column = runs.row, runs.col, runs.length, runs.polygon, left
    if (right > left).any():  # few cross a border, as a rule
        across = right - left + 1
        of = np.repeat(np.arange(len(left)), across)
        column = expand(left, across)
        start = np.maximum(col[of], column * tile_width)
        length = np.minimum((col + length)[of], (column + 1) * tile_width) - start
        row, col, polygon, place = row[of], start, polygon[of], (place - col)[of] + start
    down = row // tile_height
    tile = down * tiles_across + column
    begin = (row - down * tile_height) * tile_width + col - column * tile_width
    # A sort of numbers of 16 bits takes a part of the time.
    narrow = int(tile.max(initial=0)) < 1 << 16
    order = np.argsort(tile.astype(np.uint16) if narrow else tile, kind="stable")
    tile = tile[order]
    first = np.flatnonzero(np.diff(tile, prepend=-1))
    begins, lengths, polygons = (each.astype(np.int32)[order] for each in (begin, length, polygon))
    return TilePieces(tile[first], np.append(first, len(tile)), begins, lengths, polygons, place[order])
