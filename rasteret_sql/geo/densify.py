"""Adds vertices to edges until their images under a map are straight enough.

An edge is straight in the CRS in which its geometry is given, and a curve in another. So vertices are added where the
curve strays from its chord, and only there: whole arrays of rings at once, one call of the map a round.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import shapely

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

Map = Callable[[Floats], Floats]
"""Coordinates (n, 2) → coordinates (n, 2), not finite where there is no place."""
Strays = Callable[[Floats, Floats, Floats, Floats], Bools]
"""(images of the starts of edges, of the points at `AT`, of the ends, how far each edge may stray) → which edges want
another vertex."""

AT = 0.4
"""Where on an edge it is tested and cut: not in the middle, where a curve like an S meets its chord."""
ROUNDS = 16
"""Most rounds, each of which can double the vertices of an edge."""
MOST_VERTICES = 4_000_000
"""Beyond it edges stay as they are."""


def strays_in_plane(start: Floats, at: Floats, end: Floats, tolerance: Floats) -> Bools:
    """Edges whose curve is further from the chord than `tolerance`, in units of the map's target: a `Strays`."""
    off = at - (start + AT * (end - start))
    far = np.hypot(off[:, 0], off[:, 1]) > tolerance
    # Where a place ends, the edge is cut until the end is found.
    placed = np.isfinite(start).all(axis=1).astype(int) + np.isfinite(end).all(axis=1) + np.isfinite(at).all(axis=1)
    return np.where(placed == 3, far, placed > 0)


def strays_on_sphere(turn: float) -> Strays:
    """As `strays_in_plane` for a target in longitude and latitude, where a whole turn makes no difference.

    Args:
        turn: units of longitude in a whole turn (360 for degrees); tolerances are in units of latitude.
    """
    pole = turn / 4

    def strays(start: Floats, at: Floats, end: Floats, tolerance: Floats) -> Bools:
        step = wrapped(end[:, 0] - start[:, 0], turn)
        off = wrapped(at[:, 0] - start[:, 0] - AT * step, turn) * np.cos(at[:, 1] * (2 * np.pi / turn))
        far = np.hypot(off, at[:, 1] - (start[:, 1] + AT * (end[:, 1] - start[:, 1]))) > tolerance
        at_pole = np.maximum(np.abs(start[:, 1]), np.abs(end[:, 1])) > pole * (1 - 1e-10)
        # A long step in longitude could be one to the other side.
        return far | ((np.abs(step) > turn / 8) & ~at_pole)

    return strays


def wrapped(difference: Floats, turn: float) -> Floats:
    """Differences of longitudes as the shorter way round."""
    shorter: Floats = difference - turn * np.round(difference / turn)
    return shorter


