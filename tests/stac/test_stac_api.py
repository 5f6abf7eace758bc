"""STAC APIs: what is asked, how it is paged, and that a short answer is never taken for a whole one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rasteret_sql.errors import (
    AccessDeniedError,
    InterruptedQueryError,
    MissingObjectError,
    StacError,
    StorageError,
)
from rasteret_sql.stac import http_json as documents
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.item_to_scene import scene_items
from rasteret_sql.stac.search import StacSource
from rasteret_sql.warning import RasteretWarning
from tests.sampling import some
from tests.servers.replay import replay
from tests.servers.stac_api import ITEM_SEARCH, Faults, StacApiServer, load_catalog
from tests.stac.stac_items import make_item, search_items

FIXTURES = Path(__file__).parent / "fixtures"
SIDES = (("east", 178.5), ("west", -179.5))
ITEMS = [
    make_item(f"s{n:02}", f"2024-01-{n + 1:02}T12:00:00Z", west=n, collection="demo", properties={"eo:cloud_cover": n})
    for n in range(25)
]


def ids(api, *args, **kwargs):
    return [item["id"] for item in search_items(StacSource(getattr(api, "url", api), *args, **kwargs))]


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
            "datetime": "2024-01-01T00:00:00Z/2024-01-09T00:00:00Z",
            "query": {"eo:cloud_cover": {"gte": 5}},
            "limit": 100,
        }


@pytest.mark.parametrize("swaps", [False, True])
def test_a_bbox_across_the_antimeridian_is_asked_for_in_two(swaps):
    """Some servers read west > east as the rest of the globe; an item that meets both boxes is given once."""
    sides = [make_item("east", west=178.5, collection="demo"), make_item("west", west=-179.5, collection="demo")]
    halves = [[[[179, 0], [180, 0], [180, 1], [179, 1], [179, 0]]], [[[-180, 0], [-179, 0], [-179, 1], [-180, 0]]]]
    split = make_item("split", collection="demo", geometry={"type": "MultiPolygon", "coordinates": halves})
    split["bbox"] = [-180, 0, 180, 1]
    with StacApiServer([*sides, ITEMS[0], split], faults=Faults(swaps_bbox=swaps)) as api:
        assert sorted(ids(api, "demo", (179, 0, 181, 1))) == ["east", "split", "west"]
        assert [one.parameters["bbox"] for one in api.seen if one.path == "/search"] == [
            [179, 0, 180, 1],
            [-180, 0, -179, 1],
        ]


@pytest.mark.parametrize("counted", [True, False])
def test_pages_of_both_boxes_at_the_antimeridian_are_counted_apart(counted):
    items = [make_item(f"{side}{n}", west=west, collection="demo") for n in range(7) for side, west in SIDES]
    with StacApiServer([*items, *ITEMS], counted=counted) as api:
        assert sorted(ids(api, "demo", (179, 0, 181, 1), page_size=3)) == sorted(item["id"] for item in items)


def test_only_one_side_of_the_antimeridian_has_items():
    with StacApiServer([make_item("west", west=-179.5, collection="demo"), ITEMS[0]]) as api:
        assert ids(api, "demo", (179, 0, 181, 1)) == ["west"]
        assert ids(api, "demo", (179, 50, 181, 51)) == []


@pytest.mark.parametrize(
    ("ignored", "argument"), [("bbox", "bbox"), ("datetime", "date_range"), ("collections", "collection")]
)
@pytest.mark.parametrize("counted", [True, False])
def test_what_a_server_takes_no_notice_of_is_tested_here(ignored, argument, counted):
    others = [
        make_item("other", "2024-01-05T00:00:00Z", west=4, collection="another"),
        make_item("far", "2024-01-05T00:00:00Z", west=50, collection="demo"),
        make_item("late", "2024-03-05T00:00:00Z", west=4, collection="demo"),
    ]
    with StacApiServer([*others, *ITEMS], counted=counted, faults=Faults(ignored=(ignored,))) as api:
        source = StacSource(api.url, "demo", (3.5, 0, 6.5, 1), ("2024-01-04", "2024-01-07"), page_size=10)
        with pytest.warns(RasteretWarning, match=f"/search takes no notice of {argument}: it also gives items") as said:
            assert [item["id"] for item in search_items(source)] == ["s03", "s04", "s05", "s06"]
        assert len(said) == 1


@pytest.mark.filterwarnings("error")
def test_a_server_that_compares_the_numbers_of_boxes_is_not_said_to_take_no_notice():
    ring = [[179.27, 0], [-178.11, 0], [-178.11, 1], [179.27, 1], [179.27, 0]]
    across = make_item("across") | {"bbox": [-178.11, 0, 179.27, 1]}
    across["geometry"]["coordinates"] = [ring]
    with StacApiServer([across, *ITEMS]) as api:
        assert ids(api, bbox=(2.5, 0, 2.75, 1)) == ["s02"]


@pytest.mark.filterwarnings("error")
def test_a_server_that_compares_boxes_alone_is_not_blamed():
    triangle = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 1], [0, 0]]]}
    with StacApiServer([make_item("t", collection="demo", geometry=triangle)]) as api:
        assert ids(api, "demo", (0.8, 0.8, 0.9, 0.9)) == []
        assert ids(api, "demo", (0.1, 0.1, 0.9, 0.9)) == ["t"]


def test_items_without_place_or_time_meet_no_bbox_and_no_dates():
    """The same from a server and from a file."""
    nowhere = make_item("nowhere", collection="demo", geometry=None)
    del nowhere["bbox"]
    boxed = make_item("boxed", west=3, collection="demo", geometry=None)
    span = {"datetime": None, "start_datetime": "2024-01-03T00:00:00Z", "end_datetime": "2024-01-05T00:00:00Z"}
    items = [nowhere, boxed, make_item("span", west=3, collection="demo", properties=span)]
    items.append(make_item("never", west=3, collection="demo", properties={"datetime": None}))
    with StacApiServer(items, faults=Faults(ignored=("bbox", "datetime"))) as api, pytest.warns(RasteretWarning):
        assert ids(api, "demo", (3, 0, 4, 1)) == ["boxed", "span", "never"]
        assert ids(api, "demo", date_range=("2024-01-04", "2024-01-04")) == ["span"]
        assert ids(api, "demo") == ["nowhere", "boxed", "span", "never"]


def test_a_collection_that_the_server_knows_by_another_name_too():
    """As NASA's server, which was asked for HLSL30.v2.0 and gave items of HLSL30_2.0."""
    with StacApiServer(ITEMS, faults=Faults(ignored=("collections",))) as api:
        api.aliases["demo.v1"] = "demo"
        assert len(ids(api, "demo.v1")) == 25


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("to", ["/search/", "{url}/search/"])
def test_a_redirected_search_keeps_its_method_and_body(status, to):
    with StacApiServer(ITEMS) as api:
        api.faults = Faults(redirect=status, redirect_to=to.format(url=api.url))
        assert ids(api, "demo", (3.5, 0, 6.5, 1), page_size=2) == ["s03", "s04", "s05", "s06"]
        asked = [one for one in api.seen if one.path == "/search/"]
        assert [one.method for one in asked] == ["POST"] * len(asked)
        assert {tuple(one.parameters["bbox"]) for one in asked} == {(3.5, 0, 6.5, 1)}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_search_is_not_sent_on_to_another_server(status):
    headers = {"Authorization": "Bearer hunter2", "X-Api-Key": "hunter2"}
    with StacApiServer(ITEMS) as api, StacApiServer(ITEMS) as other:
        api.faults = Faults(redirect=status, redirect_to=f"{other.url}/search?token=hunter2")
        with pytest.raises(StacError, match=f"redirect to another server, {other.url}/search, which is") as caught:
            ids(api, "demo", headers=headers)
        assert "hunter2" not in str(caught.value)
        assert other.count() == 0


