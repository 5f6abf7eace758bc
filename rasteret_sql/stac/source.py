"""What to look for and where: the checked arguments of one search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.stac.address import absolute
from rasteret_sql.stac.area import parse_bbox
from rasteret_sql.stac.dates import DateLike, DateRange, parse_date_range
from rasteret_sql.stac.query import Query, parse_query
from rasteret_sql.types import Bounds


@dataclass(frozen=True, slots=True)
class StacSource:
    """One search of a STAC API or static catalog. Arguments are checked when it is made."""

    address: str
    """API URL, or path or URL of a catalog, collection, item or item collection; local paths become absolute."""
    collection: str | None = None
    """Id of the STAC collection; None for all that the address has."""
    bbox: Bounds | Sequence[float] | str | None = None
    """(west, south, east, north) in lon/lat; east is beyond 180 where it crosses the antimeridian."""
    date_range: Sequence[DateLike] | str | None = None
    """(start, end) as given; the end day is included. `dates` holds the instants."""
    query: Query | Mapping[str, Any] | str | None = None
    """Property → operator → value; `max_items` in it is taken out into the field of that name."""
    max_items: int | None = None
    """Stop after that many items; None for all."""
    page_size: int = 100
    """Items asked of an API in one request. Answers of 100 items stay below the size limits of known servers."""
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    """HTTP headers for the STAC server only, such as an Authorization; never written to messages."""
    dates: DateRange | None = field(init=False, default=None)
    """`date_range` as a closed interval of instants, naive UTC."""

    def __post_init__(self) -> None:
        if not isinstance(self.address, str) or not self.address.strip():
            raise InvalidArgumentError(
                f"a STAC address is the URL of an API, or the path or URL of a catalog file, not {self.address!r}"
            )
        query, limit = parse_query(self.query)
        put = object.__setattr__
        put(self, "address", absolute(self.address.strip()))
        put(self, "collection", self.collection or None)
        put(self, "bbox", parse_bbox(self.bbox))
        put(self, "dates", parse_date_range(self.date_range))
        put(self, "query", query)
        put(self, "max_items", limit if self.max_items is None else self.max_items)

    def identity(self) -> dict[str, Any]:
        """All that decides which items are found, as plain JSON values in a fixed order; two equal searches agree."""
        return {
            "address": self.address,
            "collection": self.collection,
            "bbox": list(self.area) if self.area else None,
            "dates": self.dates.interval() if self.dates else None,
            "query": {name: dict(sorted(ops.items())) for name, ops in sorted(self.conditions.items())} or None,
            "max_items": self.max_items,
        }

    @property
    def area(self) -> Bounds | None:
        """The checked bbox, (west, south, east, north)."""
        return self.bbox  # type: ignore[return-value]  # __post_init__ made it Bounds

    @property
    def conditions(self) -> Query:
        """The checked query; empty where none was given."""
        return self.query or {}  # type: ignore[return-value]  # __post_init__ made it Query
