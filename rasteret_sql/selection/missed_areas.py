"""Explains why no scene meets the geometries of a call: axes that are swapped, or a CRS that is not theirs."""

from __future__ import annotations

import numpy as np

from rasteret_sql.geo.crs import lonlat_of
from rasteret_sql.geo.placement import is_place
from rasteret_sql.reading.swapped_axes import TRIED, if_swapped, swapped
from rasteret_sql.selection.areas import Areas
from rasteret_sql.selection.conditions import near_areas
from rasteret_sql.selection.describe import bounds_of
from rasteret_sql.selection.selection import Selection


def explain_missed(selection: Selection, areas: Areas) -> str:
    """Say what may be wrong with geometries that no scene meets, for messages.

    Args:
        selection: the scenes.
        areas: the geometries, all in one CRS.
    """
    where = bounds_of(selection)
    if where is None:
        return "there are no scenes: the filters leave none, or the collection has none"
    bounds = ", ".join(f"{side:.6g}" for side in where)
    return mistake_of(selection, areas) or f"the scenes lie within ({bounds}) in longitude and latitude"


def mistake_of(selection: Selection, areas: Areas) -> str | None:
    """Say what must be wrong with geometries that no scene meets; None where they may just be elsewhere."""
    if lonlat_of(areas.crs) is None:
        return None
    given = areas.geometries[:TRIED]
    turned = [each for each in map(swapped, given) if is_place(each, areas.crs)]
    if turned and selection.where(near_areas(Areas(np.array(turned, object), areas.crs).lonlat())).count():
        return if_swapped(given[0])
    if not any(is_place(each, areas.crs) for each in given):
        remedy = "swap x and y, or give geometry_crs=" if turned else "give geometry_crs="
        return f"these are no longitudes and latitudes in degrees, as {areas.crs} has them: {remedy}"
    return None
