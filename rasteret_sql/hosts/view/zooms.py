"""Finds the zooms at which a map of a collection shows something."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.target_grid import resolution_in
from rasteret_sql.geo.web_mercator import MAX_ZOOM, WEB_MERCATOR, metres_on_map, zoom_of
from rasteret_sql.reading.asked_band import Asked
from rasteret_sql.reading.target_grids import finest
from rasteret_sql.selection.describe import bounds_of
from rasteret_sql.selection.selection import Selection
from rasteret_sql.session.session import Session

_LOOKED_AT = 16
"""Scenes of which one has to have a place."""
_LEAST_PIXELS = 32
"""A scene is so many pixels wide at the least zoom: smaller ones are footprints alone."""
_ALL = 22


class Zooms(NamedTuple):
    """The zooms of a map."""

    least: int
    """Smaller ones would have to read very many scenes for a picture of dots."""
    most: int
    """Of which a pixel is about one of the finest band: clients enlarge its tiles."""


def zooms_of(session: Session, selection: Selection, bands: Sequence[Asked]) -> Zooms:
    """The zooms of some bands, as the first scenes have them.

    Raises:
        RasteretError: no scene has these bands.
    """
    index = selection.index
    scenes = session.lookup.some_ids(index, _LOOKED_AT)
    found = session.reading().look_up([(scene, tuple(bands)) for scene in scenes], index.name, None)
    failed: RasteretError | None = None
    for files in found.values():
        if isinstance(files, RasteretError):
            failed = failed or files
            continue
        header = finest(files).header
        if header.transform is None or header.crs is None:
            continue
        metres = min(resolution_in(WEB_MERCATOR, header.crs, header.transform))
        most = zoom_of(metres_on_map(metres, bounds_of(selection)))
        smaller = math.log2(max(header.width, header.height) / _LEAST_PIXELS)
        return Zooms(max(0, most - max(1, math.floor(smaller))), min(most, MAX_ZOOM))
    if failed is not None:
        raise failed
    return Zooms(0, _ALL)
