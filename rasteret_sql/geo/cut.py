"""Cuts geometries to the part of the globe that an image shows, and places them on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import shapely

from rasteret_sql.geo.crs import LonLat, lonlat_of, metres, metres_a_unit
from rasteret_sql.geo.crs_pair import PIXELS, CrsPair, column, continued, ranked, strays, tolerances
from rasteret_sql.geo.densify import Floats, Ints, densified, polygons_of, rings_of
from rasteret_sql.geo.grid import Grid
from rasteret_sql.geo.image_region import polygonal, repaired, shifted, sound_on_globe
from rasteret_sql.geo.limb_point import limb_point, pixels_in
from rasteret_sql.geo.seams import beyond_seams, open_seams
from rasteret_sql.geo.valid_part import valid_part

_OVERLAP = 10.0
"""Degrees by which the halves of what goes round a pole overlap, so that their union has no seam."""
_MARGIN_PIXELS = 2.0
_MARGIN = 0.01
"""The part of the globe to which geometries are cut is that of an image with so much more on each side, which is more
than the cut's own edges stray."""


@dataclass(frozen=True, slots=True, eq=False)
class _Near:
    """The part of a geometry near an image."""

    on_image: shapely.Geometry
    """In its CRS: a little more than the image, without what does not show the globe."""
    regions: tuple[shapely.Geometry, ...]
    """The same on the globe, valid polygons, within each of which places lie side by side as they do on the image."""
    point: shapely.Geometry | None
    """What none of `regions` has: a place that the image shows along the end of its map, and a little around it."""
    strip: shapely.Geometry | None
    """The part of `on_image` that shows it."""
    seams: bool
    """True where the map is cut open along meridians, so that not all of `on_image` needs to show the globe."""


@lru_cache(maxsize=512)
def _near(grid: Grid, native: str, base: str) -> _Near:
    hub = lonlat_of(base)
    assert hub is not None
    margin = _MARGIN_PIXELS + _MARGIN * max(grid.width, grid.height)
    outline = grid.outline(margin)
    shown = valid_part(outline, native, hub, grid.pixel)
    seams = open_seams(native, hub)
    ending = limb_point(shown, native, hub)
    point = None if ending is None else ending.around(grid.pixel * metres_a_unit(native), hub)
    left_out = shapely.union_all([seams, None if point is None else _in_all_turns(point, hub)])
    regions = []
    for region in sound_on_globe(shown, native, hub, overlap=_OVERLAP / 360 * hub.turn):
        cut = repaired(region if left_out.is_empty else shapely.difference(region, left_out))
        shapely.prepare(cut)
        regions.append(cut)
    strip = None
    if point is not None:
        placed = with_vertices(regions, CrsPair.between(base, native), grid)
        strip = shapely.difference(shown.polygon, shapely.union_all([repaired(each) for each in placed if each]))
    return _Near(shown.polygon, tuple(regions), point, strip, seams is not None)


def _in_all_turns(point: shapely.Geometry, hub: LonLat) -> shapely.Geometry:
    return shapely.union_all([shifted(point, turn * hub.turn) for turn in (-1, 0, 1)])


def cut_and_placed(geometries: Sequence[shapely.Geometry], pair: CrsPair, grid: Grid) -> shapely.Geometry | None:
    """Geometries in longitude and latitude, together, on an image of a projection."""
    hub = pair.source_hub
    assert hub is not None
    if not geometries:
        return None
    near = _near(grid, pair.native, pair.source)
    pieces: list[shapely.Geometry] = []
    flat = shapely.get_dimensions(geometries[0]) == 2
    whole = 0
    for region in near.regions if flat or near.point is None else (*near.regions, near.point):
        there = [copy for geometry in geometries for copy in _copies(geometry, region, hub)]
        if not there:
            continue
        zone = there[0] if len(there) == 1 else shapely.union_all([repaired(copy) for copy in there])
        if shapely.covers(zone, region):
            whole += 1
        cut = _cut(zone, region)
        if cut is not None:
            pieces.append(cut)
    beside = _beside_end(geometries, near, pair, grid) if flat else None
    if whole and whole == len(near.regions) and not near.seams and beside is near.strip:
        return near.on_image
    placed = [piece for piece in with_vertices(pieces, pair, grid, to_ends=near.seams) if piece is not None]
    if beside is not None:
        placed.append(beside)
    if not placed:
        return None
    # One piece stays as it is, parts that overlap included: who needs it valid repairs it (`geo.even_odd`).
    if len(placed) == 1:
        return placed[0]
    if shapely.get_dimensions(placed[0]) < 2:
        return shapely.union_all(placed)
    return polygonal(shapely.union_all([repaired(piece) for piece in placed]))


