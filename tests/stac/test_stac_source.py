"""What a search takes: dates, bbox and query, and what it says when they are wrong."""

from __future__ import annotations

from datetime import date, datetime

import pytest
import shapely

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.geo.lonlat_boxes import api_boxes, parse_bbox
from rasteret_sql.scenes.dates import parse_date_range, parse_instant
from rasteret_sql.stac.query import matches, parse_query
from rasteret_sql.stac.search_request import StacSource


@pytest.mark.parametrize(
    ("given", "interval"),
    [
        (("2024-01-01", "2024-01-31"), "2024-01-01T00:00:00Z/2024-01-31T23:59:59.999999Z"),
        (["2024-01", "2024-02"], "2024-01-01T00:00:00Z/2024-02-29T23:59:59.999999Z"),
        (("2023", "2024"), "2023-01-01T00:00:00Z/2024-12-31T23:59:59.999999Z"),
        ("2024-01-01/2024-01-31", "2024-01-01T00:00:00Z/2024-01-31T23:59:59.999999Z"),
        ("2024-01-05", "2024-01-05T00:00:00Z/2024-01-05T23:59:59.999999Z"),
        (("2024-01-01T12:00:00+02:00", "2024-01-02T00:00:00Z"), "2024-01-01T10:00:00Z/2024-01-02T00:00:00Z"),
        ((date(2024, 1, 1), datetime(2024, 1, 2, 3)), "2024-01-01T00:00:00Z/2024-01-02T03:00:00Z"),
        (("2024-01-01", None), "2024-01-01T00:00:00Z/.."),
        (("..", "2024-01-01"), "../2024-01-01T23:59:59.999999Z"),
    ],
)
def test_date_range_includes_its_end(given, interval):
    assert parse_date_range(given).interval() == interval


@pytest.mark.parametrize("given", [None, (None, None), ("..", "..")])
def test_no_date_range(given):
    assert parse_date_range(given) is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("2024-13-01", "2024-12-31"), "'2024-13-01' is not an ISO date"),
        (("yesterday", "2024-12-31"), "'yesterday' is not an ISO date"),
        (("2024-02-01", "2024-01-01"), "starts after it ends"),
        (("2024-02-01",), r"\('2024-01-01', '2024-01-31'\)"),
        ((20240101, 20240201), "20240101 is not an ISO date"),
        (("2024-02-30", "2024-03-01"), "'2024-02-30' is not an ISO date"),
    ],
)
def test_bad_date_range(given, says):
    with pytest.raises(InvalidArgumentError, match=says):
        parse_date_range(given)


def test_instants_are_naive_utc():
    assert parse_instant("2020-02-19T11:34:25.405000123Z") == datetime(2020, 2, 19, 11, 34, 25, 405000)
    assert parse_instant("2020-02-19T11:34:25-05:00") == datetime(2020, 2, 19, 16, 34, 25)
    assert parse_instant("2020-02-19") == datetime(2020, 2, 19)


@pytest.mark.parametrize(
    ("given", "kept", "sent"),
    [
        ((11.3, 48.1, 11.5, 48.3), (11.3, 48.1, 11.5, 48.3), [[11.3, 48.1, 11.5, 48.3]]),
        ("[11, 48, 12, 49]", (11, 48, 12, 49), [[11, 48, 12, 49]]),
        ((11, 48, 0, 12, 49, 100), (11, 48, 12, 49), [[11, 48, 12, 49]]),
        ((170, -20, 190, -10), (170, -20, 190, -10), [[170, -20, 180, -10], [-180, -20, -170, -10]]),
        ((170, -20, -170, -10), (170, -20, 190, -10), [[170, -20, 180, -10], [-180, -20, -170, -10]]),
        ((-190, -20, -170, -10), (170, -20, 190, -10), [[170, -20, 180, -10], [-180, -20, -170, -10]]),
        ((190, -20, 200, -10), (190, -20, 200, -10), [[-170, -20, -160, -10]]),
        ((-180, -90, 180, 90), (-180, -90, 180, 90), [[-180, -90, 180, 90]]),
        ((-10, 1, 350, 2), (-10, 1, 350, 2), [[-180, 1, 180, 2]]),
    ],
)
def test_bbox(given, kept, sent):
    assert parse_bbox(given) == kept
    assert api_boxes(kept) == sent


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((1, 2, 3), "west, south, east, north"),
        ((1, 2, 3, "x"), "west, south, east, north"),
        ((1, 2, 3, float("nan")), "west, south, east, north"),
        ((12, 48, 11, 49), "west 12 not below its east 11"),
        ((10, 48, 10, 49), "west 10 not below its east 10"),
        ((11, 49, 12, 48), "south 49 not below its north 48"),
        ((600000, 4900000, 700000, 5000000), "outside lon/lat degrees"),
        ((0, 0, 400, 1), "outside lon/lat degrees"),
    ],
)
def test_bad_bbox(given, says):
    with pytest.raises(InvalidArgumentError, match=says):
        parse_bbox(given)


