"""The ends of a date_range mean the same for an API, a static catalog and a table."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

import rasteret_sql
from rasteret_sql.scenes.dates import parse_date_range
from rasteret_sql.stac.search_request import StacSource
from rasteret_sql.tables.table_source import TableSource
from tests.sampling import some
from tests.servers.stac_api import StacApiServer, load_catalog
from tests.stac.stac_items import make_item

CATALOG = Path(__file__).resolve().parents[2] / "examples" / "data" / "catalog" / "catalog.json"
TIMES = {
    "december": "2023-12-31T23:59:59.735Z",
    "new year": "2024-01-01T00:00:00Z",
    "noon": "2024-05-31T12:00:00Z",
    "past noon": "2024-05-31T12:00:00.250Z",
    "end of may": "2024-05-31T23:59:59.735Z",
    "very end of may": "2024-05-31T23:59:59.999999Z",
    "june": "2024-06-01T00:00:00.000Z",
    "end of 2024": "2024-12-31T23:59:59.735Z",
    "2025": "2025-01-01T00:00:00Z",
}
MAY = ["noon", "past noon", "end of may", "very end of may"]
YEAR = ["new year", *MAY, "june", "end of 2024"]
ENDS = [
    (("2024", "2024"), YEAR),
    (("2024-05", "2024-05"), MAY),
    (("2024-05-31", "2024-05-31"), MAY),
    ("2024-05-31", MAY),
    ((date(2024, 5, 31), date(2024, 5, 31)), MAY),
    (("2024-05-31", datetime(2024, 5, 31, 12)), ["noon"]),
    (("2024-05-31", "2024-05-31T12:00Z"), ["noon"]),
    (("2024-05-31", "2024-05-31T14:00+02:00"), ["noon"]),
    (("2024-05-31", "2024-05-31T12:00:00.25Z"), ["noon", "past noon"]),
    (("2024-05-31T12:00:00.1Z", "2024-05-31T23:59:59.9Z"), ["past noon", "end of may"]),
    (("2024-06", None), ["june", "end of 2024", "2025"]),
    (("..", "2024-05"), ["december", "new year", *MAY]),
    (("2024-12", "9999-12-31"), ["end of 2024", "2025"]),
]


def items():
    return [make_item(name, at, collection="demo") for name, at in TIMES.items()]


def from_api(given, write):
    with StacApiServer(items()) as api, rasteret_sql.connect() as con:
        rows = con.execute("SELECT id FROM rasteret_stac_search($1, date_range := $2)", [api.url, texts(given)])
        return [name for (name,) in rows.fetchall()]


def from_catalog(given, write):
    path = write("items.json", {"type": "FeatureCollection", "features": items()})
    with rasteret_sql.connect() as con:
        rows = con.execute("SELECT id FROM rasteret_stac_search($1, date_range := $2)", [str(path), texts(given)])
        return [name for (name,) in rows.fetchall()]


def from_table(given, write):
    columns = {
        "id": list(TIMES),
        "datetime": [datetime.fromisoformat(at).replace(tzinfo=None) for at in TIMES.values()],
        "bbox": [[0.0, 0.0, 1.0, 1.0]] * len(TIMES),
        "assets": [{"data": {"href": f"/{n}.tif"}} for n in range(len(TIMES))],
    }
    found = TableSource(pa.table(columns), date_range=given).find(lambda *_: None, None)
    return [scene.id for scene in found.scenes]


def texts(given):
    if isinstance(given, str):
        return [given, given]
    return [str(end).replace(" ", "T") if end is not None else None for end in given]


@pytest.mark.parametrize("find", some([from_api, from_catalog, from_table], 9))
@pytest.mark.parametrize(("given", "found"), some(ENDS, 3), ids=str)
def test_each_way_to_write_an_end_has_one_meaning(find, given, found, write):
    assert find(given, write) == found


def test_a_server_is_asked_for_whole_seconds_outwards():
    dates = parse_date_range(("2024-05-31T12:00:00.1Z", "2024-05-31"))
    assert dates.interval() == "2024-05-31T12:00:00.100000Z/2024-05-31T23:59:59.999999Z"
    assert dates.whole_seconds().interval() == "2024-05-31T12:00:00Z/2024-06-01T00:00:00Z"
    assert parse_date_range((None, "9999")).whole_seconds().interval() == "../9999-12-31T23:59:59Z"


def test_searches_a_fraction_of_a_second_apart_are_two():
    given = [("2024-05-31", "2024-05-31T12:00:00Z"), ("2024-05-31", "2024-05-31T12:00:00.5Z")]
    one, two = (StacSource("https://x/v1", date_range=dates).identity() for dates in given)
    assert one != two


def test_a_refresh_asks_for_the_last_second_again(tmp_path):
    items, collections = load_catalog(CATALOG)
    last = next(item for item in items if item["collection"] == "naip")
    last["properties"] |= {"datetime": "2024-05-31T23:59:59.735Z"}
    with StacApiServer([last], collections) as api:
        built = rasteret_sql.build_from_stac(
            name="n",
            stac_api=api.url,
            collection="naip",
            date_range=("2024-05-31", "2024-05-31"),
            workspace_dir=tmp_path,
        )
        with rasteret_sql.connect(workspace_dir=tmp_path) as con:
            done = con.execute("SELECT checked, changed, added, gone FROM rasteret_refresh('n')").fetchall()
    assert (len(built), done) == (1, [(1, 0, 0, 0)])
