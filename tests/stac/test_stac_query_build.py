"""`query` of builds over a STAC API, in SQL and in Python, in each of its forms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rasteret_sql
from rasteret_sql.errors import InvalidArgumentError
from tests.sampling import some
from tests.servers.stac_api import FILTER, ITEM_SEARCH, QUERY, StacApiServer, load_catalog

CATALOG = Path(__file__).resolve().parents[2] / "examples" / "data" / "catalog" / "catalog.json"
LANDSAT = "landsat8-ny-2018"
CLEAR = ["LC08_L1TP_013032_20180131_20180207_01_T1", "LC08_L1TP_013032_20180710_20180717_01_T1"]
TEXT = "\"eo:cloud_cover\" < 5 AND platform IN ('landsat-8')"
OBJECT = {"eo:cloud_cover": {"lt": 5}, "platform": ["landsat-8"]}


@pytest.fixture(scope="module")
def archive():
    return load_catalog(CATALOG)


def searches(api):
    return [one.parameters for one in api.seen if one.path == "/search"]


@pytest.mark.parametrize("query", some([TEXT, OBJECT, json.dumps(OBJECT)], 3), ids=["sql", "object", "json"])
@pytest.mark.parametrize("conforms", [(QUERY,), FILTER, ()], ids=["query", "filter", "neither"])
def test_c17_e5_e8_build_from_stac_sends_the_query(tmp_path, archive, conforms, query):
    with StacApiServer(*archive, conforms=(ITEM_SEARCH, *conforms)) as api:
        kwargs = {"name": "clear", "stac_api": api.url, "collection": LANDSAT, "query": query}
        kwargs["workspace_dir"] = tmp_path
        found = rasteret_sql.build_from_stac(**kwargs)
        assert sorted(row[0] for row in found.sql("SELECT id FROM scenes").fetchall()) == CLEAR
        sent = searches(api)[0]
        if conforms == (QUERY,):
            assert sent["query"] == {"eo:cloud_cover": {"lt": 5}, "platform": {"in": ["landsat-8"]}}
        else:
            assert ("filter" in sent, "query" in sent) == (conforms == FILTER, False)
        api.reset()
        assert len(rasteret_sql.build_from_stac(**kwargs)) == 2
        assert api.seen == []  # cached: the same query is the same collection


def test_c17_e7_build_sends_dates_and_query(tmp_path, archive):
    """E7: the end day is included."""
    with StacApiServer(*archive) as api:
        found = rasteret_sql.build(
            "earthsearch/naip",
            name="naip",
            stac_api=api.url,
            bbox=(-130, 20, -60, 50),
            date_range=("2011-01-01", "2020-09-02"),
            query="\"proj:epsg\" <> 26911 AND id LIKE 'm%'",
            workspace_dir=tmp_path,
        )
        assert len(found) == 2
        assert searches(api)[0]["datetime"] == "2011-01-01T00:00:00Z/2020-09-03T00:00:00Z"
        assert searches(api)[0]["query"] == {"proj:epsg": {"neq": 26911}}  # ids are no properties: tested here


def test_c17_the_same_in_sql(tmp_path, archive):
    con = rasteret_sql.connect(workspace_dir=tmp_path)
    with StacApiServer(*archive, conforms=(ITEM_SEARCH, *FILTER)) as api:
        build = "SELECT id FROM rasteret_build_from_stac('clear', ?, ?, query := {}) ORDER BY id"
        for query in ("?", "json(?)"):
            given = TEXT if query == "?" else json.dumps(OBJECT)
            rows = con.execute(build.format(query), [api.url, LANDSAT, given]).fetchall()
            assert [row[0] for row in rows] == CLEAR
            assert searches(api)[-1]["filter-lang"] == "cql2-json"
        api.reset()
        con.execute(
            build.format("?"), [api.url, LANDSAT, "platform IN ('landsat-8') AND 5 > properties.\"eo:cloud_cover\""]
        )
        assert api.seen == []
    con.close()


def test_a_query_that_is_no_condition_asks_nothing(tmp_path, archive):
    with StacApiServer(*archive) as api:
        with pytest.raises(InvalidArgumentError, match=r"cloud\(x\)|CLOUD\(x\)"):
            rasteret_sql.build_from_stac(
                name="x", stac_api=api.url, collection=LANDSAT, query="cloud(x) < 5", workspace_dir=tmp_path
            )
        assert api.seen == []
