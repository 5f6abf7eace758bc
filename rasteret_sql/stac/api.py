"""Items of a STAC API: paged through pystac-client, counted, and never silently short."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import quote

from pystac_client.item_search import ItemSearch
from pystac_client.stac_api_io import StacApiIO

from rasteret_sql.errors import MissingObjectError, StacError, did_you_mean
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.stac.address import resolve
from rasteret_sql.stac.area import api_bbox
from rasteret_sql.stac.documents import RefusedError, parse_document, read_document, send
from rasteret_sql.stac.feature import checked_item
from rasteret_sql.stac.hrefs import absolute_hrefs
from rasteret_sql.stac.older import complete
from rasteret_sql.stac.query import Query, matches
from rasteret_sql.stac.source import StacSource
from rasteret_sql.stac.waiting import interruptible

_NO_METHOD = (405, 501)
_EMPTY_PAGES = 3
"""A server may answer pages without items on the way; after this many in a row the search has ended."""


def search_link(document: dict[str, Any], address: str) -> str | None:
    """Address of the item search that a landing page offers; None where the document is none."""
    links = document.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "search" and isinstance(link.get("href"), str):
            return resolve(address, link["href"])
    return None


def search_api(
    source: StacSource, landing: dict[str, Any], session: StacApiIO, cancelled: Callable[[], bool] | None
) -> Iterator[dict[str, Any]]:
    """All items of a search, page by page."""
    url = search_link(landing, source.address)
    assert url is not None
    remote = source.conditions if _conforms(landing, "#query") else {}
    local = {} if remote else source.conditions
    firsts = [_first_request(source, url, method, remote) for method in _methods(landing)]
    count = _Count(url)
    first: _Request | None = None
    for page, request in _pages(firsts, session, cancelled):
        first = first or request
        for feature in count.page(page):
            item = checked_item(feature, f"a feature in the answer of {safe_address(url)}")
            if not local or matches(item, local):
                yield absolute_hrefs(complete(item, None), _self_address(item, request.url))
    count.check()
    if count.received == 0:
        interruptible(partial(_check_collection, source, landing, session), cancelled)
    elif first is not None and count.pages == 1 and count.matched is None and count.received > 1:
        interruptible(partial(_check_paging, first, session, count), cancelled)


class _Count:
    """What a search has received, beside what the server says it has."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pages = 0
        self.received = 0
        self.matched: int | None = None
        """Of the newest page, since items may come or go while a search is paged."""

    def page(self, page: dict[str, Any]) -> list[Any]:
        """Count a page and give its features."""
        features = page.get("features")
        if page.get("type", "FeatureCollection") != "FeatureCollection" or not isinstance(features, list):
            raise StacError(
                f"{safe_address(self.url)} answered a {page.get('type')!r} instead of a FeatureCollection with features"
            )
        self.pages += 1
        self.received += len(features)
        context = page.get("context")
        matched = page.get("numberMatched", context.get("matched") if isinstance(context, dict) else None)
        if isinstance(matched, int) and not isinstance(matched, bool):
            self.matched = matched
        return features

    def check(self) -> None:
        """Fail where the server says that there is more than it gave."""
        if self.matched is not None and self.received < self.matched:
            raise StacError(
                f"{safe_address(self.url)} says that {self.matched} items match but gave {self.received} and no "
                "further page; the result would be short. Search again, or for a smaller bbox or date_range"
            )


def _conforms(landing: dict[str, Any], what: str) -> bool:
    classes = landing.get("conformsTo")
    if not isinstance(classes, list):
        # Servers before STAC API 1.0 declare nothing; nearly all of them knew the query extension.
        return True
    return any(isinstance(one, str) and one.endswith(what) for one in classes)


def _methods(landing: dict[str, Any]) -> list[str]:
    """Methods to search by, in the order to try: POST unless the search links name only GET."""
    named = {
        str(link.get("method") or "").upper()
        for link in landing["links"]
        if isinstance(link, dict) and link.get("rel") == "search"
    }
    # A link without method means GET, but nearly every such server takes POST too, which has no limit of length.
    return ["GET"] if named == {"GET"} else ["POST", "GET"]


