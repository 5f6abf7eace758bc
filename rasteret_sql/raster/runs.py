"""Finds the pixels of many polygons on one grid at once, as runs along rows, and cuts these at the borders of tiles.

The pixels are those of `scanline.polygon_mask`, with the same arithmetic; polygons that need more than it says here
are left to that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.geo.grid import Affine
from rasteret_sql.raster.edges import Floats, Ints, Lines, many_edges
from rasteret_sql.raster.expand import expand
from rasteret_sql.raster.grid_nearest import pixel_under


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
        counts = self.first[polygons + 1] - self.first[polygons]
        first = np.concatenate(([0], np.cumsum(counts)))
        at = expand(self.first[polygons], counts)
        weights = self.weights
        if weights is not None:
            place = np.cumsum(self.length) - self.length
            weights = weights[expand(place[at], self.length[at])]
        of = np.repeat(np.arange(len(polygons)), counts)
        return Runs(of, self.row[at], self.col[at], self.length[at], first, weights)

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
    polygon, row, column = _toggles(lines, of, windows)
    kept = exact[polygon]
    polygon, row, column = polygon[kept], row[kept], column[kept]
    start, end = column[0::2], column[1::2]
    there = end > start
    of_run = polygon[0::2][there]
    runs = Runs(
        of_run,
        row[0::2][there] + windows[of_run, 1],
        start[there] + windows[of_run, 0],
        (end - start)[there],
        np.searchsorted(of_run, np.arange(count + 1)),
    )
    return runs, exact


def _toggles(lines: Lines, of: Ints, windows: Ints) -> tuple[Ints, Ints, Ints]:
    """Polygon, row and column of each border at which a row turns from outside to inside and back, in order.

    Each row of a polygon has an even number of them (see `scanline._fill`).
    """
    x1, y1, x2, y2 = lines
    width, height = windows[:, 2], windows[:, 3]
    top, bottom = np.minimum(y1, y2), np.maximum(y1, y2)
    first = np.maximum(np.ceil(top - 0.5), 0.0)
    last = np.minimum(np.ceil(bottom - 0.5), height[of])
    count = np.maximum(last - first, 0.0).astype(np.int64)
    down = y1 < y2
    about = np.stack([top, np.where(down, x2 - x1, x1 - x2), bottom - top, np.where(down, x1, x2)])
    y, run, drop, x = np.repeat(about, count, axis=1)
    polygon = np.repeat(of, count)
    row = expand(first.astype(np.int64), count)
    column = np.floor((row + 0.5 - y) * run / drop + x + 0.5)
    column = np.minimum(np.maximum(column, 0.0), width[polygon]).astype(np.int64)
    most_rows, most_cols = int(height.max(initial=0)), int(width.max(initial=0)) + 1
    key = (polygon * most_rows + row) * most_cols + column
    key.sort()
    at, column = np.divmod(key, most_cols)
    polygon, row = np.divmod(at, max(most_rows, 1))
    return polygon, row, column


@dataclass(frozen=True, slots=True, eq=False)
class TilePieces:
    """Pieces of runs that lie in one tile each, tile after tile."""

    tiles: Ints
    """Positions in the tile table, ascending."""
    first: Ints
    """Shape (tiles + 1,): number of the first piece of each tile, and of all pieces."""
    begin: Ints
    """Position of the first pixel in the tile, row-major."""
    length: Ints
    place: Ints
    """Position of the first pixel among all pixels of all runs."""
    polygon: Ints
    """The polygon that each is of."""

    @property
    def nbytes(self) -> int:
        """Bytes that they hold."""
        arrays = [self.tiles, self.first, self.begin, self.length, self.place, self.polygon]
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
    across = (runs.col + runs.length - 1) // tile_width - left + 1
    of = np.repeat(np.arange(len(left)), across)
    column = expand(left, across)
    start = np.maximum(runs.col[of], column * tile_width)
    end = np.minimum(runs.col[of] + runs.length[of], (column + 1) * tile_width)
    tile = runs.row[of] // tile_height * tiles_across + column
    order = np.argsort(tile, kind="stable")
    tile, of, start, end, column = tile[order], of[order], start[order], end[order], column[order]
    tiles, first = np.unique(tile, return_index=True)
    return TilePieces(
        tiles,
        np.append(first, len(tile)),
        runs.row[of] % tile_height * tile_width + start - column * tile_width,
        end - start,
        place[of] + start - runs.col[of],
        runs.polygon[of],
    )
