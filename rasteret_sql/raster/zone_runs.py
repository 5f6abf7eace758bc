"""Finds the pixels of many zones of any kind on one grid: those whose centres they hold, that they touch, or cover."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.coverage import CoveredPixels, coverage_fraction, covered_pixels
from rasteret_sql.raster.edges import MULTIPOLYGON, POLYGON, Ints, many_edges
from rasteret_sql.raster.runs import Runs, polygon_runs
from rasteret_sql.raster.scanline import polygon_mask

Geometries = npt.NDArray[np.object_]
_AT_ONCE = 1 << 21
"""Pixels of windows in which coverage is computed together."""


def are_zones(geometries: Geometries) -> npt.NDArray[np.bool_]:
    """True for Polygons and MultiPolygons."""
    return np.isin(shapely.get_type_id(geometries), (POLYGON, MULTIPOLYGON))


def _go_on() -> None:
    """Stop nothing."""


def runs_of(
    *, weighted: bool, all_touched: bool, poll: Callable[[], object] = _go_on
) -> Callable[[Geometries, Affine, Ints], Runs]:
    """The function that finds the pixels of zones for some options; with `weighted`, `all_touched` adds nothing.

    Args:
        weighted: pixels are weighted by the part that a zone covers.
        all_touched: all pixels that zones touch.
        poll: called while weights are computed, which takes longest; what it raises ends that.
    """
    return partial(weighted_runs, poll=poll) if weighted else touched_runs if all_touched else plain_runs


def plain_runs(geometries: Geometries, transform: Affine, windows: Ints) -> Runs:
    """Runs of the pixels whose centres zones hold, as `scanline.polygon_mask` has them.

    Args:
        geometries: Polygons and MultiPolygons in the CRS of the image, shape (n,).
        transform: pixel → CRS of the image.
        windows: of `raster.window.geometry_windows`, shape (n, 4).
    """
    runs, exact = polygon_runs(geometries, transform, windows)
    rest = np.flatnonzero(~exact & (windows[:, 2] > 0))
    if not len(rest):
        return runs
    return _merged(runs, _of_masks(geometries, transform, windows, rest, all_touched=False))


def touched_runs(geometries: Geometries, transform: Affine, windows: Ints) -> Runs:
    """The same for all pixels that zones touch."""
    there = np.flatnonzero(windows[:, 2] > 0)
    return _of_masks(geometries, transform, windows, there, all_touched=True)


def weighted_runs(
    geometries: Geometries, transform: Affine, windows: Ints, poll: Callable[[], object] = _go_on
) -> Runs:
    """The same for all pixels that zones cover at least in part, weighted by it as `coverage_fraction` has it."""
    there = windows[:, 2] > 0
    together = there & (shapely.get_type_id(geometries) == POLYGON) & transform.is_rectilinear
    together[together] = shapely.is_valid(geometries[together])
    found = []
    for some in _covered_together(geometries, transform, windows, np.flatnonzero(together)):
        found.append(some)
        poll()
    found += [_covered(geometries[at], transform, windows[at], at) for at in np.flatnonzero(there & ~together).tolist()]
    if not found:
        none = np.empty(0, np.int64)
        found = [CoveredPixels(none, none, none, np.empty(0))]
    polygon, row, column = (
        np.concatenate([getattr(one, name) for one in found]) for name in ("polygon", "row", "column")
    )
    fraction = np.concatenate([one.fraction for one in found])
    if len(found) > 1:
        order = np.argsort(polygon, kind="stable")
        polygon, row, column, fraction = polygon[order], row[order], column[order], fraction[order]
    begins = np.ones(len(polygon), np.bool_)
    begins[1:] = (polygon[1:] != polygon[:-1]) | (row[1:] != row[:-1]) | (column[1:] != column[:-1] + 1)
    at = np.flatnonzero(begins)
    of = polygon[at]
    length = np.diff(np.append(at, len(polygon)))
    first = np.searchsorted(of, np.arange(len(geometries) + 1))
    return Runs(of, row[at] + windows[of, 1], column[at] + windows[of, 0], length, first, fraction)


def _covered_together(
    geometries: Geometries, transform: Affine, windows: Ints, numbers: Ints
) -> Iterator[CoveredPixels]:
    """Pixels that valid Polygons cover, as many at a time as fit."""
    sizes = np.cumsum(windows[numbers, 3] * (windows[numbers, 2] + 2))
    begin = 0
    while begin < len(numbers):
        before = int(sizes[begin - 1]) if begin else 0
        end = max(int(np.searchsorted(sizes, before + _AT_ONCE, side="right")), begin + 1)
        some = numbers[begin:end]
        lines, of, ring = many_edges(geometries[some], transform, windows[some])
        found = covered_pixels(lines, of, ring, windows[some])
        yield CoveredPixels(some[found.polygon], found.row, found.column, found.fraction)
        begin = end


def _covered(geometry: shapely.Geometry, transform: Affine, window: Ints, number: int) -> CoveredPixels:
    fractions = coverage_fraction(geometry, transform, Window(*window.tolist()))
    row, column = np.nonzero(fractions)
    return CoveredPixels(np.full(len(row), number), row, column, fractions[row, column])


def _of_masks(geometries: Geometries, transform: Affine, windows: Ints, numbers: Ints, *, all_touched: bool) -> Runs:
    """Runs of some zones, one after the other."""
    of, rows, columns, lengths = [], [], [], []
    for number in numbers.tolist():
        col_off, row_off, width, height = windows[number].tolist()
        mask = polygon_mask(geometries[number], transform, Window(col_off, row_off, width, height), all_touched)
        framed = np.zeros((height, width + 2), np.int8)
        framed[:, 1:-1] = mask
        turns = np.flatnonzero(np.diff(framed.reshape(-1), prepend=0))
        begin, end = turns[0::2], turns[1::2]
        row, column = np.divmod(begin, width + 2)
        of.append(np.full(len(begin), number))
        rows.append(row + row_off)
        columns.append(column - 1 + col_off)
        lengths.append(end - begin)
    none = [np.empty(0, np.int64)]
    polygon, row, col, length = (np.concatenate(each or none) for each in (of, rows, columns, lengths))
    return Runs(polygon, row, col, length, np.searchsorted(polygon, np.arange(len(geometries) + 1)))


def _merged(one: Runs, other: Runs) -> Runs:
    """The runs of both, which have none of the same polygon."""
    polygon = np.concatenate((one.polygon, other.polygon))
    order = np.argsort(polygon, kind="stable")
    row, col, length = (
        np.concatenate((mine, theirs))[order]
        for mine, theirs in ((one.row, other.row), (one.col, other.col), (one.length, other.length))
    )
    return Runs(polygon[order], row, col, length, one.first + other.first)
