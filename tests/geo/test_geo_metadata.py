"""GeoArrow's and GeoParquet's metadata, as their specifications have it."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely

from rasteret_sql.geo.crs import LONLAT
from rasteret_sql.geo.geoarrow import Said, is_geoarrow, said_of_field, wkb_field
from rasteret_sql.geo.geoparquet import GeoMetadata, lonlat_metadata
from rasteret_sql.selection.areas import read_areas

UTM = pyproj.CRS(32632).to_json_dict()


def column(name="a", **said):
    text = json.dumps(said).encode()
    return pa.field(
        name, pa.binary(), metadata={"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": text}
    )


def geo(columns, **more):
    return pa.schema([], metadata={"geo": json.dumps({"version": "1.1.0", "columns": columns, **more})})


def test_a_field_says_its_crs_and_edges():
    assert said_of_field(column(crs=UTM, edges="spherical")) == Said(UTM, "spherical")
    assert said_of_field(column()) == said_of_field(pa.field("a", pa.binary())) == Said()
    assert is_geoarrow(column())
    assert not is_geoarrow(pa.field("a", pa.binary(), metadata={"ARROW:extension:name": "arrow.json"}))


def test_a_field_that_we_write_is_lonlat():
    said = said_of_field(wkb_field("geometry"))
    assert pyproj.CRS.from_json_dict(said.crs) == pyproj.CRS("OGC:CRS84")


def test_geoparquet_without_crs_is_lonlat_and_null_is_not_known():
    said = GeoMetadata.of(geo({"a": {}, "b": {"crs": None}, "c": {"crs": UTM, "edges": "spherical"}, "d": 1}))
    assert said.said_of(pa.field("a", pa.binary())) == Said(LONLAT)
    assert said.said_of(pa.field("b", pa.binary())) == Said(is_unknown=True)
    assert said.said_of(pa.field("c", pa.binary())) == Said(UTM, "spherical")
    assert said.said_of(pa.field("d", pa.binary())) == Said()
    assert said.meant == ["a", "b", "c"]


def test_the_column_itself_has_the_word_before_the_table():
    said = GeoMetadata.of(geo({"a": {"crs": "EPSG:4326"}}))
    assert said.said_of(column(crs=UTM)).crs == UTM
    assert said.said_of(column()).crs == "EPSG:4326"


def test_one_column_is_primary():
    said = GeoMetadata.of(geo({"a": {}, "b": {}}, primary_column="b"))
    assert (said.primary, said.meant) == ("b", ["b"])
    assert GeoMetadata.of(geo({"a": {}}, primary_column="gone")).meant == ["a"]


@pytest.mark.parametrize("text", ["[]", "1", "{", b"\xff"])
def test_what_is_no_json_object_is_an_error(text):
    with pytest.raises(ValueError):
        GeoMetadata.of(pa.schema([], metadata={"geo": text}))


def test_covering_is_read_as_it_is_written(tmp_path):
    table = pa.table({"geometry": [shapely.to_wkb(shapely.box(1, 2, 3, 4))]})
    pq.write_table(
        table.replace_schema_metadata(lonlat_metadata(table["geometry"].to_pylist())), tmp_path / "a.parquet"
    )
    schema = pq.read_schema(tmp_path / "a.parquet")
    said = json.loads(schema.metadata[b"geo"])
    assert said["columns"]["geometry"]["geometry_types"] == ["Polygon"]
    sides = ("xmin", "ymin", "xmax", "ymax")
    assert GeoMetadata.of(schema).covering("geometry") == [("bbox", side) for side in sides]
    assert GeoMetadata.of(geo({"a": {"covering": {"bbox": {"xmin": ["b", "x"]}}}})).covering("a") is None


def test_areas_of_a_column_that_is_not_the_primary_one_have_its_crs():
    wkb = shapely.to_wkb(shapely.box(1, 2, 3, 4))
    table = pa.table({"a": [wkb], "b": [wkb]}, metadata=geo({"a": {}, "b": {"crs": UTM}}, primary_column="a").metadata)
    assert read_areas(table).crs == LONLAT
    assert read_areas(table, geometry_column="b").crs == "EPSG:32632"
