"""What of a query goes to the server, in which form, and that the scenes are right whatever the server makes of it."""

from __future__ import annotations

import datetime as dt
import json
import warnings

import cql2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasteret_sql.errors import InvalidArgumentError, StacError
from rasteret_sql.expr.condition import parse_condition
from rasteret_sql.expr.tree import conjunction
from rasteret_sql.stac import http_json as documents
from rasteret_sql.stac.cql2 import to_json, to_text
from rasteret_sql.stac.pushdown import Conformance, search_parameters
from rasteret_sql.stac.query import matches, parse_query
from rasteret_sql.stac.search import StacSource
from rasteret_sql.warning import RasteretWarning
from tests.sampling import examples, some
from tests.servers.stac_api import ADVANCED, COMPARISONS, FILTER, ITEM_SEARCH, QUERY, Faults, StacApiServer
from tests.stac.stac_items import make_item, search_items

ITEMS = [
    make_item(
        f"s{n:02}",
        f"2024-01-{n + 1:02}T12:00:00Z",
        west=n,
        collection="demo",
        properties={
            "eo:cloud_cover": None if n % 7 == 6 else n,
            "platform": ["landsat-8", "landsat-9", "Sentinel_2A", None][n % 4],
            "updated": f"2024-02-{n + 1:02}T00:00:00.000Z",
            **({"gsd": 10} if n % 2 else {}),
        },
    )
    for n in range(25)
]
SERVERS = {
    "query": (ITEM_SEARCH, QUERY),
    "filter": (ITEM_SEARCH, *FILTER),
    "both": (ITEM_SEARCH, QUERY, *FILTER),
    "advanced": (ITEM_SEARCH, *FILTER, *ADVANCED),
    "neither": (ITEM_SEARCH,),
}


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr(documents, "BACKOFF", 0.01)


def search(api, query, **kwargs):
    return [item["id"] for item in search_items(StacSource(api.url, "demo", query=query, **kwargs))]


def here(query):
    condition = parse_query(query).condition
    return [item["id"] for item in ITEMS if matches(item, condition)]


def received(api):
    """What the first search carried of the query."""
    first = next(one for one in api.seen if one.path == "/search")
    return {name: value for name, value in first.parameters.items() if name in ("query", "filter", "filter-lang")}


def op(name, *arguments):
    return {"op": name, "args": list(arguments)}


CLOUD, PLATFORM, GSD = {"property": "eo:cloud_cover"}, {"property": "platform"}, {"property": "gsd"}
LOW = "\"eo:cloud_cover\" < 5 AND platform = 'landsat-8'"


def test_c17_e8_a_conjunction_goes_as_query_where_the_server_has_it():
    for server in ("query", "both"):
        with StacApiServer(ITEMS, conforms=SERVERS[server]) as api:
            assert search(api, LOW) == here(LOW) == ["s00", "s04"]
            assert received(api) == {"query": {"eo:cloud_cover": {"lt": 5}, "platform": {"eq": "landsat-8"}}}


def test_c17_the_object_form_goes_as_filter_where_the_server_has_no_query():
    query = {"eo:cloud_cover": {"lt": 10, "gte": 3}, "platform": ["landsat-8", "landsat-9"]}
    with StacApiServer(ITEMS, conforms=SERVERS["advanced"]) as api:
        assert search(api, query) == here(query) == ["s04", "s05", "s08", "s09"]
        names = op("in", PLATFORM, ["landsat-8", "landsat-9"])
        assert received(api) == {
            "filter": op("and", op("<", CLOUD, 10), op(">=", CLOUD, 3), names),
            "filter-lang": "cql2-json",
        }
    with StacApiServer(ITEMS, conforms=SERVERS["filter"]) as api:  # Basic CQL2 has no IN
        assert search(api, query) == here(query)
        either = op("or", op("=", PLATFORM, "landsat-8"), op("=", PLATFORM, "landsat-9"))
        assert received(api)["filter"] == op("and", op("<", CLOUD, 10), op(">=", CLOUD, 3), either)


def test_more_than_a_conjunction_goes_as_filter():
    query = '"eo:cloud_cover" < 3 OR gsd IS NULL AND NOT ("eo:cloud_cover" BETWEEN 3 AND 20)'
    with StacApiServer(ITEMS, conforms=SERVERS["both"]) as api:
        assert search(api, query) == here(query) == ["s00", "s01", "s02", "s22", "s24"]
        outside = op("or", op("<", CLOUD, 3), op(">", CLOUD, 20))
        assert received(api)["filter"] == op("or", op("<", CLOUD, 3), op("and", op("isNull", GSD), outside))


