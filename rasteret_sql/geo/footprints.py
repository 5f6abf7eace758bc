"""Places footprints in lon/lat and finds those that meet an area, alike for catalogs, tables and collections.

**Longitudes** may be written a turn apart (185 or -175); every area is looked for in all turns.

**The short way.** RFC 7946 cuts a footprint across the antimeridian in two; many catalogs write one ring instead, whose
longitudes jump from one end of the globe to the other (179.27 .. -178.11). Read as it stands, such a ring spans the
globe. A part of a footprint that is wider than 180 degrees is read so:

1. Where the scene's box says that it crosses (west > east, or the whole turn -180..180 around a ring that does not
   reach so far), each edge of more than 180 degrees goes the short way.
2. Without such a box, an edge of 270 degrees or more goes the short way: no edge of an image is that long. One of 180
   to 270 degrees stays: footprints of half the globe have such edges.
3. A ring stays as it is written that has no such edges, since each of its steps says where it goes; that would have no
   width the short way, since it is the whole turn; and, unless its box has west > east, that is a plain rectangle which
   would be at least 5 degrees high and four times as high as wide: no image has that form, but grids of the globe do
   that stop half a pixel short of it (-179.875 .. 179.875).
4. A ring that goes around the globe once, north of 45 degrees or south of -45, holds the pole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import shapely
from shapely.errors import ShapelyError

from rasteret_sql.geo.grid import Bounds
from rasteret_sql.geo.lonlat_boxes import TURNS, within_one_turn

Geometries = npt.NDArray[np.object_]
Boxes = npt.NDArray[np.float64]

_SURE = 270.0
"""Degrees from which an edge goes the short way although no box says so."""
_HALF = 180.0
_POLAR = 45.0
_ROUNDED = 1e-3
"""Part of its box that a rectangle may lack at its corners."""
_LEAST_HEIGHT, _HIGHER_THAN_WIDE = 5.0, 4.0
_ROWS = 4096
"""Footprints that are tested together: the pairs of many areas and many footprints stay few."""


def unwrapped(geometries: Geometries, boxes: Boxes | None = None) -> Geometries:
    """Footprints without jumps: those across the antimeridian go on beyond 180; see the rules of this module.

    Args:
        geometries: lon/lat or None, shape (n,). Not changed.
        boxes: of the scenes, shape (n, 4), NaN where there is none; west > east across the antimeridian.

    Returns:
        The same array where nothing is to be moved.
    """
    bounds = shapely.bounds(geometries)
    wide = np.flatnonzero(bounds[:, 2] - bounds[:, 0] > _HALF)
    if not len(wide):
        return geometries
    out = geometries.copy()
    changed = False
    for row in wide.tolist():
        sure = says = False
        if boxes is not None:
            west, east = boxes[row, 0], boxes[row, 2]
            sure = bool(west > east)
            says = bool(west == -180 and east == 180 and bounds[row, 0] > -180 and bounds[row, 2] < 180)
        parts = shapely.get_parts(out[row])
        moved = [_short_way(part, sure=sure, says=says) for part in parts]
        if any(new is not old for new, old in zip(moved, parts, strict=True)):
            out[row] = moved[0] if len(moved) == 1 else shapely.union_all(shapely.make_valid(np.array(moved)))
            changed = True
    return out if changed else geometries


def _short_way(part: shapely.Geometry, *, sure: bool, says: bool) -> shapely.Geometry:
    """One part of a footprint the short way; the part itself where it stays as it is.

    Args:
        part: of any width.
        sure: True: the footprint does cross the antimeridian.
        says: True: its box says so in the way in which a global one is written, too.
    """
    west, south, east, north = part.bounds
    if not isinstance(part, shapely.Polygon) or east - west <= _HALF:
        return part
    shell = shapely.get_coordinates(part.exterior)
    around = _steps(shell, _HALF)
    if abs(around.sum()) > _HALF:
        return _with_pole(part, shell, around)
    moved = _along(shell, around if sure or says else _steps(shell, _SURE))
    width = np.ptp(moved[:, 0])
    if width == 0 or width >= east - west or abs(moved[-1, 0] - moved[0, 0]) > _HALF:
        return part
    if not sure and north - south >= max(_LEAST_HEIGHT, _HIGHER_THAN_WIDE * width) and _is_rectangle(part):
        return part
    holes = [_hole(shapely.get_coordinates(ring), moved[:, 0].min()) for ring in part.interiors]
    return shapely.Polygon(moved, holes)


def _steps(ring: Boxes, limit: float) -> npt.NDArray[np.float64]:
    """Differences of longitude from vertex to vertex; those of more than 180 and at least `limit` go the other way."""
    steps = np.diff(ring[:, 0])
    jumps = (np.abs(steps) >= limit) & (np.abs(steps) > _HALF)
    return np.where(jumps, steps - 360 * np.round(steps / 360), steps)


def _along(ring: Boxes, steps: npt.NDArray[np.float64]) -> Boxes:
    # Whole turns are added, not steps summed up, so that a longitude keeps its digits.
    turns = np.round((ring[0, 0] + np.concatenate(([0.0], np.cumsum(steps))) - ring[:, 0]) / 360)
    return np.column_stack((ring[:, 0] + 360 * turns, ring[:, 1]))


def _hole(ring: Boxes, west: float) -> Boxes:
    moved = _along(ring, _steps(ring, _HALF))
    moved[:, 0] += 360 * np.ceil((west - moved[:, 0].min()) / 360 - 1e-9)
    return moved


def _with_pole(part: shapely.Polygon, ring: Boxes, steps: npt.NDArray[np.float64]) -> shapely.Geometry:
    """A ring that goes around the globe, closed over the pole that it holds."""
    latitudes = ring[:, 1]
    nearest, farthest = np.abs(latitudes).min(), np.abs(latitudes).max()
    # An edge of a whole turn is a seam: that of a band around the globe, or of a cap that is closed already.
    has_seam = np.abs(np.diff(ring[:, 0])).max() >= 360
    if has_seam or nearest < _POLAR or latitudes.min() * latitudes.max() < 0 or farthest >= 90:
        return part
    moved = _along(ring, steps)
    pole = np.copysign(90.0, latitudes[0])
    legs = [(moved[-1, 0], pole), (moved[0, 0], pole)]
    return shapely.make_valid(shapely.Polygon(np.vstack((moved, legs))))


def _is_rectangle(part: shapely.Polygon) -> bool:
    west, south, east, north = part.bounds
    return bool(part.area >= (1 - _ROUNDED) * (east - west) * (north - south))


def cut_at_antimeridian(geometries: Geometries, boxes: Boxes | None = None) -> Geometries:
    """Footprints as RFC 7946 writes them: in parts within ±180 where one ring crossed the antimeridian by a jump.

    All others stay as they are. Arguments as for `unwrapped`; the same array where nothing is cut.
    """
    moved = unwrapped(geometries, boxes)
    if moved is geometries:
        return geometries
    out = geometries.copy()
    for row in range(len(out)):
        if moved[row] is not geometries[row]:
            out[row] = _cut(moved[row])
    return out


def as_kept(geometries: Geometries, boxes: Boxes) -> tuple[Geometries, Boxes]:
    """Footprints and boxes of scenes as an index has them, from what a catalog or table says.

    Footprints are cut at the antimeridian where they cross it by a jump. A box is what was given, else the bounds of
    the footprint; the whole turn, -180..180, where the scene crosses the antimeridian. Neither ever loses a scene that
    is looked for by its sides, and the footprint says exactly where it is.

    Args:
        geometries: lon/lat or None, shape (n,). Not changed.
        boxes: as given, shape (n, 4), NaN where there is none; west > east across the antimeridian.
    """
    cut = cut_at_antimeridian(geometries, boxes)
    there = np.isfinite(boxes).all(axis=1) & (boxes[:, 1] <= boxes[:, 3])
    out = np.where(there[:, None], within_one_turn(boxes), shapely.bounds(cut).reshape(-1, 4))
    if cut is not geometries:
        crosses = np.array([new is not old for new, old in zip(cut, geometries, strict=True)], dtype=bool)
        out[crosses, 0], out[crosses, 2] = -180.0, 180.0
    return cut, out


def _cut(geometry: shapely.Geometry) -> shapely.Geometry:
    whole = shapely.make_valid(geometry)
    pieces = []
    for turn in (-720.0, -360.0, 0.0, 360.0, 720.0):
        piece = shapely.intersection(whole, shapely.box(turn - 180, -90, turn + 180, 90))
        polygons = [part for part in shapely.get_parts(piece) if isinstance(part, shapely.Polygon) and part.area > 0]
        pieces += [_turned(part, -turn) for part in polygons]
    # Without any extent there is nothing to cut: a line or a point.
    return shapely.union_all(pieces) if pieces else geometry


def _turned(geometry: shapely.Geometry, turn: float) -> shapely.Geometry:
    return geometry if turn == 0 else shapely.transform(geometry, partial(np.add, (turn, 0.0)))


def box_footprints(boxes: Boxes) -> Geometries:
    """Boxes of scenes as footprints; None where there is no box. West > east is across the antimeridian: two parts.

    Args:
        boxes: west, south, east, north; shape (n, 4).
    """
    out: Geometries = np.full(len(boxes), None, dtype=object)
    there = np.isfinite(boxes).all(axis=1) & (boxes[:, 1] <= boxes[:, 3])
    plain, across = there & (boxes[:, 0] <= boxes[:, 2]), there & (boxes[:, 0] > boxes[:, 2])
    out[plain] = shapely.box(*boxes[plain].T)
    for row in np.flatnonzero(across).tolist():
        west, south, east, north = boxes[row]
        out[row] = shapely.multipolygons([shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)])
    return out


def footprints_or_boxes(footprints: Geometries, boxes: Boxes) -> Geometries:
    """The footprints, and the boxes of those that have none as `box_footprints` gives them. Changes `footprints`."""
    bare = shapely.is_missing(footprints)
    footprints[bare] = box_footprints(boxes[bare])
    return footprints


def footprints_of_wkb(wkbs: Sequence[bytes | None] | Geometries) -> Geometries:
    """Footprints as an index has them, shape (n,); None where one is missing or cannot be read."""
    return np.asarray(shapely.from_wkb(np.array(wkbs, dtype=object), on_invalid="ignore"), dtype=object)


class Area:
    """An area in lon/lat, of one geometry or several, prepared for `meets`; immutable.

    Args:
        geometries: the area; none missing and none empty.
    """

    def __init__(self, geometries: shapely.Geometry | Iterable[shapely.Geometry]) -> None:
        parts = [geometries] if isinstance(geometries, shapely.Geometry) else list(geometries)
        self._places: Geometries = np.array([_turned(part, turn) for part in map(_at_home, parts) for turn in TURNS])

    @classmethod
    def of_box(cls, bbox: Bounds) -> Area:
        """The area of a box whose east may lie beyond 180."""
        return cls(shapely.box(*bbox))

    @cached_property
    def _tree(self) -> shapely.STRtree:
        shapely.prepare(self._places)
        return shapely.STRtree(self._places)

    def meets(
        self, footprints: Geometries | Sequence[shapely.Geometry | None], boxes: Boxes | None = None
    ) -> npt.NDArray[np.bool_]:
        """True for scenes with a point in common with the area; touching counts, in whichever turn both are written.

        Args:
            footprints: of the scenes, lon/lat, shape (n,). None or empty: the scene meets nothing, whatever its box;
                callers for which the box stands for the footprint give `box_footprints`.
            boxes: of the scenes, shape (n, 4), NaN where there is none; they tell which footprints cross the
                antimeridian (see the rules of this module), and nothing else.
        """
        given = np.asarray(footprints, dtype=object)
        found = np.zeros(len(given), dtype=bool)
        for start in range(0, len(given), _ROWS):
            rows = slice(start, start + _ROWS)
            found[rows] = self._meets(unwrapped(given[rows], None if boxes is None else boxes[rows]))
        return found

    def pairs(
        self, footprints: Geometries | Sequence[shapely.Geometry | None], boxes: Boxes
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Pairs of a scene and a geometry of the area that have a point in common, by their numbers from 0.

        Args:
            footprints: as `meets` takes them.
            boxes: of the scenes, likewise.

        Returns:
            Number of the scene and number of the geometry of each pair, scene by scene.
        """
        rows, places = self._touching(unwrapped(np.asarray(footprints, dtype=object), boxes))
        found = np.unique(np.column_stack((rows, places // len(TURNS))), axis=0)
        return found[:, 0], found[:, 1]

    def _meets(self, footprints: Geometries) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(footprints), dtype=bool)
        found[self._touching(footprints)[0]] = True
        return found

    def _touching(self, footprints: Geometries) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Number of a footprint and of a place of the area, for each two that have a point in common."""
        west = shapely.bounds(footprints)[:, 0]
        away = np.flatnonzero((west < -180) | (west >= 180))
        if len(away):
            footprints = footprints.copy()
            footprints[away] = [_at_home(one) for one in footprints[away]]
        rows, places = self._tree.query(footprints)
        meet = _intersects(self._places[places], footprints[rows])
        return rows[meet], places[meet]


def _at_home(geometry: shapely.Geometry) -> shapely.Geometry:
    """A geometry moved by whole turns so that its west lies from -180 to below 180."""
    return _turned(geometry, -360.0 * float(np.floor((geometry.bounds[0] + 180) / 360)))


def _intersects(areas: Geometries, footprints: Geometries) -> npt.NDArray[np.bool_]:
    try:
        return np.asarray(shapely.intersects(areas, footprints), dtype=bool)
    except ShapelyError:  # one of them crosses itself in a way that GEOS cannot place
        return np.asarray(shapely.intersects(shapely.make_valid(areas), shapely.make_valid(footprints)), dtype=bool)
