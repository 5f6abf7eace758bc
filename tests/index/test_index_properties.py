"""STAC properties become columns with sane types and names that collide with nothing."""

from __future__ import annotations

from datetime import datetime

import duckdb
import pyarrow as pa
import pytest
from index_samples import scene, write_collection

from rasteret_sql.index.format.collection_metadata import CollectionMetadata
from rasteret_sql.index.format.property_columns import property_columns
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.read.scene_scan import scan_sql


@pytest.mark.parametrize(
    ("name", "values", "type_", "stored"),
    [
        ("eo:cloud_cover", [3, None], pa.float64(), [3.0, None]),
        ("n", [3, 4], pa.int64(), [3, 4]),
        ("n", [3, 4.5], pa.float64(), [3.0, 4.5]),
        ("n", [2**70, 1], pa.float64(), [float(2**70), 1.0]),
        ("flag", [True, None], pa.bool_(), [True, None]),
        ("flag", [True, 1], pa.string(), ["true", "1"]),
        ("platform", ["s2a", None], pa.string(), ["s2a", None]),
        ("nothing", [None, None], pa.string(), [None, None]),
        ("created", ["2024-01-01T02:00:00+02:00", None], pa.timestamp("us"), [datetime(2024, 1, 1), None]),
        ("created", ["yesterday", "2024-01-01"], pa.string(), ["yesterday", "2024-01-01"]),
        ("instruments", [["msi"], []], pa.list_(pa.string()), [["msi"], []]),
        ("proj:shape", [[10, 20], None], pa.list_(pa.int64()), [[10, 20], None]),
        ("proj:transform", [[10, 0.5], [1]], pa.list_(pa.float64()), [[10.0, 0.5], [1.0]]),
        ("nested", [{"a": "ü"}, "text"], pa.string(), ['{"a": "ü"}', "text"]),
        ("lists", [[[1]], [{"b": 2}]], pa.string(), ["[[1]]", '[{"b": 2}]']),
    ],
)  # fmt: skip
def test_types(name, values, type_, stored):
    (column,) = property_columns([{name: value} for value in values]).values()
    assert column.type == type_
    assert column.to_pylist() == stored


def test_names_do_not_collide():
    given = ["id", "Year", "status", "B04_metadata", "B04_header", "x_METADATA", "a", "A", "a_property", "", "filename"]
    columns = property_columns([dict.fromkeys(given, 1)], ["B04_metadata"])
    names = list(columns)
    assert names == [
        "id_property", "Year_property", "status_property", "B04_metadata_property", "B04_header_property", "x_METADATA",
        "a", "A_property", "a_property_2", "_property", "filename_property",
    ]  # fmt: skip
    assert len({name.lower() for name in names}) == len(given)


def test_facts_of_other_columns_are_left_out():
    assert property_columns([{"datetime": "x", "proj:epsg": 1, "proj:code": "EPSG:1"}]) == {}


def test_a_collection_with_such_properties_can_be_queried(tmp_path):
    properties = {"year": 7, "Status": "fine", "s2:product_metadata": "m", "collection": "other", "assets": {"a": 1}}
    write_collection([scene(properties=properties)], CollectionMetadata("x", ("B04",)), tmp_path / "c")
    index = open_collection(tmp_path / "c")
    assert index.bands == ("B04",)
    relation = duckdb.sql(scan_sql(index))
    stored = dict(zip(relation.columns, relation.fetchall()[0], strict=True))
    expected = {
        "year": 2024,
        "year_property": 7,
        "Status_property": "fine",
        "s2:product_metadata_property": "m",
        "collection": "sentinel-2-l2a",
        "collection_property": "other",
        "assets_property": '{"a": 1}',
        "status": "ok",
    }
    assert stored | expected == stored