def test_a_search_by_get_sends_cql2_text():
    query = "platform LIKE 'land%' AND NOT (gsd = 10 AND \"eo:cloud_cover\" > 3) OR updated > TIMESTAMP '2024-02-24'"
    with StacApiServer(ITEMS, conforms=SERVERS["advanced"], methods=("GET",)) as api:
        assert search(api, query, page_size=2) == here(query)
        sent = [one.parameters for one in api.seen if one.path == "/search"]
        assert len(sent) == 2
        assert {one["filter-lang"] for one in sent} == {"cql2-text"}
        either = "(platform LIKE 'land%' AND (gsd <> 10 OR eo:cloud_cover <= 3))"
        text = f"{either} OR updated > TIMESTAMP('2024-02-24T00:00:00Z')"
        assert {one["sent filter"] for one in sent} == {text}
    with StacApiServer(ITEMS, conforms=SERVERS["query"], methods=("GET",)) as api:
        assert search(api, LOW) == here(LOW)
        assert received(api) == {"query": {"eo:cloud_cover": {"lt": 5}, "platform": {"eq": "landsat-8"}}}
    only_json = tuple(one for one in SERVERS["filter"] if not one.endswith("text"))
    with StacApiServer(ITEMS, conforms=only_json, methods=("GET",)) as api:
        assert search(api, "gsd IS NULL OR gsd > 10") == here("gsd IS NULL")
        assert received(api)["filter"] == op("or", op("isNull", GSD), op(">", GSD, 10))


def test_what_the_server_cannot_be_asked_is_left_out_of_a_conjunction_and_decided_here():
    query = "platform LIKE 'land%' AND \"eo:cloud_cover\" < 9 AND (gsd = 10 OR id ILIKE 'S0_')"
    with StacApiServer(ITEMS, conforms=SERVERS["both"]) as api:  # Basic CQL2 has no LIKE
        assert search(api, query) == here(query) == ["s00", "s01", "s04", "s05", "s08"]
        assert received(api) == {"filter": op("<", CLOUD, 9), "filter-lang": "cql2-json"}
    with StacApiServer(ITEMS, conforms=SERVERS["query"]) as api:
        assert search(api, query) == here(query)
        assert received(api) == {"query": {"platform": {"startsWith": "land"}, "eo:cloud_cover": {"lt": 9}}}
    with StacApiServer(ITEMS, conforms=SERVERS["filter"]) as api:
        assert search(api, "platform LIKE 'land%' OR gsd = 10") == here("platform LIKE 'land%' OR gsd = 10")
        assert received(api) == {}


def test_case_is_ignored_by_casei_where_the_server_knows_it():
    query = r"platform ILIKE 'SENTINEL\_%' ESCAPE '\'"
    with StacApiServer(ITEMS, conforms=SERVERS["advanced"]) as api:
        assert search(api, query) == here(query) == [f"s{n:02}" for n in range(2, 25, 4)]
        assert received(api)["filter"] == op("like", op("casei", PLATFORM), op("casei", "SENTINEL\\_%"))


def test_a_server_with_comparisons_only_is_asked_again_for_less():
    query = {"platform": {"startsWith": "landsat"}, "eo:cloud_cover": {"lte": 5}}
    with StacApiServer(ITEMS, conforms=SERVERS["query"], operators=COMPARISONS) as api:
        assert search(api, query, page_size=2) == here(query) == ["s00", "s01", "s04", "s05"]
        sent = [one.parameters["query"] for one in api.seen if one.path == "/search"]
        assert sent[0] == {"platform": {"startsWith": "landsat"}, "eo:cloud_cover": {"lte": 5}}
        assert sent[1:] == [{"eo:cloud_cover": {"lte": 5}}] * (len(sent) - 1)


@pytest.mark.parametrize("methods", [("POST",), ("GET",)])
def test_a_query_that_is_refused_whole_is_applied_here_with_a_word(methods):
    with (
        StacApiServer(ITEMS, conforms=SERVERS["query"], operators=("eq",), methods=methods) as api,
        pytest.warns(RasteretWarning, match=r"status 400 .*Input should be one of.* the query is applied here") as said,
    ):
        assert search(api, LOW, page_size=10) == here(LOW)
    assert len(said) == 1


