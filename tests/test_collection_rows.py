"""What a collection says of itself, its rows as Arrow and SQL, and its life in Python."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
import pytest
import shapely

import rasteret_sql
from rasteret_sql import Collection
from rasteret_sql.catalog.register import register
from tests.collection_world import feature, make_world

DATA = Path(__file__).resolve().parents[1] / "examples" / "data"

OPEN_BOX = (-180, -90, 180, 90)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def whole(world):
    return world[0]


@pytest.fixture(scope="module")
def scenes(world):
    return world[1]


def union(scenes):
    return tuple(shapely.total_bounds([shapely.box(*scene.bounds) for scene in scenes]).tolist())


def test_what_a_collection_says_of_itself(whole, scenes):
    """C23, C24: len and the rest work at once."""
    assert (whole.name, whole.bands, whole.data_source, whole.description) == ("world", ["a"], "demo/s2-like", "")
    assert len(whole) == 12
    assert whole.bounds == pytest.approx(union(scenes))
    assert whole.crs == ["EPSG:32632", "EPSG:32633"]
    assert whole.epsg == [32632, 32633]
    assert (whole.start_date, whole.end_date) == (datetime(2024, 1, 10, 10, 30), datetime(2024, 1, 21, 10, 30))
    assert whole.path.is_dir()
    assert repr(whole) == "Collection('world', source='demo/s2-like', bands=1, records=12, crs=32632, 32633)"
    assert "<td" in whole._repr_html_()


def test_a_part_speaks_for_itself(whole, scenes):
    part = whole.subset(split="train").where(pads.field("proj:epsg") == 32632)
    mine = [s for s in scenes if s.split == "train" and s.epsg == 32632]
    assert repr(part) == "Collection('world', source='demo/s2-like', bands=1, records=3, crs=32632)"
    assert part.bounds == pytest.approx(union(mine))
    assert (part.start_date, part.end_date) == (mine[0].at, mine[-1].at)


def test_the_dates_of_a_build_are_those_that_it_asked_for(tmp_path):
    collection, _ = make_world(tmp_path)
    asked = rasteret_sql.build_from_stac(
        name="asked",
        stac_api=tmp_path / "items.json",
        date_range=("2024-01-01", "2024-01-31"),
        workspace_dir=collection.path.parent,
    )
    assert asked.start_date == datetime(2024, 1, 1)
    assert asked.end_date.date() == datetime(2024, 1, 31).date()
    assert asked.subset(split="val").start_date == datetime(2024, 1, 11, 10, 30)


def test_describe(whole, scenes):
    told = whole.describe()
    assert set(told.data) == {"name", "records", "bands", "bounds", "crs", "source", "dates"}
    assert told["records"] == 12
    assert told["crs"] == ["EPSG:32632", "EPSG:32633"]
    assert told["dates"] == ("2024-01-10", "2024-01-21")
    assert "records  12" in repr(told)
    assert "demo/s2-like" in told._repr_html_()
    told.data["records"] = 0
    assert told["records"] == 12
    empty = whole.subset(split="nobody").describe()
    assert (empty["records"], empty["bounds"], empty["dates"]) == (0, None, None)
    assert "none" in repr(empty)


def test_html_is_escaped(tmp_path, whole):
    renamed = rasteret_sql.load(whole.path, "<b>&")
    assert "<b>" not in renamed._repr_html_()
    assert "&lt;b&gt;&amp;" in renamed._repr_html_()


def test_compare_to_catalog(whole):
    with pytest.raises(ValueError, match='no dataset "demo/s2-like" is registered'):
        whole.compare_to_catalog()
    register(
        rasteret_sql.DatasetDescriptor(
            id="demo/s2-like", name="Demo", band_map={"a": "a", "b": "b"}, temporal_range=("2015-01-01", "present")
        )
    )
    try:
        told = whole.compare_to_catalog()
    finally:
        rasteret_sql.DatasetRegistry.unregister("demo/s2-like")
    assert told["missing_bands"] == ["b"]
    assert told["catalog"]["id"] == "demo/s2-like"
    assert "1 of 2, without b" in repr(told)


def test_names_of_builds():
    assert Collection.create_name("Bay_Area 2024", ("2024-01-01", "2024-03-31"), "earthsearch/sentinel-2-l2a") == (
        "bay-area-2024_202401-03_earthsearch-sentinel-2-l2a"
    )
    assert Collection.create_name("x", ("2023-12-01", "2024-01-31"), "sentinel-2-l2a") == "x_202312-202401_sentinel"
    assert Collection.create_name("x", ("2023-12-01", "2023-12-31"), "landsat-c2-l2") == "x_202312-12_landsat"
    name = "bay-area_202401-03_earthsearch-sentinel-2-l2a"
    assert Collection.parse_name(name) == {
        "custom_name": "bay-area",
        "data_source": "earthsearch-sentinel-2-l2a",
        "name": name,
    }
    assert Collection.parse_name(f"{name}_stac")["data_source"] == "earthsearch-sentinel-2-l2a"
    assert Collection.parse_name("mine") == {"custom_name": "mine", "data_source": None, "name": "mine"}
    with pytest.raises(ValueError, match="both given"):
        Collection.create_name("x", ("2023-12-01", None), "y")


def test_listing_collections(whole, tmp_path, monkeypatch):
    """E29, E30, E31, E35, E36: str and Path, the default workspace, and nothing where there is no directory."""
    listed = Collection.list_collections(whole.path.parent)
    assert [entry["name"] for entry in listed] == ["world"]
    entry = listed[0]
    assert (entry["kind"], entry["size"], entry["data_source"]) == ("stac", 12, "demo/s2-like")
    assert entry["date_range"] == ("2024-01-10", "2024-01-21")
    assert isinstance(entry["created"], float)
    assert Collection.list_collections(str(whole.path.parent)) == listed
    assert Collection.list_collections(tmp_path / "missing") == []
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Collection.list_collections() == []


def test_head(whole):
    assert whole.head().num_rows == 5
    assert whole.head(2, ["id"]).to_pylist() == [{"id": "s00"}, {"id": "s01"}]
    assert whole.head(0).num_rows == 0
    assert whole.head(0).schema == whole.to_table().schema
    assert whole.head(100).num_rows == 12


def test_rows_as_arrow(whole, scenes):
    table = whole.to_table()
    assert table.column_names == list(whole._index.scene_columns)
    assert not [name for name in table.column_names if name.endswith(("_metadata", "_header"))]
    assert table.schema.field("datetime").type == pa.timestamp("us")
    assert table.schema.field("year").type == table.schema.field("month").type == pa.int32()
    assert table.schema.field("proj:epsg").type == pa.int32()
    geometry = table.schema.field("geometry")
    assert geometry.type == pa.binary()
    assert geometry.metadata[b"ARROW:extension:name"] == b"geoarrow.wkb"
    said = json.loads(geometry.metadata[b"ARROW:extension:metadata"])
    assert (said["crs"]["id"], said["crs_type"]) == ({"authority": "OGC", "code": "CRS84"}, "projjson")
    for row, scene in zip(table.to_pylist(), scenes, strict=True):
        assert row["id"] == scene.id
        assert row["datetime"] == scene.at
        assert row["eo:cloud_cover"] == scene.cloud
        assert tuple(row["bbox"].values()) == pytest.approx(scene.bounds)
        assert shapely.from_wkb(row["geometry"]).equals_exact(shapely.box(*scene.bounds).normalize(), 1e-9) or (
            shapely.from_wkb(row["geometry"]).equals(shapely.box(*scene.bounds))
        )
        assert row["assets"]["a"]["href"].endswith(f"{scene.id}.tif")
    for part in (whole.subset(split="val"), whole.where(pads.field("split") == "val")):
        assert part.to_table() == table.filter(pads.field("split") == "val")
        assert part.to_table(["id", "geometry"]).schema.field("geometry").metadata == geometry.metadata


def test_arrow_protocols(whole):
    table = whole.to_table()
    assert pa.table(whole) == table
    assert pa.RecordBatchReader.from_stream(whole).read_all() == table
    assert pa.record_batch(whole).num_rows == 12
    assert pa.schema(whole) == table.schema
    assert pa.record_batch(whole.subset(split="nobody")).num_rows == 0
    assert pa.Table.from_batches(whole.to_batches()) == table
    assert sum(batch.num_rows for batch in whole) == 12
    assert whole.to_reader(["id"]).read_all().column_names == ["id"]
    wanted = pa.schema([pa.field("id", pa.large_string())])
    assert whole.to_reader(["id"], requested_schema=wanted).schema == wanted
    part = whole.subset(split="val")  # noqa: F841  DuckDB finds it by its name
    assert duckdb.sql("SELECT count(*), min(id) FROM part").fetchall() == [(4, "s01")]


def test_two_readers_at_once(whole):
    one, two = whole.to_batches(["id"]), whole.to_batches(["id"])
    assert next(one) == next(two)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ([], "columns is empty"),
        (["idd"], "has no column 'idd'; did you mean"),
        (["a_metadata"], "an export has them as columns"),
        (["id", "id"], "twice"),
        ([7], "has no column 7"),
    ],
)
def test_columns_that_are_not_there(whole, columns, says):
    with pytest.raises(ValueError, match=says):
        whole.to_table(columns)
    with pytest.raises(ValueError, match=says):
        whole.head(1, columns)


def test_sql_sees_the_selection_only(whole):
    part = whole.subset(split="val").where(pads.field("eo:cloud_cover") < 50)
    assert part.sql("SELECT id FROM scenes").fetchall() == [("s01",), ("s04",)]
    assert part.scenes().filter("id > 's01'").project("id").fetchall() == [("s04",)]
    assert part.sql("SELECT count(*) FROM rasteret.world").fetchall() == [(12,)]
    assert whole.sql("SELECT count(*) FROM scenes").fetchall() == [(12,)]
    assert str(part.scenes().project("geometry").types[0]) == str(whole.scenes().project("geometry").types[0])
    means = part.sql("SELECT id, zonal_stats(id, 'a', geometry).count > 0 FROM scenes").fetchall()
    assert means == [("s01", True), ("s04", True)]


def test_a_relation_outlives_its_selection(whole):
    """The rows of an Arrow filter lie in a file, which is there as long as the relation is."""
    relation = whole.where(pads.field("split") == "val").scenes().project("id")
    assert relation.fetchall() == [("s01",), ("s04",), ("s07",), ("s10",)]


def test_an_export_of_a_part(whole, scenes, tmp_path):
    """E22 to E28: what is exported is what is selected, and it is read without anything else."""
    part = whole.subset(split="val").where(pads.field("proj:epsg") == 32632)
    part.export(tmp_path / "val")
    moved = rasteret_sql.load((tmp_path / "val").rename(tmp_path / "elsewhere"))
    assert (moved.name, moved.data_source, moved.bands) == ("world", "demo/s2-like", ["a"])
    assert moved.to_table(part.to_table().column_names) == part.to_table()
    assert "a_metadata" in moved.head(1, ["id", "a_metadata"]).column_names
    chosen = moved.where(pads.field("id") > "s01")
    assert chosen.to_table(["id", "a_metadata"])["id"].to_pylist() == ["s04", "s07"]
    area = shapely.box(*scenes[1].bounds)
    assert (moved.get_numpy(area, "a") == part.get_numpy(area, "a")).all()
    with pytest.raises(ValueError, match="no scene"):
        whole.subset(split="nobody").export(tmp_path / "nobody")


def test_export_by_other_columns(whole, tmp_path):
    whole.subset(cloud_cover_lt=50).export(tmp_path / "by", partition_by=["split"])
    assert sorted(entry.name for entry in (tmp_path / "by").iterdir()) == ["split=test", "split=train", "split=val"]


def test_append_and_refresh(tmp_path):
    """New scenes come into the collection that is open; parts that were taken before stay as they were."""
    collection, scenes = make_world(tmp_path)
    items = [feature(scene) for scene in scenes]
    more = [{**items[0], "id": "new"}]
    document = {"type": "FeatureCollection", "features": [*items, *more]}
    (tmp_path / "items.json").write_text(json.dumps(document))
    before = collection.subset(split="train")
    assert collection.append() is collection
    assert len(collection) == 13
    assert (len(before), len(collection.subset(split="train"))) == (4, 5)
    assert collection.sql("SELECT count(*) FROM scenes").fetchall() == [(13,)]
    document["features"][0]["properties"]["updated"] = "2025-01-01T00:00:00Z"
    (tmp_path / "items.json").write_text(json.dumps(document))
    assert len(collection.refresh()) == 13
    for change in (before.append, before.refresh):
        with pytest.raises(ValueError, match="is a part of collection"):
            change()


def test_a_table_with_headers_is_a_collection_again(tmp_path):
    built = rasteret_sql.build_from_stac(
        name="ny",
        stac_api=DATA / "catalog" / "catalog.json",
        collection="landsat8-ny-2018",
        workspace_dir=tmp_path / "ws",
    )
    part = built.subset(cloud_cover_lt=20)
    rows = part.to_table(headers=True)
    assert rows.num_rows == len(part) < len(built)
    assert {"nir08_metadata", "nir08_header"} <= set(rows.column_names)
    again = rasteret_sql.as_collection(rows.append_column("split", pa.array(["train"] * rows.num_rows)))
    assert again.bands == built.bands
    means = "SELECT id, zonal_stats(id, 'nir08', geometry).mean FROM scenes ORDER BY id"
    assert again.sql(means).fetchall() == part.sql(means).fetchall()
    built.export(tmp_path / "export")
    loaded = rasteret_sql.load(tmp_path / "export")
    assert set(loaded.to_table(headers=True).column_names) == set(built.to_table(headers=True).column_names)
