"""Scenes chosen in SQL as a collection, and the collection in SQL again."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

import rasteret_sql
from rasteret_sql import Collection
from tests.collection_world import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = tmp_path_factory.mktemp("relations")
    return (*make_world(directory), directory)


@pytest.fixture
def con(world):
    with rasteret_sql.connect(workspace_dir=world[2] / "ws") as con:
        yield con


def test_scenes_of_a_relation_are_a_collection(world, con):
    _, scenes, _ = world
    part = Collection.from_relation(con.sql("FROM rasteret.world WHERE split = 'val' ORDER BY datetime DESC"))
    assert part.name == "world"
    assert len(part) == 4
    assert part.to_table(["id"])["id"].to_pylist() == ["s01", "s04", "s07", "s10"]
    np.testing.assert_array_equal(part.get_numpy((9, 45, 16, 47), "a")[1], scenes[4].pixels)
    assert part.sql("SELECT count(*)::INT FROM scenes").fetchall() == [(4,)]
    assert len(part.subset(cloud_cover_lt=40)) == 2
    with pytest.raises(ValueError, match="this is a part of collection"):
        part.append(date_range=("2024-01-01", "2024-01-02"))
    again = Collection.from_relation(part.scenes().filter("id > 's05'"))
    assert [len(again), len(part)] == [2, 4]


def test_what_the_connection_has_open_is_what_the_collection_reads_with(world, con):
    """Its cache, its limits, its receipts."""
    con.execute("SELECT * FROM rasteret_settings(max_call_bytes := '600 B')").fetchall()
    part = Collection.from_relation(con.sql("SELECT id FROM rasteret.world WHERE id IN ('s00', 's01')"))
    assert part._session.settings.max_call_bytes == 600
    with pytest.raises(MemoryError, match="max_call_bytes = 600"):
        part.get_numpy((9, 45, 16, 47), "a")


def test_a_relation_of_all_scenes_is_the_whole_collection(world, con):
    whole = Collection.from_relation(con.sql("FROM rasteret.world"))
    assert whole._selection.is_whole


def test_what_is_no_relation_of_scenes(world, con):
    _, _, directory = world
    rasteret_sql.load(world[0].path, "twin", workspace_dir=directory / "ws")
    con.execute("FROM rasteret_load(?, name := 'twin')", [str(world[0].path)]).fetchall()
    con.execute("FROM rasteret.world LIMIT 1").fetchall()
    plain = duckdb.connect()
    for relation, named, error, says in (
        (con.sql("SELECT 1 AS one"), {}, ValueError, "has no column id of scenes: one"),
        (con.sql("SELECT 'x' AS id"), {}, KeyError, 'no open collection has the scene "x"'),
        (con.sql("FROM rasteret.world WHERE id = 'x'"), {}, ValueError, "has no rows, so nothing says whose"),
        (con.sql("FROM rasteret.world"), {}, ValueError, r'several open collections have .* \("world", "twin"'),
        (con.sql("FROM rasteret.world"), {"collection": "wrld"}, KeyError, 'did you mean "world"'),
        (con.sql("SELECT unnest(['s00', 'x']) AS id"), {"collection": "twin"}, ValueError, r'not all .*1 in "twin"'),
        (plain.sql("SELECT 's00' AS id"), {}, ValueError, "has no functions of rasteret_sql"),
        ("FROM rasteret.world", {}, TypeError, "expected a relation of DuckDB"),
    ):  # fmt: skip
        with pytest.raises(error, match=says):
            Collection.from_relation(relation, **named)
    assert len(Collection.from_relation(con.sql("FROM rasteret.world"), collection="twin")) == 12
    assert len(Collection.from_relation(con.sql("FROM rasteret.world WHERE id = 'x'"), collection="twin")) == 0
