"""STAC APIs: what is asked, how it is paged, and that a short answer is never taken for a whole one."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from rasteret_sql.errors import (
    AccessDeniedError,
    InterruptedQueryError,
    MissingObjectError,
    StacError,
    StorageError,
)
from rasteret_sql.stac import documents
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.scenes import scene_items
from rasteret_sql.stac.search import StacSource, iter_items
from tests.servers.replay import replay
from tests.servers.stac_api import ITEM_SEARCH, Faults, StacApiServer, load_catalog
from tests.stac.stac_items import make_item

FIXTURES = Path(__file__).parent / "fixtures"
ITEMS = [
    make_item(f"s{n:02}", f"2024-01-{n + 1:02}T12:00:00Z", west=n, collection="demo", properties={"eo:cloud_cover": n})
    for n in range(25)
]


def ids(api, *args, **kwargs):
    return [item["id"] for item in iter_items(StacSource(getattr(api, "url", api), *args, **kwargs))]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(documents, "BACKOFF", 0.01)


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("context", [True, False])
@pytest.mark.parametrize("methods", [("GET", "POST"), ("POST",), ("GET",)])
def test_all_pages_come(counted, context, methods):
    with StacApiServer(ITEMS, counted=counted, context=context, methods=methods) as api:
        assert ids(api, "demo", page_size=10) == [item["id"] for item in ITEMS]
        assert [(one.method, one.path) for one in api.seen] == [("GET", "/")] + [(methods[-1], "/search")] * 3


def test_e7_c17_the_search_is_sent_as_the_api_expects_it():
    """E7: the end day is included; C17, E8: the query goes with the search."""
    with StacApiServer(ITEMS) as api:
        found = ids(api, "demo", (3.5, 0, 9.5, 1), ("2024-01-01", "2024-01-08"), {"eo:cloud_cover": {"gte": 5}})
        assert found == ["s05", "s06", "s07"]
        assert api.seen[-1].parameters == {
            "collections": ["demo"],
            "bbox": [3.5, 0.0, 9.5, 1.0],
            "datetime": "2024-01-01T00:00:00Z/2024-01-08T23:59:59Z",
            "query": {"eo:cloud_cover": {"gte": 5}},
            "limit": 100,
        }


def test_bbox_across_the_antimeridian_is_sent_as_rfc_7946_has_it():
    items = [make_item("east", west=178.5, collection="demo"), make_item("west", west=-179.5, collection="demo")]
    with StacApiServer([*items, ITEMS[0]]) as api:
        assert ids(api, "demo", (179, 0, 181, 1)) == ["east", "west"]
        assert api.seen[-1].parameters["bbox"] == [179, 0, -179, 1]


def test_query_is_applied_here_where_the_server_does_not():
    with StacApiServer(ITEMS, conforms=(ITEM_SEARCH,)) as api:
        assert ids(api, "demo", query={"eo:cloud_cover": {"lt": 3}}) == ["s00", "s01", "s02"]
        assert "query" not in api.seen[-1].parameters


def test_max_items_stops_the_paging():
    with StacApiServer(ITEMS) as api:
        assert len(ids(api, "demo", page_size=5, query={"max_items": 7})) == 7
        assert api.count("/search") == 2


def test_closing_the_iterator_stops_the_paging():
    with StacApiServer(ITEMS) as api:
        items = iter_items(StacSource(api.url, "demo", page_size=5))
        next(items)
        items.close()
        assert api.count("/search") == 1


def test_a_collection_of_the_api_is_searched_through_the_api():
    with StacApiServer(ITEMS) as api:
        links = [{"rel": "root", "href": api.url}, {"rel": "items", "href": f"{api.url}/collections/demo/items"}]
        api.collections[0]["links"] = links
        assert ids(f"{api.url}/collections/demo", bbox=(0, 0, 1.5, 1)) == ["s00", "s01"]


def test_get_where_post_is_not_allowed(monkeypatch):
    with StacApiServer(ITEMS, methods=("GET",)) as api:
        landing = api.landing()
        del landing["links"][-1]["method"]
        monkeypatch.setattr(StacApiServer, "landing", lambda self: landing)
        assert len(ids(api, "demo")) == 25
        assert [one.method for one in api.seen] == ["GET", "POST", "GET"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_servers_are_asked_again(status):
    with StacApiServer(ITEMS, faults=Faults(status, times=2)) as api:
        assert len(ids(api, "demo")) == 25


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("asked", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT", "soon"])
def test_a_wait_that_a_server_asks_for_is_bounded(monkeypatch, status, asked):
    monkeypatch.setattr(documents, "LONGEST_WAIT", 0.05)
    with StacApiServer(ITEMS, faults=Faults(status, times=2, retry_after=asked)) as api:
        start = time.perf_counter()
        assert len(ids(api, "demo")) == 25
        assert time.perf_counter() - start < 5


def test_retries_end():
    with StacApiServer(
        ITEMS, faults=Faults(503, 99, '{"description": "overloaded, see http://h/p?sig=SECRET"}')
    ) as api:
        with pytest.raises(StorageError, match=r'answered 503 again after retries \("overloaded, see') as caught:
            ids(f"{api.url}/?token=SECRET", "demo")
        assert "SECRET" not in str(caught.value)
        assert api.count() == 5


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (401, AccessDeniedError, "access denied"),
        (403, PermissionError, "access denied"),
        (404, MissingObjectError, "nothing there"),
        (400, StacError, 'status 400 \\("no such field"\\)'),
    ],
)
def test_refusals_are_told_apart(status, error, says):
    with StacApiServer(ITEMS, faults=Faults(status, 1, '{"description": "no such field"}')) as api:
        with pytest.raises(error, match=says):
            ids(api, "demo")
        assert api.count() == 1


def test_unreachable():
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:9/v1 cannot be reached") as caught:
        ids("http://user:SECRET@127.0.0.1:9/v1?token=SECRET")
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("faults", "counted", "says"),
    [
        (Faults(stop_after=2), True, "25 items match but gave 10"),
        (Faults(stop_after=1), False, "neither counts what matches nor offers"),
        (Faults(cap=3), True, "25 items match but gave 3"),
        (Faults(cap=3), False, "neither counts what matches nor offers"),
        (Faults(stop_after=2), False, "ended after 10 items although it has more"),
        (Faults(circle=True), True, "pages in a circle"),
        (Faults(circle=True), False, "pages in a circle"),
        (Faults(repeat=True), True, "pages in a circle: it gave a page of 5 items that it had given before"),
        (Faults(repeat=True), False, "pages in a circle"),
        (Faults(endless=True), False, "25 items and then only empty pages"),
        (Faults(empty_pages=99), True, "25 items match but gave 0"),
        (Faults(overstated=1), True, "a page has 6 items but it has 5"),
        (Faults(overstated=1), False, "a page has 6 items but it has 5"),
        (Faults(next_link={}), True, "25 items match but gave 5"),
        (
            Faults(next_link={"href": 5}),
            True,
            "cannot be followed to the next one: the link to the next page has no add",
        ),
        (Faults(next_link={"href": "", "body": "limit=5"}), True, "a body or headers that are no objects"),
        (Faults(next_link={"href": "/search", "method": "DELETE"}), True, "asks for the method DELETE"),
        (Faults(malformed='{"type": '), True, "/search is not JSON"),
        (Faults(malformed="[]"), True, "holds a JSON list"),
        (Faults(malformed='{"type": "Collection", "id": "x"}'), True, "'Collection' instead of a FeatureCollection"),
        (
            Faults(malformed='{"type": "FeatureCollection", "features": [1]}'),
            True,
            "expected a GeoJSON Feature with an id",
        ),
    ],
)
def test_short_or_malformed_answers_are_errors(faults, counted, says):
    with StacApiServer(ITEMS, faults=faults, counted=counted) as api, pytest.raises(StacError, match=says):
        ids(api, "demo", page_size=5)


def test_a_single_page_without_count_is_believed_of_a_server_that_pages():
    with StacApiServer(ITEMS, counted=False) as api:
        assert len(ids(api, "demo")) == 25
        assert [one.parameters.get("limit") for one in api.seen] == [None, 100, 1]


def test_empty_pages_on_the_way_are_passed():
    with StacApiServer(ITEMS, faults=Faults(empty_pages=2)) as api:
        assert len(ids(api, "demo", page_size=10)) == 25


def test_a_full_last_page_is_believed_when_a_longer_one_has_no_more():
    with StacApiServer(ITEMS, counted=False) as api:
        assert len(ids(api, "demo", page_size=5)) == 25
        assert [one.parameters.get("limit") for one in api.seen[1:]] == [5] * 5 + [10]
        api.reset()
        assert len(ids(api, "demo", page_size=10)) == 25
        assert [one.parameters.get("limit") for one in api.seen[1:]] == [10] * 3


@pytest.mark.parametrize("methods", [("GET",), ("POST",)])
def test_pages_that_overlap_give_each_item_once(methods):
    with StacApiServer(ITEMS, methods=methods, faults=Faults(overlap=2)) as api:
        assert ids(api, "demo", page_size=10) == [item["id"] for item in ITEMS]


def test_next_links_after_the_last_item_end_where_all_have_come():
    with StacApiServer(ITEMS, faults=Faults(endless=True)) as api:
        assert len(ids(api, "demo", page_size=10)) == 25


def test_e5_c17_a_page_is_asked_again_while_the_server_is_busy_and_nothing_is_lost():
    """Bounded: a server that stays busy on the third page is an error, not a short collection."""
    with StacApiServer(ITEMS) as api:
        found = iter_items(StacSource(api.url, "demo", page_size=10, query='"eo:cloud_cover" >= 0'))
        first = [next(found)["id"] for _ in range(10)]
        api.faults.status, api.faults.times = 503, 2
        rest = [item["id"] for item in found]
        assert first + rest == [item["id"] for item in ITEMS]
        found = iter_items(StacSource(api.url, "demo", page_size=10))
        for _ in range(10):
            next(found)
        api.faults.status, api.faults.times = 429, 99
        with pytest.raises(StorageError, match="answered 429 again after retries"):
            list(found)


def test_unknown_collection_says_what_exists_and_an_empty_area_is_empty():
    with StacApiServer(ITEMS) as api:
        with pytest.raises(StacError, match=r'no collection "dem": did you mean "demo"\? Known: demo'):
            ids(api, "dem")
        assert ids(api, "demo", (100, 50, 101, 51)) == []


def test_headers_go_to_the_server_of_the_address():
    with StacApiServer(ITEMS) as api:
        ids(api, "demo", headers={"Authorization": "Bearer t"})
        assert {one.headers.get("Authorization") for one in api.seen} == {"Bearer t"}


def test_headers_do_not_go_to_other_hosts(write):
    with StacApiServer(ITEMS) as api, StacApiServer([]) as other:
        api.collections[0] |= {"type": "Catalog", "links": [{"rel": "item", "href": f"{other.url}/collections/x"}]}
        other.collections = [make_item("x")]
        assert ids(f"{api.url}/collections/demo", headers={"Authorization": "Bearer t"}) == ["x"]
        assert "Authorization" not in other.seen[0].headers


def test_a_stalled_search_can_be_interrupted():
    flag = threading.Event()
    with StacApiServer(ITEMS, faults=Faults(stall=3)) as api:
        threading.Timer(0.2, flag.set).start()
        start = time.perf_counter()
        with pytest.raises(InterruptedQueryError):
            list(iter_items(StacSource(api.url, "demo"), cancelled=flag.is_set))
        assert time.perf_counter() - start < 1


def test_the_same_items_as_from_the_files(tree):
    items, collections = load_catalog(tree)
    with StacApiServer(items, collections) as api:
        remote = list(iter_items(StacSource(api.url, "north")))
    local = list(iter_items(StacSource(str(tree), "north")))
    assert [(i["id"], i["assets"], i["bbox"]) for i in remote] == [(i["id"], i["assets"], i["bbox"]) for i in local]


def test_recorded_planetary_computer():
    with replay(FIXTURES / "pc_naip_two_pages.json") as (url, seen):
        items = list(iter_items(StacSource(url, "naip", (-73.21, 43.99, -73.12, 44.05))))
    assert len(items) == 20
    token = "next:naip:vt_m_4307307_nw_18_060_20211029"
    # The last page is full, and this server does not count: it is asked once more, for a longer page.
    assert [body.get("token") for body in seen] == [None, token, token]
    assert seen[2]["limit"] > seen[1]["limit"]
    scenes, warnings = scene_items(items, BandNaming())
    assert warnings == []
    assert list(scenes[0].bands) == ["Red", "Green", "Blue", "NIR"]
    assert scenes[0].epsg == 26918


def test_recorded_earth_search_ends_with_an_empty_page(tmp_path):
    # Two collections by name were asked for; ours asks for all, and without the point.
    pairs = json.loads((FIXTURES / "earthsearch_v1_two_collections.json").read_text())
    link = next(link for link in pairs[0]["response"]["json"]["links"] if link["rel"] == "next")
    for body in (pairs[0]["request"]["json"], pairs[1]["request"]["json"], link["body"]):
        del body["collections"], body["intersects"]
    (tmp_path / "pages.json").write_text(json.dumps(pairs))
    with replay(tmp_path / "pages.json") as (url, seen):
        items = list(iter_items(StacSource(url, date_range="2023-10-08")))
    assert {item["collection"] for item in items} == {"sentinel-2-l2a", "landsat-c2-l2"}
    assert ["next" in body for body in seen] == [False, True]


def test_recorded_earth_search_0_is_counted_by_context():
    with replay(FIXTURES / "earthsearch_v0_sentinel2.json") as (url, _), pytest.raises(StorageError):
        # Its millionth page is not recorded; what matters is that the first is taken and the next asked for.
        items = iter_items(StacSource(url, "sentinel-s2-l2a-cogs"))
        assert next(items)["id"] == "S2B_20EPT_20250731_0_L2A"
        list(items)