ITEM = {"id": "s1", "properties": {"eo:cloud_cover": 20, "platform": "landsat-8", "updated": "2024-01-02T00:00:00Z"}}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"eo:cloud_cover": {"lt": 20}}, False),
        ({"eo:cloud_cover": {"lte": 20}}, True),
        ({"eo:cloud_cover": {"gt": 10, "lt": 30}}, True),
        ({"eo:cloud_cover": {"neq": 20}}, False),
        ({"properties.eo:cloud_cover": {"ge": 20}}, True),
        ({"platform": "landsat-8"}, True),
        ({"platform": ["landsat-7", "landsat-8"]}, True),
        ({"platform": {"in": ["landsat-7"]}}, False),
        ({"platform": {"startsWith": "land", "endsWith": "8", "contains": "sat"}}, True),
        ({"platform": {"lt": 5}}, False),
        ({"updated": {"gte": "2024-01-02"}}, True),
        ({"updated": {"gt": "2024-01-02T00:00:00.5Z"}}, False),
        ({"missing": {"neq": 1}}, False),
        ({"missing": {"eq": None}}, True),
        ({"id": {"eq": "s1"}}, True),
        ('{"eo:cloud_cover": {"lt": 30}}', True),
    ],
)
def test_query_applied_here(query, found):
    assert matches(ITEM, parse_query(query).condition) is found


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"a": {"less": 1}}, 'no operator "less".*Known: eq, neq, lt'),
        ({"a": {"in": 1}}, '"in" takes a list'),
        ("{", "query is not JSON"),
        ([1], "has to be an object"),
        ({"max_items": 0}, "max_items"),
    ],
)
def test_bad_query(query, says):
    with pytest.raises(InvalidArgumentError, match=says):
        parse_query(query)


def test_source_is_checked_when_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = StacSource("a/../catalog.json", "", query={"max_items": 3, "gsd": 10})
    assert source.address == str(tmp_path / "catalog.json")
    assert (source.collection, source.max_items, source.conditions) == (None, 3, {"gsd": {"eq": 10}})
    with pytest.raises(InvalidArgumentError, match="STAC address"):
        StacSource("  ")


def test_equal_searches_have_one_identity():
    one = StacSource("https://x/v1", "c", (0, 0, 1, 1), ("2024-01-01", "2024-01-31"), {"b": 1, "a": {"lt": 1, "gt": 0}})
    two = StacSource("https://x/v1", "c", [0, 0, 1, 1], "2024-01", {"a": {"gt": 0, "lt": 1}, "b": {"eq": 1}})
    assert one.identity() == two.identity()
    assert one.identity() != StacSource("https://x/v1", "c", (0, 0, 1, 2), "2024-01").identity()


def test_headers_are_not_shown():
    assert "hunter2" not in repr(StacSource("https://x/v1", headers={"Authorization": "Bearer hunter2"}))


def test_the_end_of_the_calendar_is_a_date():
    assert parse_date_range(("2024-01-01", "9999-12-31")).end == datetime.max
    assert parse_date_range(("2024-01-01", "9999")).end == datetime.max
    assert parse_date_range(("2024-01-01", "9999-12")).end == datetime.max
    assert parse_instant("2024-01-01t00:00:00z") == datetime(2024, 1, 1)
    with pytest.raises(ValueError, match="calendar"):
        parse_instant("0001-01-01T00:00:00+14:00")


def test_a_shapely_geometry_is_a_bbox():
    assert parse_bbox(shapely.Polygon([(10, 45), (11, 45), (11, 47)])) == (10, 45, 11, 47)
    with pytest.raises(InvalidArgumentError, match="empty geometry"):
        parse_bbox(shapely.Polygon())
