"""Collections as SQL views: there from the first statement, typed, and good for tables, joins and increments."""

from __future__ import annotations

import duckdb
import pytest

import rasteret_sql as rasteret
from tests.promises.conftest import area

BAY = (-122.5, 37.5, -122.0, 38.0)


@pytest.fixture
def bay(site, home):
    return rasteret.build_from_stac(
        name="bay",
        stac_api=site.url,
        collection="sentinel-2-l2a",
        bbox=BAY,
        date_range=("2024-01-01", "2024-03-31"),
        workspace_dir=home,
    )


def test_a_cached_collection_is_there_from_the_first_statement_and_typed(bay, home):
    with rasteret.connect(workspace_dir=home) as con:
        assert con.execute("SELECT count(*) FROM rasteret.bay").fetchone() == (2,)
        types = {row[0]: row[1] for row in con.execute("DESCRIBE rasteret.bay").fetchall()}
    assert types["geometry"].startswith("GEOMETRY")
    assert types["bbox"].startswith("STRUCT")
    assert types["datetime"].startswith("TIMESTAMP")
    assert types["eo:cloud_cover"] == "DOUBLE"
    assert types["year"] in ("BIGINT", "INTEGER")


def test_tables_joins_and_increments_see_what_was_appended_here_and_in_other_connections(bay, site, home):
    increment = "INSERT INTO t SELECT id, datetime FROM rasteret.bay WHERE datetime > (SELECT max(datetime) FROM t)"
    with rasteret.connect(workspace_dir=home) as con, rasteret.connect(workspace_dir=home) as other:
        assert other.execute("SELECT count(*) FROM rasteret.bay").fetchone() == (2,)
        con.execute("CREATE TABLE t AS SELECT id, datetime FROM rasteret.bay")
        assert con.execute("SELECT count(*) FROM t JOIN rasteret.bay USING (id)").fetchone() == (2,)
        assert con.execute(increment).fetchone() == (0,)
        added = con.execute(
            "SELECT added FROM rasteret_append('bay', date_range := ['2024-06-01', '2024-06-30'])"
        ).fetchone()
        assert added == (1,)
        assert con.execute(increment).fetchone() == (1,)
        assert other.execute("SELECT count(*) FROM rasteret.bay").fetchone() == (3,)
        assert con.execute("SELECT max_by(id, datetime) FROM t").fetchone() == ("sf-jun",)


def test_footprints_that_meet_an_area(bay, home):
    west, south, east, north = area("sf-jan")
    corner = f"POLYGON (({west} {south}, {east} {south}, {east} {north}, {west} {south}))"
    with rasteret.connect(workspace_dir=home) as con:
        assert con.execute(f"SELECT count(*) FROM rasteret_scenes('bay', '{corner}')").fetchone() == (2,)
        assert con.execute("SELECT count(*) FROM rasteret_scenes('bay', 'POINT (0 0)')").fetchone() == (0,)
        with pytest.raises(duckdb.Error, match="nope"):
            con.execute("SELECT * FROM rasteret_scenes('nope', 'POINT (0 0)')").fetchall()