def test_an_address_that_leads_to_another_server_is_followed_without_the_headers():
    headers = {"Authorization": "Bearer hunter2", "X-Api-Key": "hunter2"}
    with StacApiServer(ITEMS) as api, StacApiServer(ITEMS) as other:
        api.faults = Faults(redirect=302, redirect_to=f"{other.url}/")
        assert len(ids(f"{api.url}/search", "demo", headers=headers)) == 25
        assert api.seen[0].headers["X-Api-Key"] == "hunter2"
        assert not any({"Authorization", "X-Api-Key"} & set(one.headers) for one in other.seen)


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
        items = search_items(StacSource(api.url, "demo", page_size=5))
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
        assert len(ids(api, "demo")) == 25  # an hour is not waited for


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
        (Faults(empty_pages=99), False, "0 items and then only empty pages"),
        (Faults(cap=3, estimate=1), True, "1 items match but gave 3"),
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


def test_a_number_matched_that_is_too_small_ends_no_search():
    with StacApiServer(ITEMS, faults=Faults(estimate=3)) as api:
        assert len(ids(api, "demo", page_size=10)) == 25
        assert api.count("/search") == 3


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
        found = search_items(StacSource(api.url, "demo", page_size=10, query='"eo:cloud_cover" >= 0'))
        first = [next(found)["id"] for _ in range(10)]
        api.faults.status, api.faults.times = 503, 2
        rest = [item["id"] for item in found]
        assert first + rest == [item["id"] for item in ITEMS]
        found = search_items(StacSource(api.url, "demo", page_size=10))
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
    with StacApiServer(ITEMS, faults=Faults(stall=True)) as api:
        with pytest.raises(InterruptedQueryError):
            list(search_items(StacSource(api.url, "demo"), cancelled=lambda: api.count("/search") > 0))
        assert api.count("/search") == 1  # the server never answered, and was not asked again