@pytest.mark.parametrize("server", some(["query", "both"], 4))
@pytest.mark.parametrize("status", [400, 422, 501])
@pytest.mark.parametrize("methods", [("POST",), ("GET",), ("GET", "POST")])
def test_a_filter_that_is_refused_is_applied_here(server, status, methods):
    """The server declares it and does not take it."""
    query = "platform IS NULL OR gsd = 10"
    with StacApiServer(ITEMS, conforms=SERVERS[server], methods=methods, faults=Faults(refuses=status)) as api:
        for condition in (LOW, query):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                assert search(api, condition, page_size=50) == here(condition)
            # What has no words in the query extension is never sent there.
            assert len(said) == (condition == LOW or server == "both")


def test_a_search_that_is_refused_without_its_query_too_is_an_error_with_the_servers_words():
    with StacApiServer(ITEMS, conforms=SERVERS["query"]) as api:
        found = search_items(StacSource(api.url, "demo", query=LOW))
        api.faults = Faults(search_status=400, body='{"description": "bbox is missing"}')
        with pytest.raises(StacError, match=r'refused the request with status 400 \("bbox is missing"\)'):
            list(found)


QUERIES = [
    LOW,
    '"eo:cloud_cover" >= 5',
    '"eo:cloud_cover" <> 5 AND "eo:cloud_cover" <> 6',
    "\"eo:cloud_cover\" IN (1, 2, NULL) OR platform NOT IN ('landsat-8')",
    "platform NOT IN ('landsat-8', NULL)",
    "NOT (platform = 'landsat-8' OR gsd = 10)",
    "NOT (platform = 'landsat-8' AND gsd = 10)",
    "platform IS NULL",
    "platform IS NOT NULL AND gsd IS NULL",
    "platform LIKE '%sat%'",
    "platform NOT LIKE '%8'",
    "platform LIKE 'Sentinel!_2A' ESCAPE '!'",
    "id = 's03' OR id IN ('s04')",
    "id > 's20'",
    "collection = 'demo' AND gsd = 10",
    "datetime >= TIMESTAMP '2024-01-03 12:00:00' AND datetime < DATE '2024-01-09'",
    "updated = TIMESTAMP '2024-02-02' OR updated > '2024-02-20'",
    "updated <= '2024-02-03T00:00:00Z'",
    "updated IN ('2024-02-03T00:00:00Z')",
    "\"eo:cloud_cover\" < '9'",
    '"eo:cloud_cover" < gsd',
    "gsd = NULL OR gsd = 10",
    "true AND gsd = 10",
    "1 = 0",
    '"no such" < 1',
    {"eo:cloud_cover": {"gt": 3, "lt": 9}, "properties.gsd": 10},
    {"platform": {"startsWith": "Sentinel_", "endsWith": "A", "contains": "2"}},
    {"platform": {"eq": None}},
    {"platform": {"neq": None}, "gsd": {"neq": 5}},
    {"updated": {"gte": dt.date(2024, 2, 20)}},
    '{"eo:cloud_cover": {"lt": 3}, "id": "s01"}',
]


@pytest.mark.parametrize("server", some([*SERVERS, "ignoring", "comparisons"], 5))
@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_the_same_scenes_whatever_the_server_knows(query, server):
    ignores, restricted = server == "ignoring", server == "comparisons"
    conforms = SERVERS.get(server, SERVERS["both"] if ignores else SERVERS["query"])
    with StacApiServer(
        ITEMS, conforms=conforms, faults=Faults(ignores=ignores), operators=COMPARISONS if restricted else None
    ) as api:
        assert search(api, query, page_size=50) == here(query)


def test_what_is_decided_here_is_what_was_meant():
    assert here("platform NOT IN ('landsat-8', NULL)") == []
    assert here("updated = TIMESTAMP '2024-02-02'") == ["s01"]
    assert here("\"eo:cloud_cover\" < '9'") == [f"s{n:02}" for n in range(9) if n != 6]
    assert here({"updated": {"gte": dt.date(2024, 2, 20)}}) == [f"s{n:02}" for n in range(19, 25)]


def test_max_items_counts_what_meets_the_query():
    with StacApiServer(ITEMS, conforms=SERVERS["neither"]) as api:
        assert search(api, "gsd = 10", max_items=3, page_size=3) == ["s01", "s03", "s05"]
        assert api.count("/search") == 2


def test_no_condition_sends_none():
    for query in (None, {}, "{}", {"max_items": 3}):
        assert search_parameters(StacSource("https://x", query=query).condition, Conformance(query=True), "POST") == [
            {}
        ]


