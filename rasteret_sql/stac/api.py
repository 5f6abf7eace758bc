"""Reads items of a STAC API: paged through pystac-client, counted, and never silently short."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from pystac_client.item_search import ItemSearch
from pystac_client.stac_api_io import StacApiIO

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import MissingObjectError, StacError, StorageError, did_you_mean
from rasteret_sql.geo.lonlat_boxes import api_boxes
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.stac.address import resolve
from rasteret_sql.stac.check_item import checked_item
from rasteret_sql.stac.criteria import Criteria, within
from rasteret_sql.stac.hrefs import absolute_hrefs, self_address
from rasteret_sql.stac.http_json import RefusedError, read_document
from rasteret_sql.stac.interruptible import interruptible
from rasteret_sql.stac.paging import Page, Request, read_page, read_pages
from rasteret_sql.stac.pushdown import Conformance, is_declared, search_parameters
from rasteret_sql.stac.search_request import StacSource
from rasteret_sql.stac.upgrade_item import complete
from rasteret_sql.warning import warn


def search_link(document: dict[str, Any], address: str) -> str | None:
    """Address of the item search that a landing page offers; None where the document is none."""
    links = document.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "search" and isinstance(link.get("href"), str):
            return resolve(address, link["href"])
    return None


def search_api(
    source: StacSource,
    landing: dict[str, Any],
    url: str,
    session: StacApiIO,
    *,
    cancelled: Cancelled | None,
    told: set[str],
) -> Iterator[list[dict[str, Any]]]:
    """All items of a search, each once: a list for each page that was asked for, which may be empty.

    Whatever was sent, every item is tested here: servers ignore parameters, or know them by halves.

    Args:
        source: What to look for.
        landing: The server's landing page.
        url: Its item search, as `search_link` gives it.
        session: Who asks.
        cancelled: Polled while waiting.
        told: What was warned of already; added to.
    """
    server = Conformance.of(landing)
    tell = partial(_tell, told)
    wanted = _Wanted(
        source, url, tell, partial(interruptible, partial(_collection_ids, source, landing, session), cancelled)
    )
    seen: set[int] = set()
    boxes: list[list[float] | None] = [*api_boxes(source.area)] if source.area else [None]
    for box in boxes:
        firsts = [_first_request(source, box, url, method, server) for method in _methods(landing)]
        count = _Count(url, seen)
        for page in read_pages(firsts, session, cancelled, partial(_tell_refusal, tell)):
            yield [
                absolute_hrefs(complete(item, None), self_address(item, page.address))
                for item in wanted.of(count.new_items(page))
            ]
        if count.last is not None and not count.is_whole:
            interruptible(partial(_check_end, count, count.last, session, tell), cancelled)
    if not seen:
        interruptible(partial(_check_collection, source, landing, session), cancelled)


class _Wanted:
    """A test of the items that a server gives, and a word where it gives others than those of the search."""

    def __init__(
        self, source: StacSource, url: str, tell: Callable[[str], None], known_as: Callable[[], set[str]]
    ) -> None:
        self._where = safe_address(url)
        self._criteria = Criteria(source)
        self._sent = None if source.dates is None else source.dates.whole_seconds()
        self._collections = {source.collection} if source.collection else set()
        self._known_as: Callable[[], set[str]] | None = known_as
        self._tell = tell
        self._said: set[str] = set()

    def of(self, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of a page's items that meet all that the search asks for."""
        own = []
        for item in items:
            if self._is_of_collection(item):
                own.append(item)
            else:
                self._say("collection", f'of other collections, such as "{item["collection"]}"')
        unmet = self._criteria.unmet(own)
        for item, argument in zip(own, unmet, strict=True):
            if argument is not None and argument not in self._said and self._is_ignored(item, argument):
                self._say(argument, {"bbox": "from elsewhere", "date_range": "of other times"}[argument])
        return [item for item, argument in zip(own, unmet, strict=True) if argument is None]

    def _is_ignored(self, item: dict[str, Any], argument: str) -> bool:
        """True where the server took no notice: it may compare boxes only, and is asked for whole seconds."""
        if argument == "bbox":
            return self._criteria.is_far(item)
        return argument == "date_range" and self._sent is not None and not within(item, self._sent)

    def _is_of_collection(self, item: dict[str, Any]) -> bool:
        own = item.get("collection")
        # An item that names no collection is the server's word.
        if not self._collections or not isinstance(own, str) or own in self._collections:
            return True
        if self._known_as is not None:
            self._collections |= self._known_as()
            self._known_as = None
        return own in self._collections

    def _say(self, argument: str, others: str) -> None:
        if argument in self._said:
            return
        self._said.add(argument)
        self._tell(
            f"{self._where} takes no notice of {argument}: it also gives items {others}, which are left out here, so "
            "the search may read much more than it gives"
        )


def _tell_refusal(tell: Callable[[str], None], request: Request, error: StacError) -> None:
    if is_declared(request.parameters):
        tell(f"{error}; it is asked for less, and the query is applied here, so the search may read more than it gives")


def _tell(told: set[str], text: str) -> None:
    if text not in told:
        told.add(text)
        warn(text)


