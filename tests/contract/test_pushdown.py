"""Filters and columns of a query reach the Parquet scan, on every way to a collection."""

from pathlib import Path

import pytest

import rasteret_sql

CATALOG = Path(__file__).resolve().parents[2] / "examples" / "data" / "catalog" / "catalog.json"


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pushdown")
    with rasteret_sql.connect(workspace_dir=folder / "ws") as connection:
        connection.execute(f"FROM rasteret_build_from_stac('ny', '{CATALOG}', 'landsat8-ny-2018')").fetchall()
        connection.execute(f"FROM rasteret_build_from_stac('one', '{CATALOG}', 'sentinel-s2-l2a-cogs')").fetchall()
        connection.execute("FROM rasteret_export('ny', $path)", {"path": str(folder / "export")}).fetchall()
        connection.execute(f"CREATE MACRO loaded() AS TABLE FROM rasteret_load('{folder / 'export'}')")
        yield connection


WAYS = {
    "view": "rasteret.ny",
    "build": f"rasteret_build_from_stac('ny', '{CATALOG}', 'landsat8-ny-2018')",
    "load": "loaded()",
}


def plan(con, query):
    return " ".join(con.execute(f"EXPLAIN {query}").fetchall()[0][1].split())


@pytest.mark.parametrize("way", WAYS)
def test_filters_are_in_the_scan(con, way):
    text = plan(con, f"SELECT id FROM {WAYS[way]} WHERE \"eo:cloud_cover\" < 20 AND datetime >= TIMESTAMP '2018-06-01'")
    assert "FILTER" not in text.replace("Filters", "").replace("FILTERS", "").upper().split(), text
    scan = text[text.upper().replace(" ", "_").find("READ_PARQUET") :]
    assert "eo:cloud_cover" in scan
    assert "Filters" in scan
    assert "datetime" in scan


@pytest.mark.parametrize("way", WAYS)
def test_columns_that_nobody_asks_for_are_not_read(con, way):
    text = plan(con, f"SELECT id FROM {WAYS[way]}")
    assert "assets" not in text
    assert "geometry" not in text
    assert "_header" not in text


def test_partitions_are_skipped(con):
    assert con.execute("SELECT count(*) FROM rasteret.ny WHERE month = 1").fetchone() == (2,)
    assert "month" in plan(con, "SELECT id FROM rasteret.ny WHERE month = 1")