@dataclass(frozen=True, slots=True)
class _Request:
    """One page to ask for."""

    url: str
    method: str
    parameters: dict[str, Any]
    """JSON body of a POST, query parameters of a GET."""
    headers: dict[str, str]
    again: dict[str, Any]
    """Parameters of the first page, for next links that say `merge`."""

    @property
    def key(self) -> str:
        return json.dumps([self.url, self.method, self.parameters], sort_keys=True, default=str)


def _first_request(source: StacSource, url: str, method: str, query: Query) -> _Request:
    search = ItemSearch(
        url=url,
        method=method,
        limit=source.page_size,
        max_items=None,
        collections=[source.collection] if source.collection else None,
        bbox=api_bbox(source.area) if source.area else None,
        datetime=source.dates.interval() if source.dates else None,
        query=query or None,
    )
    parameters = dict(search.get_parameters())
    return _Request(url, method, parameters, {}, parameters)


def _next_request(page: dict[str, Any], last: _Request) -> _Request | None:
    """The page that a next link names, by GET or with the token in a POST body; None at the end."""
    links = page.get("links")
    for link in links if isinstance(links, list) else ():
        if not isinstance(link, dict) or link.get("rel") != "next" or not isinstance(link.get("href"), str):
            continue
        method = str(link.get("method", "GET")).upper()
        body = link.get("body") if isinstance(link.get("body"), dict) else {}
        headers = link.get("headers") if isinstance(link.get("headers"), dict) else {}
        assert isinstance(body, dict)
        assert isinstance(headers, dict)
        # A GET link carries all its parameters in its href.
        parameters = ({**last.again, **body} if link.get("merge") else body) if method == "POST" else {}
        return replace(
            last,
            url=resolve(last.url, link["href"]),
            method=method,
            parameters=parameters,
            headers={str(k): v if isinstance(v, str) else ", ".join(map(str, v)) for k, v in headers.items()},
        )
    return None


def _pages(
    firsts: Sequence[_Request], session: StacApiIO, cancelled: Callable[[], bool] | None
) -> Iterator[tuple[dict[str, Any], _Request]]:
    """Each page with its request. Unlike pystac-client's own paging it passes empty pages and sees circles.

    Args:
        firsts: The request for the first page, and the same by another method in case that one is not allowed.
        session: Who sends them.
        cancelled: Polled while waiting.
    """
    request: _Request | None = firsts[0]
    others = list(firsts[1:])
    seen: set[str] = set()
    empty = 0
    while request is not None:
        if request.key in seen:
            where = safe_address(request.url)
            raise StacError(f"{where} pages in a circle: its next link leads to a page already given")
        seen.add(request.key)
        try:
            page = interruptible(partial(_send, session, request), cancelled)
        except RefusedError as error:
            if error.status not in _NO_METHOD or not others or len(seen) > 1:
                raise
            request = others.pop()
            continue
        yield page, request
        empty = 0 if page.get("features") else empty + 1
        request = _next_request(page, request) if empty < _EMPTY_PAGES else None


def _send(session: StacApiIO, request: _Request) -> dict[str, Any]:
    text = send(session, request.url, request.method, request.headers, request.parameters)
    return parse_document(text, request.url)


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


def _check_paging(first: _Request, session: StacApiIO, count: _Count) -> None:
    """A single page of a server that does not count: ask for one item; a server that can page offers the next one.

    Without this, a server that caps its answers and never pages would make a short collection.
    """
    page = _send(session, replace(first, parameters={**first.parameters, "limit": 1}))
    features = page.get("features")
    if isinstance(features, list) and len(features) >= count.received:
        return  # it ignores the limit, and gives all it has
    if _next_request(page, first) is None:
        raise StacError(
            f"{safe_address(count.url)} gave {count.received} items, but neither counts what matches nor offers "
            "further pages; the result may be short. Use a server that pages, or a static catalog"
        )
