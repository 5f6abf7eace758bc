"""Searches STAC page by page: DuckDB asks for the next page, and stops asking once it has enough.

A statement carries nothing but texts, so a search that was begun waits here under its token. Nobody says when a
statement with a LIMIT ends: of the searches that wait only the newest are kept. One that is asked for and is no longer
there begins again and passes over the pages that were given.
"""

from __future__ import annotations

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.redact import plain_values
from rasteret_sql.io.signed_addresses import keep_signature
from rasteret_sql.lazy import lazy_module
from rasteret_sql.scenes.dates import parse_instant
from rasteret_sql.stac.item_area import item_bbox, item_geometry
from rasteret_sql.stac.search_request import StacSource

if TYPE_CHECKING:
    from rasteret_sql.stac import search as stac_search
else:
    stac_search = lazy_module("rasteret_sql.stac.search")

KEPT = 32
"""Searches that wait to be read on."""
MOST_ITEMS = 1000
"""Items of one page that a server is asked for."""

_Pages = Generator[list[dict[str, Any]], None, None]


def _never() -> bool:
    return False


@dataclass(slots=True, eq=False)
class _Search:
    """A search that was begun. `stop` is the flag of the call that reads on."""

    stop: Cancelled = _never
    next: int = 0
    """Number of the next page."""
    pages: _Pages = field(init=False)

    def begin(self, source: StacSource) -> None:
        """Start from the first page; nothing is asked yet."""
        self.pages = stac_search.iter_pages(source, self._stopped)

    def _stopped(self) -> bool:
        return self.stop()


class Searches:
    """The searches that wait to be read on, by token."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._waiting: OrderedDict[str, _Search] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def page(self, source: StacSource, token: str | None, number: int, cancelled: Cancelled) -> dict[str, Any]:
        """A page of a search: its token, number, whether it was the last, and its items.

        Args:
            source: what is searched, the same for all pages.
            token: what the page before said; None begins a search.
            number: which page, from 0; pages are asked for one after the other.
            cancelled: polled while waiting.

        Raises:
            RasteretError: as `iter_pages`.
        """
        with self._lock:
            search = self._waiting.pop(token, None) if token is not None else None
        if search is None or search.next != number:
            search = _Search()
            search.begin(source)
        search.stop = cancelled
        items: list[dict[str, Any]] | None = None
        while search.next <= number:
            # An error ends the generator, and with it the connections to the server.
            items = next(search.pages, None)
            if items is None:
                return {"token": token, "number": number, "done": True, "items": []}
            search.next += 1
        search.stop = _never
        token = token or uuid4().hex
        self._keep(token, search)
        return {"token": token, "number": number, "done": False, "items": [item_row(item) for item in items or ()]}

    def _keep(self, token: str, search: _Search) -> None:
        """Let a search wait, and close the oldest where too many do."""
        with self._lock:
            self._waiting[token] = search
            dropped = [self._waiting.popitem(last=False)[1] for _ in range(len(self._waiting) - self._kept)]
        for old in dropped:
            old.pages.close()


SEARCHES = Searches()
"""Those of the process."""


def search_source(given: Mapping[str, Any], backend: StorageBackend | None = None) -> StacSource:
    """The search that the named arguments of rasteret_stac_search ask for.

    Args:
        given: The arguments.
        backend: How static catalogs are read, and what signs in.

    Raises:
        InvalidArgumentError: the size of a page cannot be used.
    """
    size = given.get("page_size", 100)
    if type(size) is not int or not 1 <= size <= MOST_ITEMS:
        raise InvalidArgumentError(f"page_size := {size!r} cannot be used; expected a number from 1 to {MOST_ITEMS}")
    return StacSource(
        given["stac_api"],
        given.get("collection"),
        given.get("bbox"),
        given.get("date_range"),
        given.get("query"),
        page_size=size,
        headers=given.get("headers"),
        backend=backend,
    )


def item_row(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as a row. What is malformed in it is NULL; `properties`, `assets` and `links` stay as they are.

    But addresses are plain: how files were signed is kept in this process alone, for a build from the rows.
    """
    properties = item.get("properties") or {}
    try:
        geometry = item_geometry(item)
    except ValueError:
        geometry = None
    box = item_bbox(item)
    if box is None and geometry is not None:
        west, south, east, north = geometry.bounds
        box = (west, south, east, north)
    collection, version = item.get("collection"), item.get("stac_version")
    return {
        "id": str(item["id"]),
        "collection": collection if isinstance(collection, str) else None,
        "datetime": _instant(properties.get("datetime") or properties.get("start_datetime")),
        "geometry": None if geometry is None else shapely.to_wkb(geometry),
        "bbox": None if box is None else dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)),
        "properties": _json(plain_values(properties)),
        "assets": _json(_plain_assets(item.get("assets") or {})),
        "links": _json(plain_values(item.get("links") or [])),
        "stac_version": version if isinstance(version, str) else None,
    }


def _plain_assets(assets: Any) -> Any:
    for asset in assets.values() if isinstance(assets, Mapping) else ():
        others = asset.get("alternate") if isinstance(asset, Mapping) else None
        for one in (asset, *(others.values() if isinstance(others, Mapping) else ())):
            if isinstance(one, Mapping) and isinstance(one.get("href"), str):
                keep_signature(one["href"])
    return plain_values(assets)


def _instant(value: Any) -> Any:
    try:
        return parse_instant(str(value)) if value else None
    except ValueError:
        return None


def _json(value: Any) -> str:
    """JSON text. Python reads NaN and Infinity, which JSON does not have: they become null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
