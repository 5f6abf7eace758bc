"""rasteret_stac_search: lazy, complete, resumable, and nothing is kept of a search that nobody reads on."""

import json
import signal
import threading

import duckdb
import pytest

import rasteret_sql
from rasteret_sql.library.stac_search import SEARCHES, Searches, item_row, search_source
from tests.sampling import some
from tests.servers.stac_api import StacApiServer


def item(number):
    lon = number % 170
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"item-{number:04}",
        "collection": "many",
        "geometry": {"type": "Point", "coordinates": [lon, 10]},
        "bbox": [lon, 10, lon, 10],
        "properties": {"datetime": "2024-01-01T00:00:00Z", "n": number},
        "assets": {"red": {"href": "red.tif"}},
        "links": [],
    }


@pytest.fixture
def api():
    with StacApiServer([item(number) for number in range(450)]) as server:
        yield server


@pytest.fixture
def con(tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path) as connection:
        yield connection


def searches(api):
    return api.count("/search")


@pytest.mark.parametrize(
    ("statement", "expected"),
    some(
        [
            ("FROM rasteret_stac_search($1, 'many') LIMIT 5", (5, 1)),
            ("SELECT id FROM rasteret_stac_search($1) LIMIT 150", (150, 2)),
            ("SELECT id FROM rasteret_stac_search($1, page_size := 1) LIMIT 3", (3, 3)),
            ("SELECT id FROM rasteret_stac_search($1) WHERE id >= 'item-0250' LIMIT 5", (5, 3)),
            ("SELECT EXISTS (FROM rasteret_stac_search($1))", (1, 1)),
            ("SELECT id FROM rasteret_stac_search($1)", (450, 5)),
            ("SELECT id FROM rasteret_stac_search($1, page_size := 200)", (450, 3)),
            ("SELECT id FROM rasteret_stac_search($1, query := '\"n\" < 7')", (7, 1)),
            ("EXPLAIN FROM rasteret_stac_search($1)", (None, 0)),
            ("DESCRIBE FROM rasteret_stac_search($1)", (None, 0)),
        ],
        99,
    ),
)
@pytest.mark.parametrize("threads", some([4, 1], 2))
def test_pages_are_asked_for_as_rows_are_used(api, con, statement, expected, threads):
    rows, requests = expected
    if "query" in statement:
        api.conforms = tuple({*api.conforms, "https://api.stacspec.org/v1.0.0/item-search#query"})
    con.execute(f"SET threads = {threads}")
    found = con.execute(statement, [api.url]).fetchall()
    assert rows is None or len(found) == rows == len({row[0] for row in found})
    assert searches(api) == requests


@pytest.mark.exhaustive
def test_relations_prepared_statements_and_cursors_search_anew_each_time(api, con):
    relation = con.sql(f"FROM rasteret_stac_search('{api.url}')")
    assert api.count() == 0
    assert len(relation.limit(3).fetchall()) == 3
    assert searches(api) == 1
    con.execute("PREPARE s AS SELECT count(*) FROM rasteret_stac_search($1)")
    assert [con.execute(f"EXECUTE s('{api.url}')").fetchall() for _ in range(2)] == [[(450,)]] * 2
    other = con.cursor()
    query = "SELECT count(*) FROM rasteret.rasteret_stac_search($1)"
    assert other.execute(query, [api.url]).fetchall() == [(450,)]


@pytest.mark.exhaustive
def test_an_installed_connection_searches(api):
    with duckdb.connect() as plain:
        rasteret_sql.install(plain)
        assert plain.execute("SELECT count(*) FROM rasteret_stac_search($1)", [api.url]).fetchall() == [(450,)]


@pytest.mark.exhaustive
def test_a_full_scan_leaves_nothing_and_unread_ones_are_few(api, con):
    before = len(SEARCHES)
    con.execute("FROM rasteret_stac_search($1)", [api.url]).fetchall()
    assert len(SEARCHES) == before
    for _ in range(40):
        con.execute("FROM rasteret_stac_search($1) LIMIT 1", [api.url]).fetchall()
    assert len(SEARCHES) <= 32


def test_a_search_that_was_let_go_begins_again_where_it_was(api):
    source = search_source({"stac_api": api.url})
    kept = Searches(kept=1)
    first = kept.page(source, None, 0, lambda: False)
    other = kept.page(source, None, 0, lambda: False)
    assert len(kept) == 1
    pages = [kept.page(source, first["token"], number, lambda: False) for number in range(1, 6)]
    ids = [one["id"] for page in [first, *pages] for one in page["items"]]
    assert ids == [f"item-{number:04}" for number in range(450)]
    assert [page["done"] for page in pages] == [False] * 4 + [True]
    assert kept.page(source, other["token"], 1, lambda: False)["items"][0]["id"] == "item-0100"


def test_an_error_on_a_later_page_is_told_only_to_whom_reads_so_far(api, con):
    api.faults.stop_after = 2
    query = "SELECT id FROM rasteret_stac_search($1)"
    assert len(con.execute(query + " LIMIT 50", [api.url]).fetchall()) == 50
    with pytest.raises(duckdb.Error, match="450 items match but gave 200") as raised:
        con.execute(query, [api.url]).fetchall()
    assert str(raised.value).count("rasteret_stac_search:") == 1


def test_ctrl_c_ends_a_search_that_waits_for_the_server(api, con):
    api.faults.stall = True
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.5, signal.raise_signal, [signal.SIGINT]).start()
    try:
        # DuckDB's own words, ours, or Python's: whoever sees it first
        with pytest.raises((duckdb.Error, RuntimeError, KeyboardInterrupt), match=r"(?i)interrupt|^$"):
            con.execute("FROM rasteret_stac_search($1)", [api.url]).fetchall()
    finally:
        signal.signal(signal.SIGINT, before)
    assert api.faults.stall, "it ended while the server still said nothing"
    api.faults.stall = False
    assert len(con.execute("FROM rasteret_stac_search($1) LIMIT 5", [api.url]).fetchall()) == 5


def test_a_static_catalog_is_read_no_further_than_asked(con, tmp_path):
    links = []
    for number in range(300):
        (tmp_path / f"{number}.json").write_text(json.dumps(item(number)) if number < 60 else "broken")
        links.append({"rel": "item", "href": f"{number}.json"})
    root = {"type": "Catalog", "id": "c", "stac_version": "1.0.0", "description": "", "links": links}
    (tmp_path / "catalog.json").write_text(json.dumps(root))
    path = str(tmp_path / "catalog.json")
    assert len(con.execute("FROM rasteret_stac_search($1) LIMIT 5", [path]).fetchall()) == 5
    with pytest.raises(duckdb.Error, match=r"60\.json"):
        con.execute("FROM rasteret_stac_search($1)", [path]).fetchall()


def test_what_is_malformed_in_an_item_is_null():
    odd = {**item(1), "geometry": {"type": "Point"}, "bbox": [1], "stac_version": 1, "assets": {"a": float("nan")}}
    odd["properties"] = {"datetime": "yesterday", "deep": [{"n": float("inf")}]}
    row = item_row(odd)
    assert [row[name] for name in ("datetime", "geometry", "bbox", "stac_version")] == [None] * 4
    assert json.loads(row["assets"]) == {"a": None}
    assert json.loads(row["properties"])["deep"] == [{"n": None}]
