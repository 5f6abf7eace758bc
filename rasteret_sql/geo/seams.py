"""Finds the meridians along which a map is cut open: neighbours on the globe that lie apart on the map.

Most world maps are cut at 180 degrees from their central meridian; Goode's has more cuts, in one hemisphere each.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import shapely

from rasteret_sql.geo.crs import LonLat, metres, transformer
from rasteret_sql.geo.densify import Floats

_LATITUDES = (30.0, 45.0, 60.0)
"""Degrees at which each hemisphere is looked at."""
_STEPS = 720
_HALVINGS = 40
_APART = 20_000.0
"""Metres by which two sides of a cut lie apart at least."""
_WIDTH = 1e-9
"""Degrees to each side that count to the cut."""


@lru_cache(maxsize=256)
def open_seams(crs: str, hub: LonLat) -> shapely.Geometry | None:
    """Slits along which a map is cut open, in longitude and latitude, in three turns; None where there are none.

    Only cuts along meridians are found, from the equator to a pole.

    Args:
        crs: of the map.
        hub: longitudes and latitudes on its globe.
    """
    half = _WIDTH * hub.turn / 360
    slits = [
        shapely.box(cut + turn - half, 0, cut + turn + half, side * hub.turn / 4)
        for cut, side in _meridians(crs, hub)
        for turn in (-hub.turn, 0.0, hub.turn)
    ]
    return shapely.union_all(slits) if slits else None


def beyond_seams(places: Floats, images: Floats, crs: str, hub: LonLat) -> Floats:
    """Images of the vertices beside a slit, as far beyond the end of the map as they were before it.

    What ends at a slit so has pixels whose centres lie exactly on the end of the map.

    Args:
        places: shape (n, 2), in longitude and latitude.
        images: the same on the map.
        crs: of the map.
        hub: longitudes and latitudes on its globe.
    """
    half = _WIDTH * hub.turn / 360
    out = images.copy()
    for cut, side in _meridians(crs, hub):
        off = places[:, 0] - cut
        off -= hub.turn * np.round(off / hub.turn)
        hemisphere = places[:, 1] >= 0 if side > 0 else places[:, 1] < 0
        at = np.flatnonzero((np.abs(off) < 1.5 * half) & hemisphere & np.isfinite(images).all(axis=1))
        if len(at):
            inner = places[at] + np.column_stack([2 * half * np.sign(off[at]), np.zeros(len(at))])
            moved = np.column_stack(transformer(hub.crs, crs).transform(*inner.T))
            out[at] += np.where(np.isfinite(moved), images[at] - moved, 0.0)
    return out


@lru_cache(maxsize=256)
def _meridians(crs: str, hub: LonLat) -> tuple[tuple[float, int], ...]:
    """Longitudes of the cuts, each with its hemisphere: 1 north, -1 south."""
    out: list[tuple[float, int]] = []
    for side in (1, -1):
        found = [_cuts(crs, hub, side * latitude * hub.turn / 360) for latitude in _LATITUDES]
        out += [
            (float(cut), side)
            for cut in found[0]
            if all(np.abs(others - cut).min(initial=np.inf) < 1e-6 * hub.turn for others in found[1:])
        ]
    return tuple(out)


def _cuts(crs: str, hub: LonLat, latitude: float) -> Floats:
    """Longitudes on a parallel between which and their neighbours the map jumps."""
    there = transformer(hub.crs, crs)

    def jump(west: Floats, east: Floats) -> Floats:
        with np.errstate(invalid="ignore"):  # places that the map does not show
            left = np.column_stack(there.transform(west, np.full(len(west), latitude)))
            right = np.column_stack(there.transform(east, np.full(len(east), latitude)))
            return np.asarray(np.nan_to_num(np.hypot(*(right - left).T), nan=0.0, posinf=0.0))

    # Beside the round numbers at which maps are cut, so that no cut lies on an end.
    ends = np.linspace(-hub.turn / 2, hub.turn / 2, _STEPS + 1) + hub.turn / _STEPS * 0.37
    west, east = ends[:-1], ends[1:]
    apart = metres(crs, _APART)
    wide = jump(west, east)
    far = (wide > apart) & (wide > 3 * np.median(wide))
    west, east = west[far], east[far]
    for _ in range(_HALVINGS):
        middle = (west + east) / 2
        left = jump(west, middle) > jump(middle, east)
        west, east = np.where(left, west, middle), np.where(left, middle, east)
    real = jump(west - _WIDTH, east + _WIDTH) > apart / 10
    cuts: Floats = (west[real] + east[real]) / 2
    return cuts
