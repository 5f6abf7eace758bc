"""Walks static catalogs for their items: depth first, in the order of the documents, which are read ahead.

Not through pystac's own walk, which reads one document after the other and cannot be stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pystac_client.stac_api_io import StacApiIO

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InterruptedQueryError, StacError, did_you_mean
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.stac.address import is_url, resolve
from rasteret_sql.stac.check_item import checked_item
from rasteret_sql.stac.hrefs import absolute_hrefs, self_address
from rasteret_sql.stac.http_json import read_located
from rasteret_sql.stac.interruptible import start, wait
from rasteret_sql.stac.upgrade_item import complete

MAX_DEPTH = 1000
"""Nested catalogs deeper than this are taken for a server that makes up links without end."""
_AHEAD = 16


@dataclass(frozen=True, slots=True)
class _Place:
    """The place of a document in the tree."""

    within: tuple[str, ...] = ()
    """Ids of the catalogs and collections above."""
    collection: dict[str, Any] | None = None
    """The nearest Collection document above."""


@dataclass(slots=True)
class StaticWalk:
    """One walk over a static catalog. Each document is read once, however often it is linked."""

    session: StacApiIO
    wanted: str | None = None
    """Collection asked for; documents of other collections are not fetched where their links tell."""
    cancelled: Cancelled | None = None
    seen: set[str] = field(default_factory=set)
    collections: list[str] = field(default_factory=list)
    """Ids of the collections met, for the message when the wanted one is not there."""
    found: bool = False
    """True once the wanted collection was met."""

    def items(self, address: str, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """All items at and below a document, hrefs absolute."""
        self.seen.add(address)
        yield from self._walk(address, document)
        if self.wanted is not None and not self.found:
            hint = did_you_mean(self.wanted, self.collections or [str(document.get("id", ""))])
            raise StacError(f'{safe_address(address)} has no collection "{self.wanted}": {hint}')

    def _walk(self, address: str, document: dict[str, Any]) -> Iterator[dict[str, Any]]:
        # A stack instead of recursion: depth comes from the data.
        stack: list[Iterator[tuple[str, dict[str, Any], _Place]]] = [iter([(address, document, _Place())])]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
                continue
            at, found, place = step
            items, links, below = self._open(at, found, place)
            yield from items
            if links:
                if len(below.within) > MAX_DEPTH:
                    raise StacError(f"{safe_address(at)} lies more than {MAX_DEPTH} catalogs deep; check its links")
                stack.append(self._read_links(links, below))

    def _open(
        self, address: str, document: dict[str, Any], place: _Place
    ) -> tuple[Iterable[dict[str, Any]], list[str], _Place]:
        """The items that a document holds itself, the documents to read next, and their place."""
        kind = document_kind(document, address)
        if kind == "Feature":
            return self._take([(document, address)], address, place), [], place
        if kind == "FeatureCollection":
            features = document.get("features")
            if not isinstance(features, list):
                raise StacError(f"{safe_address(address)} is a FeatureCollection without a list of features")
            # A page of an API that was saved to a file is a file: what it links to next is not asked for.
            pages = self._links(document, address, ("next",)) if is_url(address) else []
            held = ((one, self_address(one, address) if isinstance(one, dict) else address) for one in features)
            return self._take(held, address, place), pages, place
        name = str(document.get("id", ""))
        below = replace(place, within=(*place.within, name))
        if kind == "Collection":
            self.collections.append(name)
            below = replace(below, collection=document)
        here = self.wanted is None or self.wanted in below.within
        self.found = self.found or (here and self.wanted is not None)
        # Collections may nest, so children are followed anywhere; items of other collections are not fetched.
        skip_items = kind == "Collection" and not here
        kinds = ("child",) if skip_items else ("child", "item", "items") if is_url(address) else ("child", "item")
        return (), self._links(document, address, kinds), below

    def _take(self, features: Iterable[tuple[Any, str]], address: str, place: _Place) -> Iterator[dict[str, Any]]:
        """Items of a document, each with what its hrefs are relative to."""
        for feature, base in features:
            item = checked_item(feature, f"a feature of {safe_address(address)}")
            own = item.get("collection")
            if isinstance(own, str) and own not in self.collections:
                self.collections.append(own)
            if self.wanted is not None:
                # A bare file of items that name no collection is the collection asked for.
                bare = own is None and not place.within
                if not bare and own != self.wanted and self.wanted not in place.within:
                    continue
                self.found = True
            yield absolute_hrefs(complete(item, place.collection), base)

    def _links(self, document: dict[str, Any], address: str, kinds: tuple[str, ...]) -> list[str]:
        """Absolute addresses of the links of these kinds, each document once over the whole walk."""
        links = document.get("links") or []
        if not isinstance(links, list):
            raise StacError(f"{safe_address(address)} has links that are no list")
        out: list[str] = []
        for link in links:
            if not isinstance(link, dict) or link.get("rel") not in kinds:
                continue
            if not isinstance(link.get("href"), str) or not link["href"]:
                raise StacError(f'{safe_address(address)} has a "{link["rel"]}" link without href')
            target = resolve(address, link["href"])
            if target not in self.seen:
                self.seen.add(target)
                out.append(target)
        return out

    def _read_links(self, links: list[str], place: _Place) -> Iterator[tuple[str, dict[str, Any], _Place]]:
        """The linked documents in order; over the network the next few are fetched ahead."""
        ahead: deque[Future[tuple[dict[str, Any], str]]] = deque()
        for link in links:
            if self.cancelled is not None and self.cancelled():
                raise InterruptedQueryError("the STAC search was interrupted")
            if not is_url(link):
                while ahead:
                    yield *self._next(ahead), place
                found, at = read_located(link, self.session)
                yield at, found, place
                continue
            if len(ahead) == _AHEAD:
                yield *self._next(ahead), place
            ahead.append(start(partial(read_located, link, self.session)))
        while ahead:
            yield *self._next(ahead), place

    def _next(self, ahead: deque[Future[tuple[dict[str, Any], str]]]) -> tuple[str, dict[str, Any]]:
        document, address = wait(ahead.popleft(), self.cancelled)
        return address, document


def document_kind(document: dict[str, Any], address: str) -> str:
    """Catalog, Collection, Feature or FeatureCollection, for STAC 0.9 to 1.1."""
    kind = document.get("type")
    if kind in ("Catalog", "Collection", "Feature", "FeatureCollection"):
        return str(kind)
    # Before 1.0 catalogs and collections had no type; only a collection has an extent.
    if kind is None and "id" in document and isinstance(document.get("links"), list):
        return "Collection" if "extent" in document else "Catalog"
    raise StacError(
        f"{safe_address(address)} is no STAC document: its type is {kind!r}; "
        "expected Catalog, Collection, Feature or FeatureCollection"
    )
