"""Times of scenes are instants: compared with instants they are right in whichever time zone a connection is."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import rasteret_sql
from tests.sampling import some

CATALOG = Path(__file__).resolve().parents[2] / "examples" / "data" / "catalog" / "catalog.json"
ITEM = next(
    path
    for path in sorted((CATALOG.parent / "landsat8-ny-2018").rglob("*.json"))
    if json.loads(path.read_text()).get("type") == "Feature"
)
HOURS = (1, 8, 16, 23, 25, 40)
"""Ages of the scenes."""
ZONES = ("Asia/Tokyo", "America/Los_Angeles", "UTC")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """Scenes of the last two days: one file of items over one image."""
    item = json.loads(ITEM.read_text())
    for asset in item["assets"].values():
        asset["href"] = str((ITEM.parent / asset["href"]).resolve())
    now = datetime.now(UTC)
    items = []
    for hours in HOURS:
        at = (now - timedelta(hours=hours)).isoformat()
        items.append({**item, "id": f"h{hours}", "properties": {**item["properties"], "datetime": at, "updated": at}})
    path = tmp_path_factory.mktemp("recent") / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


@pytest.fixture(scope="module")
def con(catalog):
    with rasteret_sql.connect(workspace_dir=catalog.parent / "ws") as connection:
        connection.execute("FROM rasteret_build_from_stac('recent', $path)", {"path": str(catalog)}).fetchall()
        connection.execute("FROM rasteret_export('recent', $path)", {"path": str(catalog.parent / "export")}).fetchall()
        yield connection


@pytest.fixture
def zoned(con, request):
    con.execute(f"SET TimeZone = '{request.param}'")
    yield con
    con.execute("SET TimeZone = 'UTC'")


WAYS = {
    "view": "rasteret.recent",
    "build": "rasteret_build_from_stac('recent', '{catalog}')",
    "load": "rasteret_load('{folder}/export', name := 'loaded')",
    "scenes": "rasteret_scenes('recent', 'POLYGON ((-180 -90, 180 -90, 180 90, -180 90, -180 -90))')",
    "search": "rasteret_stac_search('{catalog}')",
}


@pytest.mark.parametrize("zoned", some(ZONES, 3), indirect=True)
@pytest.mark.parametrize("way", WAYS)
def test_scenes_of_the_last_day(zoned, catalog, way):
    source = WAYS[way].format(catalog=catalog, folder=catalog.parent)
    rows = zoned.execute(f"SELECT id FROM {source} WHERE datetime > now() - INTERVAL 24 HOURS").fetchall()
    assert {one for (one,) in rows} == {"h1", "h8", "h16", "h23"}


@pytest.mark.parametrize("zoned", ZONES, indirect=True)
def test_other_times_of_items_too(zoned):
    query = "SELECT count(*) FROM rasteret.recent WHERE updated > now() - INTERVAL 24 HOURS AND updated = datetime"
    assert zoned.execute(query).fetchone() == (4,)
    assert zoned.execute("SELECT count(*) FROM rasteret_collections() WHERE created <= now()").fetchone()[0] > 0


RELATIONS = {
    "zonal_stats_table": "zonal_stats_table(scenes, places, 1, stats := ['count'])",
    "sample_points": "sample_points(scenes, corners, 1)",
    "read_chips": "read_chips(scenes, places, 1)",
}


@pytest.mark.parametrize("kind", ["TIMESTAMP", "TIMESTAMP_NS", "VARCHAR", "TIMESTAMPTZ"])
@pytest.mark.parametrize("call", RELATIONS)
@pytest.mark.parametrize("zoned", ["Asia/Tokyo"], indirect=True)
def test_scenes_of_a_relation_with_naive_times(zoned, call, kind):
    """UTC, as everywhere: tables that dbt wrote and the files of an export have such times."""
    at = "datetime" if kind == "TIMESTAMPTZ" else f"CAST(timezone('UTC', datetime) AS {kind})"
    query = f"""WITH scenes AS (SELECT id, {at} AS datetime FROM rasteret.recent),
        places AS (SELECT 'POLYGON ((-80 35, -70 35, -70 45, -80 45, -80 35))' AS geometry),
        corners AS (
          SELECT format('SRID={{}};POINT ({{}} {{}})', chip.crs[6:], chip.transform[3], chip.transform[6]) AS wkt
          FROM (SELECT read_chip('h1', 1) AS chip)
        )
        SELECT count(*), any_value(typeof(datetime)) FROM {RELATIONS[call]}
        WHERE datetime > now() - INTERVAL 24 HOURS"""
    assert zoned.execute(query).fetchone() == (4, "TIMESTAMP WITH TIME ZONE")


@pytest.mark.exhaustive
@pytest.mark.parametrize("zone", some(["Asia/Tokyo", "America/Los_Angeles"], 2))
def test_on_a_machine_of_another_zone(catalog, zone):
    """The zone of the process, for connections of ours and of a user."""
    code = f"""