def _beside_end(
    geometries: Sequence[shapely.Geometry], near: _Near, pair: CrsPair, grid: Grid
) -> shapely.Geometry | None:
    """The part of geometries in the strip that shows one point; the strip itself where they have all of it."""
    hub = pair.source_hub
    if near.point is None or near.strip is None or hub is None:
        return None
    there = [repaired(copy) for geometry in geometries for copy in _copies(geometry, near.point, hub)]
    zone = shapely.union_all(there)
    if shapely.covers(zone, near.point):
        return near.strip
    if not shapely.intersects(zone, near.point):
        return None
    return polygonal(pixels_in(zone, near.strip, grid, pair.native, hub))


def _copies(geometry: shapely.Geometry, region: shapely.Geometry, hub: LonLat) -> list[shapely.Geometry]:
    """A geometry in all turns in which it may meet a region."""
    west, _, east, _ = shapely.bounds(geometry)
    left, _, right, _ = shapely.bounds(region)
    turns = range(int(np.ceil((left - east) / hub.turn)), int(np.floor((right - west) / hub.turn)) + 1)
    return [shifted(geometry, turn * hub.turn) for turn in turns]


def _cut(zone: shapely.Geometry, region: shapely.Geometry) -> shapely.Geometry | None:
    """The part of a zone in a region, part by part: those inside stay as they are."""
    parts = shapely.get_parts(zone)
    parts = parts[shapely.intersects(shapely.box(*shapely.bounds(region)), shapely.box(*shapely.bounds(parts).T))]
    if not len(parts):
        return None
    inside = shapely.contains(region, parts) if shapely.is_valid(parts).all() else np.zeros(len(parts), dtype=bool)
    kept = list(parts[inside])
    others = parts[~inside]
    if len(others):
        if shapely.get_dimensions(others[0]) == 2:
            others = np.array([repaired(part) for part in others], dtype=object)
        cut = shapely.get_parts(shapely.get_parts(shapely.intersection(others, region)))
        kept += [part for part in cut if shapely.get_dimensions(part) == shapely.get_dimensions(zone)]
    kept = [part for part in kept if not part.is_empty]
    if not kept:
        return None
    if shapely.get_dimensions(zone) == 2:
        return shapely.multipolygons(kept)
    return shapely.multilinestrings(kept) if shapely.get_dimensions(zone) == 1 else shapely.multipoints(kept)


def with_vertices(
    pieces: Sequence[shapely.Geometry], pair: CrsPair, grid: Grid, *, to_ends: bool = False
) -> list[shapely.Geometry | None]:
    """Pieces moved to an image's CRS, with vertices where their edges are curves there.

    Args:
        pieces: in the source CRS.
        pair: the CRS of the geometries and that of the image.
        grid: the image.
        to_ends: pieces end beside the seams of the map, and are to reach beyond them: centres on a seam are inside.
    """
    found: list[shapely.Geometry | None] = []
    move = continued(pair)

    def followed(coordinates: Floats, ring: Ints) -> tuple[Floats, Ints]:
        images = move(coordinates)
        allowed = tolerances(images, ring, grid.pixel, grid.outline_length)
        coordinates, images, owner, _ = densified(
            coordinates, ring, move, strays(pair), allowed, images=images, shortest=shortest
        )
        if to_ends and pair.source_hub is not None:
            images = beyond_seams(coordinates, images, pair.native, pair.source_hub)
        return images, owner

    # Opposite of a projection's centre the smallest edges are long curves: those are not followed to their end.
    shortest = metres(pair.source, PIXELS * (grid.pixel * metres_a_unit(pair.native)))
    for piece in pieces:
        one = column([piece])
        if shapely.get_dimensions(piece) == 2:
            coordinates, ring, part, geometry = rings_of(one)
            images, owner = followed(coordinates, ring)
            found += polygons_of(images, owner, part, geometry, 1).tolist()
            continue
        lines = shapely.get_parts(piece)
        coordinates, line = shapely.get_coordinates(lines, return_index=True)
        images, owner = followed(coordinates, line)
        finite = np.isfinite(images).all(axis=1)
        long = np.bincount(owner[finite], minlength=len(lines))[owner] > 1
        if shapely.get_dimensions(piece) == 0:
            found.append(shapely.multipoints(images[finite]) if finite.any() else None)
        elif (finite & long).any():
            made = shapely.linestrings(images[finite & long], indices=ranked(owner[finite & long]))
            found.append(shapely.multilinestrings(made))
        else:
            found.append(None)
    return found
