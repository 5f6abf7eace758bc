"""Collections of tables grow and are brought up to date from the table that they were built of."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import rasteret_sql
from rasteret_sql.tables.assets import BandChoice, KnownBands
from rasteret_sql.tables.columns import Mapped
from rasteret_sql.tables.remembered_table import table_again
from rasteret_sql.tables.table_source import TableSource
from tests.tables.conftest import AEF, AEF_MAP, find, scenes

MAPS = "column_map := {'fid': 'id', 'geom': 'geometry', 'year': 'datetime'}, href_column := 'path'"


@pytest.fixture
def con(tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        yield connection


def index_of(tmp_path, rows):
    table = pq.read_table(AEF / "aef_index.parquet")
    paths = pa.array([str(AEF / path) for path in table.column("path").to_pylist()])
    path = tmp_path / "index.parquet"
    pq.write_table(table.set_column(table.column_names.index("path"), "path", paths).slice(0, rows), path)
    return path


def test_an_identity_is_the_same_source_again(tmp_path):
    path = index_of(tmp_path, 3)
    source = TableSource(
        path,
        Mapped(AEF_MAP, "path", {}, ["utm_zone"]),
        BandChoice(None, {"A01": 1, "A00": 0}, ["A00"], [KnownBands({"x": "y"}, {"x": 1})]),
        bbox=(9, -1, 10, 1),
        date_range=("2023-01-01", "2023-12-31"),
        filter_expr="fid > 1",
        url_patterns={"s3://x/": "/y/"},
    )
    again = table_again(source.identity(), {})
    assert again.identity() == source.identity()
    assert [scene.id for scene in again.find(lambda *_: None, None).scenes] == ["2", "3"]


@pytest.mark.exhaustive
def test_an_append_takes_other_rows_of_the_table(con, tmp_path):
    path = index_of(tmp_path, 3)
    con.execute(f"FROM rasteret_build_from_table('{path}', name := 'grow', {MAPS}, date_range := ['2022', '2022'])")
    con.fetchall()
    assert con.execute("SELECT count(*) FROM rasteret.grow").fetchall() == [(1,)]
    done = con.execute("SELECT found, added, scenes FROM rasteret_append('grow', date_range := ['2022', '2023'])")
    assert done.fetchall() == [(3, 2, 3)]
    rows = con.execute(
        "SELECT id, utm_zone, fid, sample_point(id, 'path_64', 'POINT (9.0014 -0.0014)') FROM rasteret.grow"
    )
    assert {row[:3] for row in rows.fetchall()} == {("1", "32N", 1), ("2", "32N", 2), ("3", "32N", 3)}


def test_a_refresh_takes_rows_that_are_new_and_marks_those_that_are_gone(con, tmp_path):
    path = index_of(tmp_path, 2)
    con.execute(f"FROM rasteret_build_from_table('{path}', name := 'fresh', {MAPS})").fetchall()
    table = pq.read_table(index_of(tmp_path, 3))
    pq.write_table(table.slice(1), path)
    done = con.execute("SELECT checked, added, gone FROM rasteret_refresh('fresh')").fetchall()
    assert done[0][1:] == (1, 1)
    status = dict(con.execute("SELECT id, status FROM rasteret.fresh").fetchall())
    assert status["2"] == status["3"] == "ok"
    assert status["1"] != "ok"


def test_a_table_in_memory_is_not_kept(con, tmp_path):
    collection = rasteret_sql.build_from_table(scenes(), name="memory", workspace_dir=tmp_path / "ws")
    assert len(collection) == 3
    with pytest.raises(Exception, match="its table was in memory"):
        con.execute("FROM rasteret_append('memory')")
    path = index_of(tmp_path, 3)
    kept = TableSource(path, Mapped(AEF_MAP, "path"), filter_expr=pc.field("fid") > 1).identity()
    with pytest.raises(ValueError, match=r"Arrow expression .*give query"):
        table_again(kept, {})
    assert len(table_again(kept, {"query": "fid > 2"}).find(lambda *_: None, None).scenes) == 1
    assert len(find(path, column_map=AEF_MAP, href_column="path").scenes) == 3