import duckdb, rasteret_sql
for make in (rasteret_sql.connect, lambda **named: rasteret_sql.install(duckdb.connect(), **named)):
    con = make(workspace_dir={str(catalog.parent / "ws")!r})
    query = "FROM rasteret.recent SELECT count(*) WHERE datetime > now() - INTERVAL 24 HOURS"
    print(con.execute(query).fetchone()[0], con.execute("SELECT current_setting('TimeZone')").fetchone()[0])
    collection = rasteret_sql.load({str(catalog.parent / "export")!r})
    print(len(collection.where("datetime > now() - INTERVAL 24 HOURS")))
    print(collection.sql(query.replace("rasteret.recent", "scenes")).fetchall()[0][0])
"""
    environment = {"TZ": zone, "PATH": "/usr/bin", "HOME": str(catalog.parent), "PYTHONPATH": ":".join(sys.path)}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert out.stdout.split() == ["4", "UTC", "4", "4", "4", zone, "4", "4"]


def test_days_are_those_of_utc_unless_a_zone_is_asked_for(con):
    day = con.execute("SELECT bool_and(datetime::DATE = make_date(year, month, day(datetime))) FROM rasteret.recent")
    assert day.fetchone() == (True,)
    instants = con.execute("SELECT datetime FROM rasteret.recent").fetchall()
    assert all(at.utcoffset() == timedelta(0) for (at,) in instants)
    assert con.sql("SELECT datetime FROM rasteret.recent").to_arrow_table().schema.types == [pa.timestamp("us", "UTC")]


@pytest.mark.parametrize("at", ["TIMESTAMPTZ '2018-06-01 00:00:00+00'", "TIMESTAMP '2018-06-01'", "now()"])
def test_conditions_on_time_are_in_the_scan(con, at):
    text = " ".join(
        con.execute(f"EXPLAIN SELECT id FROM rasteret.recent WHERE datetime > {at}").fetchall()[0][1].split()
    )
    assert "filter" not in text.lower().replace("filters", ""), text


def test_files_keep_naive_utc(con, catalog):
    files = [*(catalog.parent / "ws").rglob("*.parquet"), *(catalog.parent / "export").rglob("*.parquet")]
    kinds = [pq.read_schema(file).field("datetime").type for file in files if "datetime" in pq.read_schema(file).names]
    assert len(kinds) > 1
    assert set(kinds) == {pa.timestamp("us")}
    rows = pads.dataset(catalog.parent / "export").to_table(columns=["id", "datetime"]).to_pylist()
    ages = {row["id"]: datetime.now(UTC) - row["datetime"].replace(tzinfo=UTC) for row in rows}
    assert {f"h{hours}" for hours in HOURS} == set(ages)
    assert all(timedelta(0) <= ages[f"h{hours}"] - timedelta(hours=hours) < timedelta(hours=1) for hours in HOURS)


def test_times_of_a_user_s_table_are_left_as_they_are(con):
    """Only times that STAC defines are known to be UTC."""
    columns = "id, datetime, geometry, assets, TIMESTAMP '2024-01-01' AS overpass"
    con.execute(f"CREATE OR REPLACE TABLE mine AS SELECT {columns} FROM rasteret.recent")
    con.execute("FROM rasteret_build_from_table('mine', name := 'mine')").fetchall()
    kinds = {name: kind for name, kind, *_ in con.execute("DESCRIBE rasteret.mine").fetchall()}
    assert (kinds["datetime"], kinds["overpass"]) == ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP")
    same = "SELECT bool_and(a.datetime = b.datetime) FROM rasteret.mine a JOIN rasteret.recent b USING (id)"
    assert con.execute(same).fetchone() == (True,)
