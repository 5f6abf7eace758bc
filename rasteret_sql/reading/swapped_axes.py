"""Warns if all geometries of a call miss their scenes, and would not with latitude and longitude swapped."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from rasteret_sql.errors import InvalidCrsError
from rasteret_sql.geo.crs import lonlat_of
from rasteret_sql.geo.grid import Grid, of_each_grid
from rasteret_sql.geo.placement import is_place, place
from rasteret_sql.warning import warn

TRIED = 64
"""Rows of a call that are tried."""
_AGAIN = 30.0
"""Seconds for which the same is not told again: a statement has many calls."""

_told: dict[str, float] = {}
_lock = threading.Lock()


def some_meet(geometries: npt.NDArray[np.object_], grids: Sequence[Grid]) -> bool:
    """True where the bounds of any placed geometry meet its image; one grid stands for all."""
    west, south, east, north = shapely.bounds(geometries).T
    left, bottom, right, top = of_each_grid(lambda grid: grid.bounds, grids).reshape(-1, 4).T
    with np.errstate(invalid="ignore"):  # None has no bounds
        return bool(((west <= right) & (east >= left) & (south <= top) & (north >= bottom)).any())


@dataclass(frozen=True, slots=True, eq=False)
class Missed:
    """Geometries of a call that all miss their images."""

    geometries: Sequence[shapely.Geometry]
    """As given."""
    source: str
    """Their CRS."""
    native: str
    """CRS of the images."""
    grids: Sequence[Grid]
    """The image for each geometry."""
    what: str
    """The scene of the first, for the message."""


def swapped(geometry: shapely.Geometry) -> shapely.Geometry:
    """A geometry with x and y swapped."""
    return shapely.transform(geometry, lambda xy: xy[:, ::-1])


def if_swapped(geometry: shapely.Geometry) -> str:
    """Say that a geometry has its axes swapped, for messages."""
    x, y = shapely.get_coordinates(geometry)[0].tolist()
    return (
        "with x and y swapped some would: geometries are longitude before latitude, and "
        f"({x:g}, {y:g}) would be ({y:g}, {x:g})"
    )


def warn_if_swapped(missed: Missed) -> None:
    """Warn where geometries in longitude and latitude would meet some of their images with x and y swapped."""
    geometries, source, native, grids, what = (
        missed.geometries,
        missed.source,
        missed.native,
        missed.grids,
        missed.what,
    )
    if lonlat_of(source) is None:
        return
    turned = [swapped(geometry) for geometry in geometries[:TRIED]]
    sound = [at for at, geometry in enumerate(turned) if is_place(geometry, source)]
    if not sound:
        return
    near = [grids[at] for at in sound]
    try:
        placed = place([turned[at] for at in sound], source, native, near)
    except InvalidCrsError:  # the call itself says so
        return
    if not some_meet(placed, near):
        return
    text = (
        f"no geometry of this call meets its scene ({what}), but {if_swapped(geometries[sound[0]])}. The rows are "
        "NULL; swap them with ST_FlipCoordinates, or write POINT(lon lat)"
    )
    now = time.monotonic()
    with _lock:
        known = _told.get(what, -np.inf)
        _told.clear()
        _told[what] = now
    if now - known > _AGAIN:
        warn(text)