class _Count:
    """Counts of what the requests for one box have received, beside what the server says it has.

    Args:
        url: The item search.
        seen: Hashes of collection and id of all items of the search, a tenth of what the texts would take; an item
            that meets two boxes is given once.
    """

    def __init__(self, url: str, seen: set[int]) -> None:
        self.url = url
        self.pages = 0
        self.largest = 0
        """Items of the longest page."""
        self.matched: int | None = None
        """The least that a page says, since items may come or go while a search is paged."""
        self.last: Page | None = None
        self._seen = seen
        self._before = frozenset(seen)
        self._again: set[int] = set()
        """Those of an earlier box that came for this one, too."""
        self.received = 0
        """Different items so far."""

    def new_items(self, page: Page) -> list[dict[str, Any]]:
        """Count a page and give its items that did not come before."""
        features = page.features
        new = []
        before = self.received
        for feature in features:
            item = checked_item(feature, f"a feature in the answer of {safe_address(self.url)}")
            key = hash((str(item.get("collection")), item["id"]))
            if key not in self._seen:
                self._seen.add(key)
                self.received += 1
                new.append(item)
            elif key in self._before and key not in self._again:
                self._again.add(key)
                self.received += 1
        if features and self.received == before:
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

    @property
    def is_whole(self) -> bool:
        """True where the server's own count says so, or there is nothing to doubt: no items, and none said to be.

        A number that is too small says nothing, and neither do empty pages that still lead to a next one.
        """
        if self.matched is not None:
            return self.received == self.matched
        return self.received == 0 and (self.last is None or self.last.following is None)

    @property
    def short(self) -> StacError:
        """The server counts otherwise than it gives, and offers no more."""
        would = "would" if (self.matched or 0) > self.received else "may"
        return StacError(
            f"{safe_address(self.url)} says that {self.matched} items match but gave {self.received} and no "
            f"further page; the result {would} be short. Search again, or for a smaller bbox or date_range"
        )


def _methods(landing: dict[str, Any]) -> list[str]:
    """Methods to search by, in the order to try: POST unless the search links name only GET."""
    named = {
        str(link.get("method") or "").upper()
        for link in landing["links"]
        if isinstance(link, dict) and link.get("rel") == "search"
    }
    # A link without method means GET, but nearly every such server takes POST too, which has no limit of length.
    return ["GET"] if named == {"GET"} else ["POST"] if named == {"POST"} else ["POST", "GET"]


def _first_request(source: StacSource, box: list[float] | None, url: str, method: str, server: Conformance) -> Request:
    simpler: Request | None = None
    for asked in reversed(search_parameters(source.condition, server, method)):
        search = ItemSearch(
            url=url,
            method=method,
            limit=source.page_size,
            max_items=None,
            collections=[source.collection] if source.collection else None,
            bbox=box,
            datetime=source.dates.whole_seconds().interval() if source.dates else None,
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


def _collection_ids(source: StacSource, landing: dict[str, Any], session: StacApiIO) -> set[str]:
    """The id that the server's own document of the collection has: some know one by other names, too."""
    address = _collection_address(source, landing)
    try:
        document = {} if address is None else read_document(address, session)
    except (StacError, StorageError):
        return set()  # then the items' own word stands
    return {str(document["id"])} if "id" in document else set()


def _collection_address(source: StacSource, landing: dict[str, Any]) -> str | None:
    """The document of the collection asked for; None where the landing page does not lead to any."""
    data = next(
        (link["href"] for link in landing["links"] if isinstance(link, dict) and link.get("rel") == "data"), None
    )
    if source.collection is None or not isinstance(data, str):
        return None
    collections = resolve(source.address, data)
    return f"{collections.split('?')[0].rstrip('/')}/{quote(source.collection, safe='')}"


def _check_collection(source: StacSource, landing: dict[str, Any], session: StacApiIO) -> None:
    """After a search without items: an unknown collection is an error, an empty area is not."""
    address = _collection_address(source, landing)
    if address is None:
        return
    try:
        read_document(address, session)
    except MissingObjectError as error:
        known = read_document(address.rpartition("/")[0], session).get("collections")
        names = [str(c.get("id")) for c in known if isinstance(c, dict)] if isinstance(known, list) else []
        raise StacError(
            f'{safe_address(source.address)} has no collection "{source.collection}": '
            f"{did_you_mean(str(source.collection), names)}"
        ) from error


def _check_end(count: _Count, last: Page, session: StacApiIO, tell: Callable[[str], None]) -> None:
    """After the last page of a server that does not count, or says that there is more: make sure that it is the last.

    Without this, a server that caps its answers, or stops at some page, would make a short collection. A number that
    is too large may also be an estimate.
    """
    says_more = count.matched is not None and count.matched > count.received
    if last.following is not None:
        if count.matched is not None:
            raise count.short
        raise StacError(
            f"{safe_address(count.url)} gave {count.received} items and then only empty pages, each with a link to a "
            "next one, and does not count what matches; the result may be short. Search for a smaller bbox or "
            "date_range"
        )
    if count.pages == 1 and count.received > 1:
        # A server that can page offers the next page when it is asked for one item.
        page = read_page(session, _with_limit(last.request, 1))
        if len(page.features) < count.received and page.following is None:
            if count.matched is not None:
                raise count.short
            raise StacError(
                f"{safe_address(count.url)} gave {count.received} items, but neither counts what matches nor offers "
                "further pages; the result may be short. Use a server that pages, or a static catalog"
            )
    if says_more or (count.pages > 1 and len(last.features) == count.largest):
        _check_longer(count, last, session, says_more=says_more)
    if says_more:
        tell(
            f"{safe_address(count.url)} says that {count.matched} items match and gave {count.received}, which its "
            "pages say are all: the number is taken for an estimate"
        )


def _check_longer(count: _Count, last: Page, session: StacApiIO, *, says_more: bool) -> None:
    """A full page may be the last by chance, or because the server stops there: then a longer one has more."""
    try:
        page = read_page(session, _with_limit(last.request, 2 * max(count.largest, 1)))
    except RefusedError:
        if says_more and len(last.features) == count.largest:
            raise count.short from None
        return  # pages cannot be longer, which tells nothing
    if len(page.features) > len(last.features) or page.following is not None:
        if says_more:
            raise count.short
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
