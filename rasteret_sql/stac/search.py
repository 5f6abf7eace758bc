"""Items of a search, one after the other, from whatever stands at the address."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice, repeat
from typing import Any

from pystac_client.stac_api_io import StacApiIO

from rasteret_sql.stac.address import is_url, resolve
from rasteret_sql.stac.api import search_api, search_link
from rasteret_sql.stac.area import item_bbox, meets, search_area
from rasteret_sql.stac.dates import DateRange, parse_instant
from rasteret_sql.stac.documents import connect, entry_address, read_document
from rasteret_sql.stac.query import matches
from rasteret_sql.stac.source import StacSource
from rasteret_sql.stac.static import StaticWalk
from rasteret_sql.stac.waiting import interruptible

__all__ = ["StacSource", "iter_items", "iter_pages"]

_BATCHES = (8, 16, 32, 64, 128, 256)
"""Items of the first, second, ... list that a static catalog gives."""


def iter_items(source: StacSource, cancelled: Callable[[], bool] | None = None) -> Iterator[dict[str, Any]]:
    """Stream the items of a search as dicts with absolute asset hrefs, in the order of server or documents.

    The document at the address is read once and says itself whether it is an API or a static catalog. Closing the
    iterator stops the paging.

    Args:
        source: What to look for, and where.
        cancelled: Polled while waiting; once True, the search ends with InterruptedQueryError.

    Raises:
        StacError: An answer or document is malformed, the server gives fewer items than it has, or the collection
            is unknown.
        StorageError: A document cannot be fetched.
    """
    with closing(_parts(source, cancelled, repeat(1))) as parts:
        found = chain.from_iterable(parts)
        yield from found if source.max_items is None else islice(found, source.max_items)


def iter_pages(
    source: StacSource, cancelled: Callable[[], bool] | None = None
) -> Generator[list[dict[str, Any]], None, None]:
    """As `iter_items`, but together what comes together: a list for each answer of an API, which may be empty.

    Items of a static catalog are put together, more and more of them: whoever stops early has had few documents read.
    """
    left = source.max_items
    with closing(_parts(source, cancelled, chain(_BATCHES, repeat(_BATCHES[-1])))) as parts:
        for page in parts:
            yield page if left is None else page[:left]
            if left is not None:
                left -= len(page)
                if left <= 0:
                    return


def _parts(
    source: StacSource, cancelled: Callable[[], bool] | None, batches: Iterator[int]
) -> Generator[list[dict[str, Any]], None, None]:
    """Items in lists: the answers of an API as they are, those of a static catalog as many as `batches` says."""
    session = connect(source.address, source.headers, source.backend)
    try:
        address = entry_address(source.address)
        document = _read(address, session, cancelled)
        api = _api_of_collection(document, address)
        if api is not None:
            landing = _read(api, session, cancelled)
            if search_link(landing, api) is not None:
                source = replace(source, address=api, collection=source.collection or document.get("id"))
                address, document = api, landing
        if search_link(document, address) is not None:
            yield from search_api(source, document, session, cancelled)
        else:
            walk = StaticWalk(session, source.collection, cancelled)
            found = _filtered(walk.items(address, document), source)
            # Not itertools.batched, which Python 3.11 does not have.
            while batch := list(islice(found, next(batches))):
                yield batch
    finally:
        session.session.close()


def _read(address: str, session: StacApiIO, cancelled: Callable[[], bool] | None) -> dict[str, Any]:
    return interruptible(lambda: read_document(address, session), cancelled if is_url(address) else None)


def _api_of_collection(document: dict[str, Any], address: str) -> str | None:
    """Landing page of the API that a collection document belongs to; None for static collections."""
    links = document.get("links")
    if not is_url(address) or document.get("type") != "Collection" or not isinstance(links, list):
        return None
    by_kind = {link.get("rel"): link.get("href") for link in reversed(links) if isinstance(link, dict)}
    root = by_kind.get("root")
    if "items" not in by_kind or not isinstance(root, str):
        return None
    return resolve(address, root)


def _filtered(items: Iterator[dict[str, Any]], source: StacSource) -> Iterator[dict[str, Any]]:
    """Those items that meet bbox, dates and query, decided here as a server would."""
    area = search_area(source.area) if source.area else None
    for item in items:
        if source.dates is not None and not within(item, source.dates):
            continue
        if not matches(item, source.condition):
            continue
        if area is not None and not (_near(item, source) and meets(item, area)):
            continue
        yield item


def within(item: dict[str, Any], dates: DateRange) -> bool:
    """True where the item's time, an instant or a span, has an instant in the range; an item without time has none."""
    properties = item.get("properties") or {}
    instant = properties.get("datetime")
    ends = [properties.get("start_datetime") or instant, properties.get("end_datetime") or instant]
    try:
        first, last = (parse_instant(str(end)) if end else None for end in ends)
    except ValueError:
        return False
    if first is None and last is None:
        return False
    known = first or last
    assert known is not None
    return dates.overlaps(first or known, last or known)


def _near(item: dict[str, Any], source: StacSource) -> bool:
    """A cheap no by latitude, before a geometry is parsed; longitudes may be written a turn apart."""
    box = item_bbox(item)
    assert source.area is not None
    return box is None or (box[1] <= source.area[3] and box[3] >= source.area[1])
