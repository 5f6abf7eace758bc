"""Pages of an item search: requests, the links that lead on, and what is wrong with those that do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pystac_client.stac_api_io import StacApiIO

from rasteret_sql.errors import StacError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.stac.address import resolve
from rasteret_sql.stac.documents import RefusedError, parse_document, send
from rasteret_sql.stac.waiting import interruptible

_NO_METHOD = (405, 501)
_NO_SUCH_SEARCH = (400, 422)
_EMPTY_PAGES = 10
"""Some servers answer pages without items on the way, some link to a next page for ever: so many in a row are read."""


@dataclass(frozen=True, slots=True)
class Request:
    """One page to ask for."""

    url: str
    method: str
    parameters: dict[str, Any]
    """JSON body of a POST, query parameters of a GET."""
    headers: dict[str, str]
    again: dict[str, Any]
    """Parameters of the first page, for next links that say `merge`."""
    simpler: Request | None = None
    """The same page of a search that asks less of the server, should it refuse this one; only for a first page."""

    @property
    def key(self) -> str:
        """The same for two requests for one page."""
        return json.dumps([self.url, self.method, self.parameters], sort_keys=True, default=str)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer."""

    document: dict[str, Any]
    request: Request
    """What it answers."""
    following: Request | None
    """The page that it leads to."""

    @property
    def features(self) -> list[Any]:
        """Its items, unchecked.

        Raises:
            StacError: It is no FeatureCollection, or holds fewer items than it says.
        """
        features, where = self.document.get("features"), safe_address(self.request.url)
        if self.document.get("type", "FeatureCollection") != "FeatureCollection" or not isinstance(features, list):
            raise StacError(
                f"{where} answered a {self.document.get('type')!r} instead of a FeatureCollection with features"
            )
        returned = self._number("numberReturned", "returned")
        if returned is not None and returned > len(features):
            raise StacError(f"{where} says that a page has {returned} items but it has {len(features)}; search again")
        return features

    @property
    def matched(self) -> int | None:
        """How many items the server says that the whole search has."""
        return self._number("numberMatched", "matched")

    def _number(self, name: str, older: str) -> int | None:
        context = self.document.get("context")
        value = self.document.get(name, context.get(older) if isinstance(context, dict) else None)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_pages(firsts: Sequence[Request], session: StacApiIO, cancelled: Callable[[], bool] | None) -> Iterator[Page]:
    """Each page of a search. Unlike pystac-client's own paging it passes empty pages and sees circles.

    Args:
        firsts: The request for the first page, and the same by another method in case that one is not allowed.
        session: Who sends them.
        cancelled: Polled while waiting.

    Raises:
        StacError: A page is malformed, or the pages lead in a circle.
        StorageError: A page cannot be fetched.
    """
    request: Request | None = firsts[0]
    others = list(firsts[1:])
    seen: set[str] = set()
    empty = 0
    is_first = True
    while request is not None:
        if request.key in seen:
            where = safe_address(request.url)
            raise StacError(f"{where} pages in a circle: its next link leads to a page already given")
        seen.add(request.key)
        try:
            page = interruptible(partial(read_page, session, request), cancelled)
        except RefusedError as error:
            if error.status in _NO_METHOD and others and is_first:
                request = others.pop(0)
            elif error.status in _NO_SUCH_SEARCH and request.simpler is not None:
                request = request.simpler
            else:
                raise
            continue
        is_first = False
        yield page
        empty = 0 if page.features else empty + 1
        request = page.following if empty < _EMPTY_PAGES else None


def read_page(session: StacApiIO, request: Request) -> Page:
    """Ask for one page."""
    text = send(session, request.url, request.method, request.headers, request.parameters)
    document = parse_document(text, request.url)
    return Page(document, request, _following(document, request))


def _following(page: dict[str, Any], last: Request) -> Request | None:
    """The page that a next link names, by GET or with the token in a POST body; None at the end.

    Raises:
        StacError: There is a next link, but it cannot be followed: ending there would be a short answer.
    """
    links = page.get("links")
    if links is not None and not isinstance(links, list):
        raise _broken(last, f"links are a JSON {type(links).__name__}, not a list")
    for link in links or ():
        if not isinstance(link, dict) or link.get("rel") != "next":
            continue
        href, body, headers = link.get("href"), link.get("body"), link.get("headers")
        if href is None and body is None:
            continue  # how some servers say that there is no further page
        if not isinstance(href, str) or not isinstance(body, dict | None) or not isinstance(headers, dict | None):
            raise _broken(last, "the link to the next page has no address, or a body or headers that are no objects")
        method = str(link.get("method") or "GET").upper()
        if method not in ("GET", "POST"):
            raise _broken(last, f"the link to the next page asks for the method {method}")
        # A GET link carries all its parameters in its href.
        parameters = {} if method == "GET" else {**last.again, **(body or {})} if link.get("merge") else body or {}
        return replace(
            last,
            url=resolve(last.url, href),
            method=method,
            parameters=parameters,
            simpler=None,
            headers={str(k): v if isinstance(v, str) else ", ".join(map(str, v)) for k, v in (headers or {}).items()},
        )
    return None


def _broken(request: Request, what: str) -> StacError:
    return StacError(f"a page of {safe_address(request.url)} cannot be followed to the next one: {what}")
