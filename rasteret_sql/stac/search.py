"""Streams the items of a search, from whatever stands at the address."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice, repeat
from typing import Any

from pystac_client.stac_api_io import StacApiIO

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.stac.address import is_url, resolve
from rasteret_sql.stac.api import search_api, search_link
from rasteret_sql.stac.criteria import Criteria
from rasteret_sql.stac.http_json import connect, entry_address, read_located
from rasteret_sql.stac.interruptible import interruptible
from rasteret_sql.stac.search_request import StacSource
from rasteret_sql.stac.static_catalog import StaticWalk

__all__ = ["StacSource", "iter_pages"]

_BATCHES = (8, 16, 32, 64, 128, 256)
"""Items of the first, second, ... list that a static catalog gives."""


def iter_pages(
    source: StacSource, cancelled: Cancelled | None = None, told: set[str] | None = None
) -> Generator[list[dict[str, Any]], None, None]:
    """Stream the items of a search as dicts with absolute asset hrefs, in the order of server or documents.

    The document at the address is read once and says itself whether it is an API or a static catalog. Each answer of
    an API is a list, which may be empty. Items of a static catalog come in lists that grow: whoever stops early has had
    few documents read. Closing the iterator stops the paging.

    Args:
        source: What to look for, and where.
        cancelled: Polled while waiting; once True, the search ends with InterruptedQueryError.
        told: What was warned of already, for a search that is begun anew.

    Raises:
        StacError: An answer or document is malformed, the server gives fewer items than it has, or the collection
            is unknown.
        StorageError: A document cannot be fetched.
    """
    left = source.max_items
    with closing(_parts(source, cancelled, told)) as parts:
        for page in parts:
            yield page if left is None else page[:left]
            if left is not None:
                left -= len(page)
                if left <= 0:
                    return


def _parts(
    source: StacSource, cancelled: Cancelled | None, told: set[str] | None
) -> Generator[list[dict[str, Any]], None, None]:
    """Items in lists: the answers of an API as they are, those of a static catalog as many as `_BATCHES` says."""
    session = connect(source.address, source.headers, source.backend)
    try:
        address = entry_address(source.address)
        document, address = _read(address, session, cancelled)
        api = _api_of_collection(document, address)
        if api is not None:
            landing, api = _read(api, session, cancelled)
            if search_link(landing, api) is not None:
                source = replace(source, address=api, collection=source.collection or document.get("id"))
                address, document = api, landing
        search = search_link(document, address)
        if search is not None:
            told = set() if told is None else told
            yield from search_api(source, document, search, session, cancelled=cancelled, told=told)
        else:
            walk = StaticWalk(session, source.collection, cancelled)
            criteria = Criteria(source)
            found = (item for item in walk.items(address, document) if criteria.unmet([item]) == [None])
            wanted = islice(found, source.max_items)  # no document is read for items that nobody gets
            batches = chain(_BATCHES, repeat(_BATCHES[-1]))
            # Not itertools.batched, which Python 3.11 does not have.
            while batch := list(islice(wanted, next(batches))):
                yield batch
    finally:
        session.session.close()


# Not Client.open, which takes every address for an API.
def _read(address: str, session: StacApiIO, cancelled: Cancelled | None) -> tuple[dict[str, Any], str]:
    return interruptible(lambda: read_located(address, session), cancelled if is_url(address) else None)


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