def test_the_same_items_as_from_the_files(tree):
    items, collections = load_catalog(tree)
    with StacApiServer(items, collections) as api:
        remote = list(search_items(StacSource(api.url, "north")))
    local = list(search_items(StacSource(str(tree), "north")))
    assert [(i["id"], i["assets"], i["bbox"]) for i in remote] == [(i["id"], i["assets"], i["bbox"]) for i in local]


def test_recorded_planetary_computer():
    with replay(FIXTURES / "pc_naip_two_pages.json") as (url, seen):
        items = list(search_items(StacSource(url, "naip", (-73.21, 43.99, -73.12, 44.05))))
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
    # The recorded client asked for whole days up to 23:59:59.
    pairs[0]["request"]["json"]["datetime"] = "2023-10-08T00:00:00Z/2023-10-09T00:00:00Z"
    for body in (pairs[0]["request"]["json"], pairs[1]["request"]["json"], link["body"]):
        del body["collections"], body["intersects"]
    (tmp_path / "pages.json").write_text(json.dumps(pairs))
    with replay(tmp_path / "pages.json") as (url, seen):
        items = list(search_items(StacSource(url, date_range="2023-10-08")))
    assert {item["collection"] for item in items} == {"sentinel-2-l2a", "landsat-c2-l2"}
    assert ["next" in body for body in seen] == [False, True]


def test_recorded_earth_search_0_is_counted_by_context():
    with replay(FIXTURES / "earthsearch_v0_sentinel2.json") as (url, _), pytest.raises(StorageError):
        # Its millionth page is not recorded; what matters is that the first is taken and the next asked for.
        items = search_items(StacSource(url, "sentinel-s2-l2a-cogs"))
        assert next(items)["id"] == "S2B_20EPT_20250731_0_L2A"
        list(items)


@pytest.mark.parametrize("methods", [("POST",), ("GET",)])
def test_a_byte_order_mark_before_an_answer_is_passed(methods):
    with StacApiServer(ITEMS, methods=methods, faults=Faults(mark=True)) as api:
        assert len(ids(api, "demo", page_size=10)) == 25


def test_next_links_that_say_post_of_a_server_that_knows_get_alone():
    """The first page came by GET; POST is tried once."""
    with StacApiServer(ITEMS, methods=("GET",), faults=Faults(says_post=True)) as api:
        found = ids(api, "demo", (3.5, 0, 20.5, 1), ("2024-01-01", "2024-01-20"), page_size=4)
        assert found == [item["id"] for item in ITEMS[3:20]]
        assert [one.method for one in api.seen if one.path == "/search"] == ["GET", "POST", *["GET"] * 4]


def test_a_next_link_by_post_with_a_token_alone_keeps_what_was_asked():
    with StacApiServer(ITEMS, methods=("GET",), counted=False) as api:
        api.faults = Faults(next_link={"href": f"{api.url}/search", "method": "POST", "body": {"token": "4"}})
        found = search_items(StacSource(api.url, "demo", (3.5, 0, 20.5, 1), page_size=4))
        assert [next(found)["id"] for _ in range(8)] == [item["id"] for item in ITEMS[3:11]]
        asked = api.seen[-1].parameters
        assert (asked["collections"], asked["bbox"], asked["token"]) == (["demo"], [3.5, 0, 20.5, 1], "4")


