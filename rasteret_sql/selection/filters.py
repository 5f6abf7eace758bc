"""Applies the named conditions on scenes that `subset` and every reading call take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.footprints import Area
from rasteret_sql.geo.lonlat_boxes import parse_box
from rasteret_sql.index.read.box_conditions import near_box, unclear_box
from rasteret_sql.scenes.dates import DateLike
from rasteret_sql.selection import conditions
from rasteret_sql.selection.areas import Kinds, read_areas
from rasteret_sql.selection.selection import Selection


def subset_of(
    selection: Selection,
    *,
    cloud_cover_lt: float | None = None,
    date_range: Sequence[DateLike] | str | None = None,
    bbox: Sequence[float] | None = None,
    geometries: Any = None,
    split: str | Sequence[str] | None = None,
    split_column: str = "split",
) -> Selection:
    """The scenes that meet all conditions; see `Collection.subset`.

    Raises:
        InvalidArgumentError: nothing is given, a value cannot be used, or the scenes have no such column.
    """
    index = selection.index
    box = None if bbox is None else parse_box(bbox)
    tests = [
        None if cloud_cover_lt is None else conditions.cloud_condition(index, cloud_cover_lt),
        None if date_range is None else conditions.date_condition(index, date_range),
        None if box is None else near_box(box),
        None if split is None else conditions.split_condition(index, split, split_column),
    ]
    areas = None if geometries is None else read_areas(geometries, kinds=Kinds.ANY).lonlat()
    given = [test for test in tests if test is not None]
    if areas is None and not given:
        raise InvalidArgumentError(
            "No filters provided; give cloud_cover_lt, date_range, bbox, geometries or split, or use where(...)"
        )
    chosen = selection.where(*given)
    if box is not None:
        chosen = chosen.sift(conditions.meets(Area.of_box(box), clear_boxes_suffice=True), only=unclear_box())
    if areas is None:
        return chosen
    return chosen.where(conditions.near_areas(areas)).sift(conditions.meets(Area(areas)))


NAMES = tuple(subset_of.__kwdefaults__ or ())
"""The filters that there are."""


def filtered(selection: Selection, filters: Mapping[str, Any]) -> Selection:
    """The scenes that meet the filters of a reading call; None and no filters at all leave them all.

    Raises:
        InvalidArgumentError: as `subset_of`.
    """
    given = {name: value for name, value in filters.items() if value is not None}
    return subset_of(selection, **given) if given.keys() - {"split_column"} else selection