def densified(
    coordinates: Floats,
    owner: Ints,
    move: Map,
    strays: Strays,
    tolerance: Floats,
    *,
    images: Floats | None = None,
    shortest: float = 0.0,
    done: Bools | None = None,
) -> tuple[Floats, Floats, Ints, Bools]:
    """Add vertices to the edges of many rings or lines.

    Args:
        coordinates: vertices, shape (n, 2), ring after ring.
        owner: which ring each vertex is of.
        move: the map.
        strays: tells which edges want another vertex.
        tolerance: how far each edge may stray, from each vertex to the next, shape (n,).
        images: `move(coordinates)`, where it is known.
        shortest: edges of at most this length, in the CRS of `coordinates`, stay as they are.
        done: edges that stay as they are, from each vertex to the next, shape (n,).

    Returns:
        Vertices, their images, which ring each is of, and which edges (from each vertex to the next) still stray: a
        map that jumps has some however many vertices they get.
    """
    images = move(coordinates) if images is None else images
    active = np.append(owner[:-1] == owner[1:], False)
    if done is not None:
        active &= ~done
    for _ in range(ROUNDS):
        at = np.flatnonzero(active)
        if not len(at):
            break
        # In one direction, whichever way the ring runs: neighbours get the same vertices on the edge that they share.
        x, y = coordinates[:, 0], coordinates[:, 1]
        ahead = (x[at] < x[at + 1]) | ((x[at] == x[at + 1]) & (y[at] <= y[at + 1]))
        start, end = np.where(ahead, at, at + 1), np.where(ahead, at + 1, at)
        between = coordinates[start] + AT * (coordinates[end] - coordinates[start])
        image = move(between)
        with np.errstate(invalid="ignore"):  # images that are not finite
            split = strays(images[start], image, images[end], tolerance[at])
        split &= np.hypot(*(coordinates[at + 1] - coordinates[at]).T) > shortest
        active[at[~split]] = False
        at = at[split]
        if not len(at) or len(coordinates) + len(at) > MOST_VERTICES:
            break
        # Each vertex that is cut behind stands twice, and the second is the new one: one index for all five arrays.
        times = np.ones(len(coordinates), dtype=np.int64)
        times[at] = 2
        old = np.repeat(np.arange(len(coordinates)), times)
        new = at + 1 + np.arange(len(at))
        coordinates, images, owner = coordinates[old], images[old], owner[old]
        tolerance, active = tolerance[old], active[old]
        coordinates[new], images[new], active[new] = between[split], image[split], True
    return coordinates, images, owner, active


def rings_of(geometries: npt.NDArray[np.object_]) -> tuple[Floats, Ints, Ints, Ints]:
    """Vertices of polygons and multipolygons: coordinates, ring of each, part of each ring, geometry of each part."""
    parts, geometry = shapely.get_parts(geometries, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    coordinates, ring = shapely.get_coordinates(rings, return_index=True)
    return coordinates, ring, part, geometry


def polygons_of(coordinates: Floats, ring: Ints, part: Ints, geometry: Ints, count: int) -> npt.NDArray[np.object_]:
    """Polygons and multipolygons from what `rings_of` gives; None for a geometry of which nothing is left.

    Vertices that are not finite are left out, and rings of fewer than three; without its shell a part is left out.

    Args:
        coordinates: shape (n, 2).
        ring: of each vertex, ascending.
        part: of each ring.
        geometry: of each part.
        count: of geometries.
    """
    finite = np.isfinite(coordinates).all(axis=1)
    coordinates, ring = coordinates[finite], ring[finite]
    coordinates, ring = _closed(coordinates, ring)
    size = np.bincount(ring, minlength=len(part))
    first = np.append(True, part[1:] != part[:-1])
    whole = (size >= 4) & (size[first] >= 4)[np.cumsum(first) - 1]
    kept = whole[ring]
    out = np.full(count, None, dtype=object)
    if not kept.any():
        return out
    number = np.cumsum(whole) - 1
    rings = shapely.linearrings(coordinates[kept], indices=number[ring[kept]])
    parts_kept, part_number = np.unique(part[whole], return_inverse=True)
    polygons = shapely.polygons(rings, indices=part_number)
    owner = geometry[parts_kept]
    several = np.bincount(owner, minlength=count)
    alone = several[owner] == 1
    out[owner[alone]] = polygons[alone]
    if not alone.all():
        owners, number = np.unique(owner[~alone], return_inverse=True)
        out[owners] = shapely.multipolygons(polygons[~alone], indices=number)
    return out


def _closed(coordinates: Floats, ring: Ints) -> tuple[Floats, Ints]:
    """Rings with their first vertex again at their end, where it was left out or differs by rounding."""
    if not len(ring):
        return coordinates, ring
    first = np.flatnonzero(np.append(True, ring[1:] != ring[:-1]))
    last = np.append(first[1:], len(ring)) - 1
    open_ = (coordinates[first] != coordinates[last]).any(axis=1)
    if not open_.any():
        return coordinates, ring
    return (
        np.insert(coordinates, last[open_] + 1, coordinates[first[open_]], axis=0),
        np.insert(ring, last[open_] + 1, ring[first[open_]]),
    )