@pytest.mark.parametrize("status", [400, 403, 404, 405, 415, 422, 501])
def test_get_where_post_is_refused_and_get_is_offered(status):
    with StacApiServer(ITEMS, faults=Faults(search_status=status, search_method="POST")) as api:
        assert ids(api, "demo", (3.5, 0, 6.5, 1), page_size=2) == ["s03", "s04", "s05", "s06"]


@pytest.mark.parametrize(
    ("status", "error"), [(400, StacError), (403, AccessDeniedError), (404, MissingObjectError), (415, StacError)]
)
def test_a_refusal_of_post_stands_where_get_is_refused_or_not_offered(status, error):
    faults = Faults(search_status=status, search_method="POST", body='{"description": "by post"}')
    with StacApiServer(ITEMS, methods=("POST",), faults=faults) as api, pytest.raises(error, match="by post"):
        ids(api, "demo")
    with StacApiServer(ITEMS, faults=faults) as api:
        api.faults.search_method = None
        with pytest.raises(error, match="by post"):
            ids(api, "demo")


def test_who_is_not_signed_in_is_asked_for_it_at_once():
    with StacApiServer(ITEMS, faults=Faults(search_status=401)) as api:
        with pytest.raises(AccessDeniedError, match="answered 401"):
            ids(api, "demo")
        assert api.count("/search") == 1


@pytest.mark.parametrize("page_size", [5, 7, 10, 100])
@pytest.mark.parametrize("estimate", [26, 1000])
def test_a_number_matched_that_is_too_large_is_an_estimate_where_the_pages_are_whole(page_size, estimate):
    with (
        StacApiServer(ITEMS, faults=Faults(estimate=estimate)) as api,
        pytest.warns(
            RasteretWarning, match=f"says that {estimate} items match and gave 25, which its pages say are all"
        ),
    ):
        assert len(ids(api, "demo", page_size=page_size)) == 25


@pytest.mark.filterwarnings("ignore")
def test_an_estimate_where_one_or_no_item_matches():
    with StacApiServer(ITEMS, faults=Faults(estimate=3)) as api:
        assert ids(api, "demo", (3.5, 0, 3.6, 1)) == ["s03"]
        assert ids(api, "demo", (3.5, 50, 3.6, 51)) == []


def test_a_number_matched_that_is_too_small_ends_nothing():
    with StacApiServer(ITEMS, faults=Faults(estimate=3)) as api:
        assert len(ids(api, "demo", page_size=10)) == 25


HERE = make_item("here", "2024-01-05T00:00:00Z", west=179.2, collection="demo")
MIXED = [
    HERE,
    make_item("there", "2024-01-05T00:00:00Z", west=-179.7, collection="demo"),
    make_item("late", "2024-01-06T00:00:00Z", west=179.2, collection="demo"),
    make_item("last", "2024-01-05T23:59:59.999Z", west=-179.7, collection="demo"),
    make_item("rest", "2024-01-05T00:00:00Z", west=20, collection="demo"),
    make_item("other", "2024-01-05T00:00:00Z", west=179.2, collection="another"),
    make_item("north", "2024-01-05T00:00:00Z", west=179.2, south=60, collection="demo"),
    make_item("placeless", "2024-01-05T00:00:00Z", collection="demo", geometry=None, bbox=[-180, 50, 180, 51]),
    make_item("timeless", None, west=179.2, collection="demo"),
]
BOXES = [
    None,
    (179, 0, 181, 1),
    (179, 0, -179, 1),
    (-181, 0, -179, 1),
    (539, 0, 540, 1),
    (-180, -90, 180, 90),
    (20, 0, 21, 1),
]


@pytest.mark.filterwarnings("ignore::rasteret_sql.warning.RasteretWarning")
@pytest.mark.parametrize("swaps", some([True, False], 9))
@pytest.mark.parametrize("ignored", [(), ("bbox",), ("datetime", "collections"), ("bbox", "datetime", "collections")])
def test_a_server_gives_what_a_file_of_its_items_gives(write, ignored, swaps):
    path = write("items.json", {"type": "FeatureCollection", "features": MIXED})
    with StacApiServer(MIXED, faults=Faults(ignored=ignored, swaps_bbox=swaps)) as api:
        for box in BOXES:
            for dates in (None, "2024-01-05", ("2024-01-05", "2024-01-05T23:59:59Z")):
                found = ids(api, "demo", box, dates, page_size=3)
                assert sorted(found) == sorted(ids(str(path), "demo", box, dates)), (box, dates)
        assert sorted(ids(api, "demo", (179, 0, 181, 1), "2024-01-05")) == ["here", "last", "there"]