@pytest.mark.parametrize(
    ("classes", "conformance"),
    [
        (None, Conformance(query=True)),
        ([], Conformance()),
        (SERVERS["both"], Conformance(query=True, cql2_json=True, cql2_text=True)),
        (SERVERS["advanced"], Conformance(False, True, True, True, True)),
        # Of other end points, or of older languages, which are not these.
        (["https://api.stacspec.org/v1.0.0/ogcapi-features#query", *FILTER[1:]], Conformance()),
        (["https://api.stacspec.org/v1.0.0-beta.5/item-search#filter", "...#filter:cql-json"], Conformance()),
    ],
)
def test_conformance(classes, conformance):
    assert Conformance.of({"conformsTo": list(classes)} if classes is not None else {}) == conformance


NAMES = st.sampled_from(['"eo:cloud_cover"', "platform", '"a \'b"', '"and"'])
TEXTS = st.text("ab%_'ä", max_size=4).map(lambda one: "'" + one.replace("'", "''") + "'")
TERMS = st.one_of(
    st.builds("{} {} {}".format, NAMES, st.sampled_from(["=", "<>", "<", ">="]), TEXTS | st.integers(-9, 9).map(str)),
    st.builds("{} IN ({})".format, NAMES, st.lists(TEXTS, min_size=1, max_size=3).map(", ".join)),
    st.builds("{} {} {}".format, NAMES, st.sampled_from(["LIKE", "NOT LIKE", "ILIKE"]), TEXTS),
    st.builds("{} IS NOT NULL".format, NAMES),
    st.builds("{} > TIMESTAMP '2024-01-01 12:00:00.5'".format, NAMES),
)
CONDITIONS = st.recursive(
    TERMS,
    lambda inner: st.lists(inner, min_size=2, max_size=3).map(lambda terms: f"({' OR '.join(terms)}) AND gsd = 1"),
)


@settings(max_examples=examples(25))
@given(CONDITIONS)
def test_both_forms_of_cql2_say_the_same_and_are_valid(condition):
    """Against the reference implementation, `cql2`."""
    tree = parse_condition(condition)
    document = to_json(tree)
    parsed = cql2.parse_json(json.dumps(document))
    parsed.validate()
    assert cql2.parse_text(to_text(tree)).to_json() == parsed.to_json()


def test_what_cql2_has_no_words_for_is_never_sent():
    tree = parse_query({"platform": {"contains": "x"}}).condition
    with pytest.raises(TypeError, match="no form in CQL2"):
        to_json(tree)
    with pytest.raises(TypeError, match="no form in CQL2"):
        to_text(conjunction([tree, tree]))
    assert search_parameters(tree, Conformance(cql2_json=True, advanced=True), "POST") == [{}]


def test_sql_has_one_identity_however_it_is_written():
    def identity(query):
        return StacSource("https://x/v1", query=query).identity()

    texts = ['a < 5 AND "b" IN (1)', "b IN (1)\n  AND 5 > a -- few", "properties.a < 5 and (b in (1))"]
    assert len({json.dumps(identity(text)) for text in texts}) == 1
    others = ["a < 5", "a <= 5 AND b IN (1)", "a < 5 OR b IN (1)", 'A < 5 AND "b" IN (1)', {"a": {"lt": 5}}, None]
    assert len({json.dumps(identity(query)) for query in [texts[0], *others]}) == len(others) + 1
    source = StacSource("https://x/v1", query=texts[1])
    assert source.query == '"b" IN (1) AND "a" < 5'
    assert source.conditions == source.query


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("{", "query is not JSON: .*expected an object such as"),
        ('{"a": 1', "query is not JSON"),
        ("[1]", r"\[1\]"),
        ("", "the condition is empty"),
        ("eo:cloud_cover < 5", 'a name with a colon stands in double quotes: "eo:'),
        ("a = 1; DROP TABLE x", "holds a ;"),
        (5, "query 5 has to be an object such as"),
        ({"a": {"eq": {"b": 1}}}, "has the value {'b': 1}; expected a text"),
        ({"a": {"startsWith": 1}}, '"startsWith" takes a text, not 1'),
        ('{"a": {"lt": {"b": 1}}}', "has the value"),
        ("[" * 100000, "nested too deep"),
    ],
)
def test_bad_queries_of_each_form(query, says):
    with pytest.raises(InvalidArgumentError, match=says):
        parse_query(query)


def test_static_catalogs_are_filtered_here(tree):
    found = [item["id"] for item in search_items(StacSource(str(tree), query='"eo:cloud_cover" BETWEEN 1 AND 50'))]
    assert found == ["a", "b", "d"]
