"""Reads all items of a search, for a build: in as few requests as a server's answers allow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import StacError, StorageError
from rasteret_sql.lazy import lazy_module
from rasteret_sql.stac.search_request import DEFAULT_PAGE_SIZE, StacSource

if TYPE_CHECKING:
    from rasteret_sql.stac import search as stac_search
else:
    stac_search = lazy_module("rasteret_sql.stac.search")

_PAGE_BYTES = 2**20
"""Answers of this size are below the limits of all servers known."""
_LARGEST_PAGE = 1000
_WORTH_IT = 2.5
"""How much larger pages have to be, since the first one is asked twice then."""


def all_items(source: StacSource, cancelled: Cancelled | None = None) -> Iterator[list[dict[str, Any]]]:
    """Stream the items of a search in lists.

    Where the first page is full and its items are small, the search is begun anew with larger pages; a server that
    refuses those is asked on as before. A page size that is not the default one is taken as it is.

    Raises:
        as `iter_pages`.
    """
    told: set[str] = set()
    with closing(stac_search.iter_pages(source, cancelled, told)) as pages:
        first = next(pages, [])
        larger = _larger_page(source, first)
        if larger is not None:
            with closing(stac_search.iter_pages(replace(source, page_size=larger), cancelled, told)) as larger_pages:
                try:
                    page = next(larger_pages, [])
                except (StacError, StorageError):
                    page = []
                if len(page) > len(first):
                    yield page
                    yield from larger_pages
                    return
        yield first
        yield from pages


def _larger_page(source: StacSource, first: list[dict[str, Any]]) -> int | None:
    """The page size that is better, None where there is none."""
    if source.page_size != DEFAULT_PAGE_SIZE or source.max_items is not None or len(first) != source.page_size:
        return None
    an_item = len(json.dumps(first, default=str)) // len(first) + 1
    size = min(_LARGEST_PAGE, _PAGE_BYTES // an_item)
    return size if size >= _WORTH_IT * source.page_size else None
