"""Tests whether an item meets the arguments of a search, whatever the server did with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rasteret_sql.geo.footprints import Area
from rasteret_sql.geo.lonlat_boxes import given_box, numbers_meet
from rasteret_sql.scenes.dates import DateRange, parse_instant
from rasteret_sql.stac.item_area import meets
from rasteret_sql.stac.query import matches
from rasteret_sql.stac.search_request import StacSource


class Criteria:
    """The arguments of a search as a test of items.

    Args:
        source: The search. Its collection is not among the criteria: whoever walks a catalog or asks an API knows
            better which items belong to it.
    """

    def __init__(self, source: StacSource) -> None:
        self._dates = source.dates
        self._condition = source.condition
        self._box = source.area
        self._area = Area.of_box(source.area) if source.area else None

    def unmet(self, items: Sequence[Mapping[str, Any]]) -> list[str | None]:
        """Of each item the first argument that it does not meet: `date_range`, `query` or `bbox`; None: it meets all.

        An item without time meets no range, one without any place no bbox.
        """
        out = [self._unmet_by_properties(item) for item in items]
        rows = [row for row, unmet in enumerate(out) if unmet is None]
        if self._area is not None and rows:
            found = meets([items[row] for row in rows], self._area).tolist()
            for row, is_met in zip(rows, found, strict=True):
                out[row] = None if is_met else "bbox"
        return out

    def _unmet_by_properties(self, item: Mapping[str, Any]) -> str | None:
        if self._dates is not None and not within(item, self._dates):
            return "date_range"
        return None if matches(item, self._condition) else "query"

    def is_far(self, item: Mapping[str, Any]) -> bool:
        """True where not even the item's bbox meets the area: some servers compare no more than the boxes."""
        if self._area is None or self._box is None or meets([{"bbox": item.get("bbox")}], self._area)[0]:
            return False
        box = given_box(item.get("bbox"))
        return box is None or not numbers_meet(box, self._box)


def within(item: Mapping[str, Any], dates: DateRange) -> bool:
    """True where the item's time has an instant in the range: its datetime, or the span of its start and end.

    An end that is missing or cannot be read is taken to be the other. An item without time has none in any range.
    """
    properties = item.get("properties") or {}
    instant, start, end = (_instant(properties.get(name)) for name in ("datetime", "start_datetime", "end_datetime"))
    if instant is not None and dates.overlaps(instant, instant):
        return True
    known = start or end
    return known is not None and dates.overlaps(start or instant or known, end or instant or known)


def _instant(value: Any) -> datetime | None:
    try:
        return parse_instant(str(value)) if value else None
    except ValueError:
        return None
