"""Items of a STAC API: paged through pystac-client, counted, and never silently short."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from pystac_client.item_search import ItemSearch
from pystac_client.stac_api_io import StacApiIO

from rasteret_sql.errors import MissingObjectError, StacError, did_you_mean
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.stac.address import resolve
from rasteret_sql.stac.area import api_bbox
from rasteret_sql.stac.documents import RefusedError, read_document
from rasteret_sql.stac.feature import checked_item
from rasteret_sql.stac.hrefs import absolute_hrefs
from rasteret_sql.stac.older import complete
from rasteret_sql.stac.paging import Page, Request, read_page, read_pages
from rasteret_sql.stac.query import matches
from rasteret_sql.stac.sendable import Conformance, search_parameters
from rasteret_sql.stac.source import StacSource
from rasteret_sql.stac.waiting import interruptible


def search_link(document: dict[str, Any], address: str) -> str | None:
    """Address of the item search that a landing page offers; None where the document is none."""
    links = document.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "search" and isinstance(link.get("href"), str):
            return resolve(address, link["href"])
    return None


def search_api(
    source: StacSource, landing: dict[str, Any], session: StacApiIO, cancelled: Callable[[], bool] | None
) -> Iterator[list[dict[str, Any]]]:
    """All items of a search, each once: a list for each page that was asked for, which may be empty."""
    url = search_link(landing, source.address)
    assert url is not None
    server = Conformance.of(landing)
    firsts = [_first_request(source, url, method, server) for method in _methods(landing)]
    count = _Count(url)
    for page in read_pages(firsts, session, cancelled):
        yield [
            absolute_hrefs(complete(item, None), _self_address(item, page.request.url))
            for item in count.new_items(page)
            # Whatever was sent: servers may ignore a query, or know it by halves.
            if matches(item, source.condition)
        ]
    count.check()
    if count.received == 0:
        interruptible(partial(_check_collection, source, landing, session), cancelled)
    elif count.matched is None and count.last is not None:
        interruptible(partial(_check_end, count, count.last, session), cancelled)


class _Count:
    """What a search has received, beside what the server says it has."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pages = 0
        self.largest = 0
        """Items of the longest page."""
        self.matched: int | None = None
        """The least that a page says, since items may come or go while a search is paged."""
        self.last: Page | None = None
        self._seen: set[int] = set()
        """Hashes of collection and id, a tenth of what the texts would take."""

    @property
    def received(self) -> int:
        """Different items so far."""
        return len(self._seen)

    def new_items(self, page: Page) -> list[dict[str, Any]]:
        """Count a page and give its items that did not come before."""
        features = page.features
        new = []
        for feature in features:
            item = checked_item(feature, f"a feature in the answer of {safe_address(self.url)}")
            key = hash((item.get("collection"), item["id"]))
            if key not in self._seen:
                self._seen.add(key)
                new.append(item)
        if features and not new:
            raise StacError(
                f"{safe_address(self.url)} pages in a circle: it gave a page of {len(features)} items that it had "
                "given before; the result would not be complete. Search again, or for a smaller bbox or date_range"
            )
        self.pages += 1
        self.last = page
        self.largest = max(self.largest, len(features))
        if page.matched is not None:
            self.matched = page.matched if self.matched is None else min(self.matched, page.matched)
        return new

    def check(self) -> None:
        """Fail where the server says that there is more than it gave."""
        if self.matched is not None and self.received < self.matched:
            raise StacError(
                f"{safe_address(self.url)} says that {self.matched} items match but gave {self.received} and no "
                "further page; the result would be short. Search again, or for a smaller bbox or date_range"
            )


def _methods(landing: dict[str, Any]) -> list[str]:
    """Methods to search by, in the order to try: POST unless the search links name only GET."""
    named = {
        str(link.get("method") or "").upper()
        for link in landing["links"]
        if isinstance(link, dict) and link.get("rel") == "search"
    }
    # A link without method means GET, but nearly every such server takes POST too, which has no limit of length.
    return ["GET"] if named == {"GET"} else ["POST", "GET"]


