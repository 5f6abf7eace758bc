"""Builds ask for larger pages where items are small, and get the same items."""

import pytest

from rasteret_sql.errors import StacError
from rasteret_sql.stac import search
from rasteret_sql.stac.bulk_search import all_items
from rasteret_sql.stac.search_request import StacSource
from rasteret_sql.warning import RasteretWarning
from tests.servers.stac_api import Faults, StacApiServer
from tests.stac.stac_items import make_item


def items(number, **properties):
    return [
        make_item(f"i{n:04d}", "2024-01-01T00:00:00Z", 10, 50, collection="demo", properties=properties)
        for n in range(number)
    ]


def ids(pages):
    return [item["id"] for page in pages for item in page]


def test_small_items_come_in_large_pages():
    with StacApiServer(items(450)) as api:
        found = ids(all_items(StacSource(api.url, "demo")))
        assert found == [f"i{n:04d}" for n in range(450)]
        assert [request.parameters["limit"] for request in api.seen if request.path == "/search"][:2] == [100, 1000]
        assert api.count("/search") == 2


def test_large_items_and_short_searches_stay_as_they_are():
    with StacApiServer(items(250, text="x" * 20_000)) as api:
        assert len(ids(all_items(StacSource(api.url, "demo")))) == 250
        assert {request.parameters["limit"] for request in api.seen if request.path == "/search"} == {100}
        assert api.count("/search") == 3
    with StacApiServer(items(450)) as api:
        assert len(ids(all_items(StacSource(api.url, "demo", max_items=150)))) == 150
        assert len(ids(all_items(StacSource(api.url, "demo", page_size=50)))) == 450
        assert {request.parameters["limit"] for request in api.seen if request.path == "/search"} == {50, 100}
    with StacApiServer(items(60)) as api:
        assert len(ids(all_items(StacSource(api.url, "demo")))) == 60
        assert api.count("/search") == 1


@pytest.mark.parametrize("answer", ["error", "no more"])
def test_a_server_that_does_not_give_larger_pages_is_asked_on(monkeypatch, answer):
    asked = []
    real = search.iter_pages

    def pages(source, cancelled=None, told=None):
        asked.append(source.page_size)
        if source.page_size > 100 and answer == "error":
            raise StacError("limit is too large")
        yield from real(StacSource(source.address, source.collection, page_size=100), cancelled)

    monkeypatch.setattr(search, "iter_pages", pages)
    with StacApiServer(items(250)) as api:
        assert ids(all_items(StacSource(api.url, "demo"))) == [f"i{n:04d}" for n in range(250)]
    assert len(asked) == 2


def test_a_search_that_is_begun_anew_warns_once():
    with StacApiServer(items(450), faults=Faults(refuses=400)) as api:
        with pytest.warns(RasteretWarning, match="the query is applied here") as said:
            assert len(ids(all_items(StacSource(api.url, "demo", query='"eo:cloud_cover" < 50')))) == 450
        assert max(one.parameters.get("limit", 0) for one in api.seen) > 100
    assert len(said) == 1
