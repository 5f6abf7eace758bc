"""A real STAC API on PostgreSQL: searched, paged, filtered, and built from. E1, E5, E7 to E9 and C17 against it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rasteret_sql
from rasteret_sql.errors import StacError
from rasteret_sql.stac.search_request import StacSource
from tests.servers.pgstac import PgStac, pgstac
from tests.servers.range_server import RangeServer
from tests.stac.stac_items import search_items

__all__ = ["pgstac"]


FIXTURES = Path(__file__).parent / "fixtures" / "pgstac"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "data" / "catalog"
ITEMS = [json.loads(line) for line in (FIXTURES / "items.ndjson").read_text("utf-8").splitlines()]
NAME = "pgstac-test-collection"


@pytest.fixture(scope="module")
def recorded(pgstac: PgStac) -> str:
    """Address of the API with the hundred recorded items."""
    collections = [json.loads(line) for line in (FIXTURES / "collections.ndjson").read_text("utf-8").splitlines()]
    # Recorded before STAC 1.0, which made `type` mandatory; without it the API does not show them.
    pgstac.load("collections", [collection | {"type": "Collection"} for collection in collections])
    pgstac.load("items", ITEMS)
    return pgstac.url


def ids(source: StacSource) -> list[str]:
    return sorted(item["id"] for item in search_items(source))


def expected(keep) -> list[str]:
    return sorted(item["id"] for item in ITEMS if keep(item))


@pytest.mark.parametrize("size", [1, 7, 50, 100, 1000])
def test_pages_of_any_size_give_all_items_once(recorded, size):
    wanted = expected(lambda item: True)[:20] if size == 1 else expected(lambda item: True)
    source = StacSource(recorded, NAME, page_size=size, max_items=20 if size == 1 else None)
    found = ids(source)
    assert len(found) == len(set(found)) == len(wanted)
    assert set(found) <= set(expected(lambda item: True))


def test_bbox_and_dates(recorded):
    west, south, east, north = -87.5, 30.5, -87.0, 31.0
    box = (west, south, east, north)

    def meets(item):
        one = item["bbox"]
        return one[0] <= east and one[2] >= west and one[1] <= north and one[3] >= south

    found = ids(StacSource(recorded, NAME, bbox=box, date_range=("2011-08-16", "2011-08-17")))
    dated = expected(lambda item: item["properties"]["datetime"][:10] in ("2011-08-16", "2011-08-17") and meets(item))
    assert found
    assert found == dated


@pytest.mark.parametrize(
    ("query", "keep"),
    [
        ({"eo:cloud_cover": {"lt": 20}}, lambda cloud: cloud < 20),
        ('"eo:cloud_cover" < 20', lambda cloud: cloud < 20),
        ('"eo:cloud_cover" BETWEEN 10 AND 30', lambda cloud: 10 <= cloud <= 30),
        ('"eo:cloud_cover" < 5 OR "eo:cloud_cover" > 95', lambda cloud: cloud < 5 or cloud > 95),
        ('NOT "eo:cloud_cover" IN (3, 28)', lambda cloud: cloud not in (3, 28)),
        ({"eo:cloud_cover": {"in": [3, 28]}}, lambda cloud: cloud in (3, 28)),
    ],
)
def test_conditions_in_every_form(recorded, query, keep):
    found = ids(StacSource(recorded, NAME, query=query))
    assert 0 < len(found) < len(ITEMS)
    assert found == expected(lambda item: keep(item["properties"]["eo:cloud_cover"]))


def test_what_is_not_there(recorded):
    assert ids(StacSource(recorded, NAME, bbox=(0, 0, 1, 1), max_items=5)) == []
    with pytest.raises(StacError, match='has no collection "nope"'):
        rasteret_sql.build_from_stac(name="none", stac_api=recorded, collection="nope")


def test_the_items_as_lazy_rows(recorded):
    with rasteret_sql.connect() as con:
        query = "SELECT count(*), strftime(min(datetime), '%Y'), bool_and(geometry IS NOT NULL)"
        assert con.execute(
            f"{query} FROM rasteret_stac_search($api, $name)", {"api": recorded, "name": NAME}
        ).fetchone() == (100, "2011", True)
        few = con.execute("SELECT id FROM rasteret_stac_search($api, $name) LIMIT 3", {"api": recorded, "name": NAME})
        assert len(few.fetchall()) == 3


@pytest.fixture
def landsat(pgstac: PgStac):
    """The example scenes, in the database with addresses of a web server that has their files."""
    source = EXAMPLES / "landsat8-ny-2018"
    data = EXAMPLES.parent
    collection = json.loads((source / "collection.json").read_text("utf-8"))
    with RangeServer(data) as server:
        items = []
        for file in sorted(source.rglob("*.json")):
            if file.name == "collection.json":
                continue
            item = json.loads(file.read_text("utf-8"))
            for asset in item["assets"].values():
                asset["href"] = f"{server.url}/{(file.parent / asset['href']).resolve().relative_to(data.resolve())}"
            item["links"] = []
            items.append(item)
        pgstac.load("collections", [collection | {"links": []}])
        pgstac.load("items", items)
        yield pgstac.url, server, items


def test_a_collection_is_built_from_it_in_python_and_in_sql(landsat, tmp_path):
    url, server, items = landsat
    clear = [item["id"] for item in items if item["properties"]["eo:cloud_cover"] < 20]
    built = rasteret_sql.build_from_stac(
        name="ny", stac_api=url, collection="landsat8-ny-2018", query={"eo:cloud_cover": {"lt": 20}},
        workspace_dir=tmp_path / "ws",
    )  # fmt: skip
    assert sorted(built.to_table(["id"])["id"].to_pylist()) == sorted(clear)
    assert server.counts()["requests"] == len(clear) * 8
    means = "SELECT id, zonal_stats(id, 'nir08', geometry).mean FROM {} ORDER BY id"
    expected_means = rasteret_sql.build_from_stac(
        name="files", stac_api=EXAMPLES / "catalog.json", collection="landsat8-ny-2018", workspace_dir=tmp_path / "ws",
        query={"eo:cloud_cover": {"lt": 20}},
    ).sql(means.format("scenes")).fetchall()  # fmt: skip
    assert built.sql(means.format("scenes")).fetchall() == expected_means
    with rasteret_sql.connect(workspace_dir=tmp_path / "sql") as con:
        con.execute(
            "FROM rasteret_build_from_stac('ny', $api, 'landsat8-ny-2018', query := '\"eo:cloud_cover\" < 20', "
            "date_range := ['2018-01-01', '2018-06-30'])",
            {"api": url},
        ).fetchall()
        con.execute("FROM rasteret_append('ny', date_range := ['2018-07-01', '2018-12-31'])").fetchall()
        assert con.execute(means.format("rasteret.ny")).fetchall() == expected_means