def _first_request(source: StacSource, url: str, method: str, server: Conformance) -> Request:
    simpler: Request | None = None
    for asked in reversed(search_parameters(source.condition, server, method)):
        search = ItemSearch(
            url=url,
            method=method,
            limit=source.page_size,
            max_items=None,
            collections=[source.collection] if source.collection else None,
            bbox=api_bbox(source.area) if source.area else None,
            datetime=source.dates.interval() if source.dates else None,
            query=asked.get("query"),
        )
        parameters = dict(search.get_parameters())
        # Not through pystac-client, whose conversions of filters need one more package.
        for name in asked.keys() - {"query"}:
            as_text = method == "GET" and not isinstance(asked[name], str)
            parameters[name] = json.dumps(asked[name], separators=(",", ":")) if as_text else asked[name]
        simpler = Request(url, method, parameters, {}, parameters, simpler)
    assert simpler is not None
    return simpler


def _self_address(item: dict[str, Any], page: str) -> str:
    """What relative hrefs of an item are relative to: its own address, else the page's."""
    links = item.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "self" and isinstance(link.get("href"), str):
            return resolve(page, link["href"])
    return page


def _check_collection(source: StacSource, landing: dict[str, Any], session: StacApiIO) -> None:
    """After a search without items: an unknown collection is an error, an empty area is not."""
    data = next(
        (link["href"] for link in landing["links"] if isinstance(link, dict) and link.get("rel") == "data"), None
    )
    if source.collection is None or not isinstance(data, str):
        return
    collections = resolve(source.address, data)
    one = f"{collections.split('?')[0].rstrip('/')}/{quote(source.collection, safe='')}"
    try:
        read_document(one, session)
    except MissingObjectError as error:
        known = read_document(collections, session).get("collections")
        names = [str(c.get("id")) for c in known if isinstance(c, dict)] if isinstance(known, list) else []
        raise StacError(
            f'{safe_address(source.address)} has no collection "{source.collection}": '
            f"{did_you_mean(source.collection, names)}"
        ) from error


def _check_end(count: _Count, last: Page, session: StacApiIO) -> None:
    """After the last page of a server that does not count: make sure that it is the last.

    Without this, a server that caps its answers, or stops at some page, would make a short collection.
    """
    if last.following is not None:
        raise StacError(
            f"{safe_address(count.url)} gave {count.received} items and then only empty pages, each with a link to a "
            "next one, and does not count what matches; the result may be short. Search for a smaller bbox or "
            "date_range"
        )
    if count.pages == 1 and count.received > 1:
        # A server that can page offers the next page when it is asked for one item.
        page = read_page(session, _with_limit(last.request, 1))
        if len(page.features) < count.received and page.following is None:
            raise StacError(
                f"{safe_address(count.url)} gave {count.received} items, but neither counts what matches nor offers "
                "further pages; the result may be short. Use a server that pages, or a static catalog"
            )
    elif count.pages > 1 and len(last.features) == count.largest:
        # A full page may be the last by chance, or because the server stops there: then a longer one has more.
        try:
            page = read_page(session, _with_limit(last.request, 2 * count.largest))
        except RefusedError:
            return  # pages cannot be longer, which tells nothing
        if len(page.features) > len(last.features) or page.following is not None:
            raise StacError(
                f"{safe_address(count.url)} ended after {count.received} items although it has more; the result would "
                "be short. Search for a smaller bbox or date_range"
            )


def _with_limit(request: Request, limit: int) -> Request:
    """The same page with another number of items; a GET has the number in its address or among its parameters."""
    parts = urlsplit(request.url)
    named = parse_qsl(parts.query, keep_blank_values=True)
    if request.method == "GET" and any(name == "limit" for name, _ in named):
        query = urlencode([(name, str(limit) if name == "limit" else value) for name, value in named])
        return replace(request, url=urlunsplit(parts._replace(query=query)))
    return replace(request, parameters={**request.parameters, "limit": limit})
