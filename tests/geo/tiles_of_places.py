"""Tiles of a web map by places that they hold."""

from __future__ import annotations

import numpy as np

from rasteret_sql.geo.web_mercator import HALF, MapTile, from_lonlat


def tile_at(lon: float, lat: float, z: int) -> MapTile:
    """The tile that holds a place; the nearest one beyond the ends of the map."""
    x, y = from_lonlat(np.array([lon]), np.array([lat]))
    side, last = 2 * HALF / 2**z, 2**z - 1
    col, row = (min(max(int(metres // side), 0), last) for metres in (float(x[0]) + HALF, HALF - float(y[0])))
    return MapTile(z, col, row)
