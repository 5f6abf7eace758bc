"""Follows the pages of an item search: requests, links that lead on, and what is wrong with those that do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pystac_client.stac_api_io import StacApiIO

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import StacError, StorageError
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.stac.address import resolve
from rasteret_sql.stac.http_json import RefusedError, parse_document, send
from rasteret_sql.stac.interruptible import interruptible

_NO_METHOD = (405, 501)
_NO_SUCH_SEARCH = (400, 422, 501)
_TRY_OTHER_METHOD = (400, 403, 404, 405, 410, 415, 422, 501)
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
    address: str
    """Where it came from, after redirects."""
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
        """The number of items that the server says the whole search has."""
        return self._number("numberMatched", "matched")

    def _number(self, name: str, older: str) -> int | None:
        context = self.document.get("context")
        value = self.document.get(name, context.get(older) if isinstance(context, dict) else None)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_pages(
    firsts: Sequence[Request],
    session: StacApiIO,
    cancelled: Cancelled | None,
    refused: Callable[[Request, StacError], None],
) -> Iterator[Page]:
    """Each page of a search. Unlike pystac-client's own paging it passes empty pages and sees circles.

    Args:
        firsts: The request for the first page, and the same by another method in case that one is not allowed.
        session: Who sends them.
        cancelled: Polled while waiting.
        refused: Told of a first request that the server does not take, before the same is asked with less.

    Raises:
        StacError: A page is malformed, or the pages lead in a circle.
        StorageError: A page cannot be fetched.
    """
    read = partial(_read_one, session, cancelled)
    page = _first_page(firsts, read, refused)
    seen = {page.request.key}
    empty, by_get = 0, False
    while True:
        yield page
        empty = 0 if page.features else empty + 1
        request = page.following if empty < _EMPTY_PAGES else None
        if request is None:
            return
        if by_get:
            request = _as_get(request, page.request)
        if request.key in seen:
            where = safe_address(request.url)
            raise StacError(f"{where} pages in a circle: its next link leads to a page already given")
        seen.add(request.key)
        try:
            page = read(request)
        except (RefusedError, StorageError) as error:
            # Some servers that know GET alone write POST into their links.
            if page.request.method != "GET" or request.method != "POST" or error.status not in _TRY_OTHER_METHOD:
                raise
            by_get = True
            page = read(_as_get(request, page.request))


def _read_one(session: StacApiIO, cancelled: Cancelled | None, request: Request) -> Page:
    return interruptible(partial(read_page, session, request), cancelled)


def _first_page(
    firsts: Sequence[Request], read: Callable[[Request], Page], refused: Callable[[Request, StacError], None]
) -> Page:
    """The first page, by the first method that the server takes, and with as much of the conditions as it takes."""
    said: RefusedError | StorageError | None = None
    for first in firsts:
        request = first
        tried: list[tuple[Request, RefusedError]] = []
        while True:
            try:
                page = read(request)
            except (RefusedError, StorageError) as error:
                refusal = error
            else:
                for one in tried:
                    refused(*one)
                return page
            if not isinstance(refusal, RefusedError) or refusal.status not in _NO_SUCH_SEARCH:
                break
            tried.append((request, refusal))
            if request.simpler is None:
                break
            request = request.simpler
        # What the first method says counts, unless it is that there is no such method.
        said = refusal if said is None or said.status in _NO_METHOD else said
        if refusal.status not in _TRY_OTHER_METHOD:
            break
    assert said is not None
    raise said


def _as_get(request: Request, last: Request) -> Request:
    """A request by POST as one by GET, with what the one before it asked for.

    Args:
        request: By POST, or already by GET.
        last: The request, by GET, whose answer led to it.
    """
    if request.method == "GET":
        return request
    in_address = {name for name, _ in parse_qsl(urlsplit(request.url).query, keep_blank_values=True)}
    asked = {**last.again, **request.parameters}
    texts = {name: _as_text(value) for name, value in asked.items() if name not in in_address and value is not None}
    return replace(request, method="GET", parameters=texts)


def _as_text(value: Any) -> Any:
    """A member of a body as a parameter of an address, as STAC has it."""
    if isinstance(value, list | tuple) and not any(isinstance(one, dict | list) for one in value):
        return ",".join(map(str, value))
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list | bool) else value


def read_page(session: StacApiIO, request: Request) -> Page:
    """Ask for one page."""
    answer = send(session, request.url, request.method, request.headers, request.parameters)
    document = parse_document(answer.text, request.url)
    return Page(document, request, answer.address, _following(document, request, answer.address))


def _following(page: dict[str, Any], last: Request, address: str) -> Request | None:
    """The page that a next link names, by GET or with the token in a POST body; None at the end.

    Args:
        page: The answer with the link.
        last: What it answers.
        address: Where it came from.

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
            url=resolve(address, href),
            method=method,
            parameters=parameters,
            simpler=None,
            headers={str(k): v if isinstance(v, str) else ", ".join(map(str, v)) for k, v in (headers or {}).items()},
        )
    return None


def _broken(request: Request, what: str) -> StacError:
    return StacError(f"a page of {safe_address(request.url)} cannot be followed to the next one: {what}")
