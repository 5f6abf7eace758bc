"""Checks the arguments of one search: address, area, dates, conditions, headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.expr.render import to_sql
from rasteret_sql.expr.tree import Node
from rasteret_sql.geo.grid import Bounds
from rasteret_sql.geo.lonlat_boxes import parse_bbox
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.scenes.dates import DateLike, DateRange, parse_date_range
from rasteret_sql.stac.address import absolute
from rasteret_sql.stac.query import Query, parse_query
from rasteret_sql.stac.sign_in_headers import checked_headers

DEFAULT_PAGE_SIZE = 100


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
    """Property → operator → value, the same as JSON text, or an SQL condition as text, such as `"eo:cloud_cover" < 20`.
    `max_items` of an object is taken out into the field of that name; SQL is kept in normal form."""
    max_items: int | None = None
    """Stop after that many items; None for all."""
    page_size: int = DEFAULT_PAGE_SIZE
    """Items asked of an API in one request. Answers of 100 items stay below the size limits of known servers."""
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    """HTTP headers for the STAC server only, such as an Authorization; no part of the search's identity, never kept and
    never written to messages."""
    backend: StorageBackend | None = field(default=None, repr=False, compare=False)
    """How documents are read that are in a bucket; by default as any file. Web servers are asked directly, with the
    headers that a backend has for them."""
    dates: DateRange | None = field(init=False, default=None)
    """`date_range` as a closed interval of instants, naive UTC."""
    condition: Node | None = field(init=False, default=None)
    """What `query` asks of an item, whatever its form."""

    def __post_init__(self) -> None:
        if not isinstance(self.address, str) or not self.address.strip():
            raise InvalidArgumentError(
                f"a STAC address is the URL of an API, or the path or URL of a catalog file, not {self.address!r}"
            )
        query = parse_query(self.query)
        put = object.__setattr__
        put(self, "address", absolute(self.address.strip()))
        put(self, "collection", self.collection or None)
        put(self, "bbox", parse_bbox(self.bbox))
        put(self, "dates", parse_date_range(self.date_range))
        put(self, "query", query.text)
        put(self, "headers", checked_headers(self.headers))
        put(self, "condition", query.condition)
        put(self, "max_items", query.max_items if self.max_items is None else self.max_items)

    def identity(self) -> dict[str, Any]:
        """All that decides which items are found, as plain JSON values in a fixed order; two equal searches agree."""
        return {
            "address": self.address,
            "collection": self.collection,
            "bbox": list(self.area) if self.area else None,
            "dates": self.dates.interval() if self.dates else None,
            "query": self._query_identity(),
            "max_items": self.max_items,
        }

    @property
    def area(self) -> Bounds | None:
        """The checked bbox, (west, south, east, north)."""
        return self.bbox  # type: ignore[return-value]  # __post_init__ made it Bounds

    @property
    def conditions(self) -> Query | str:
        """The query as asked, an object or SQL; empty where none was given."""
        return self.query or {}  # type: ignore[return-value]  # __post_init__ made it one of these

    def _query_identity(self) -> Query | str | None:
        asked = self.conditions
        if isinstance(asked, str):
            return None if self.condition is None else to_sql(self.condition, ordered=True)
        return {name: dict(sorted(ops.items())) for name, ops in sorted(asked.items())} or None
