"""Files of features: forms of GeoJSON, CRS, properties; GeoPackage and Shapefile; the statements of docs/zones.md."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import duckdb
import pyproj
import pytest
import shapely

import rasteret_sql
from rasteret_sql.errors import InvalidArgumentError, InvalidGeometryError
from rasteret_sql.library.feature_files import read_features
from tests.sampling import some

ROOT = Path(__file__).resolve().parents[2]
ZONES = ROOT / "examples" / "data" / "zones"
needs_pyogrio = pytest.mark.skipif(importlib.util.find_spec("pyogrio") is None, reason="needs the extra vector")
SQUARE = shapely.box(465400, 5079400, 465900, 5079900)


def write(folder: Path, said: object) -> str:
    path = folder / "zones.geojson"
    path.write_text(said if isinstance(said, str) else json.dumps(said))
    return str(path)


def feature(properties: object = None, **more: object) -> dict:
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": [1, 2]}} | more


def collection(*features: object, **more: object) -> dict:
    return {"type": "FeatureCollection", "features": [*features]} | more


@pytest.mark.parametrize(
    ("said", "rows"),
    [
        (collection(), []),
        (feature({"a": 1}), [{"a": 1}]),
        ({"type": "Point", "coordinates": [1, 2]}, [{}]),
        (collection(feature({"a": 1}), feature({"a": 2.5, "b": "x"})), [{"a": 1.0, "b": None}, {"a": 2.5, "b": "x"}]),
        (collection(feature({"a": 1}), feature({"a": "x"})), [{"a": "1"}, {"a": '"x"'}]),
        (collection(feature({"a": [1, 2]})), [{"a": "[1, 2]"}]),
        (collection(feature({"a": {}})), [{"a": "{}"}]),
        (collection(feature({"a": None})), [{"a": None}]),
        (collection(feature({"a": 1}, id=7)), [{"id": 7, "a": 1}]),
        (collection(feature({"id": 1}, id=7)), [{"id": 1}]),
        (collection(feature({"geometry": "mine", "a": 10**30})), [{"a": str(10**30)}]),
    ],
)
def test_forms_and_properties_of_geojson(tmp_path, said, rows):
    table = read_features(write(tmp_path, said), None)
    shapes = table.column("geometry").to_pylist()
    assert [{name: row[name] for name in row if name != "geometry"} for row in table.to_pylist()] == rows
    assert [shapely.from_wkb(shape) for shape in shapes] == [shapely.Point(1, 2)] * len(rows)


@pytest.mark.parametrize(
    ("said", "error", "says"),
    [
        ("{", InvalidArgumentError, "is no GeoJSON: Expecting"),
        (
            '{"type": "Feature", "properties": {"a": "\\ud800"}, "geometry": null}',
            InvalidArgumentError,
            r"is no GeoJSON: a property has \\ud800, half of a character",
        ),
        ("[]", InvalidArgumentError, "expected an object whose type is FeatureCollection"),
        (collection(1), InvalidArgumentError, "a feature is an object with geometry and properties"),
        (collection(feature([1])), InvalidArgumentError, "a feature is an object with geometry and properties"),
        (
            collection(feature(), {"type": "Feature", "geometry": {"type": "Pt"}}),
            InvalidGeometryError,
            "the geometry of feature 2 cannot be read",
        ),
    ],
)
def test_geojson_that_is_none(tmp_path, said, error, says):
    with pytest.raises(error, match=says):
        read_features(write(tmp_path, said), None)


@pytest.fixture
def con(tmp_path, monkeypatch):
    for file in ZONES.iterdir():
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return rasteret_sql.connect(workspace_dir=tmp_path / "workspace")


@pytest.mark.exhaustive
def test_the_statements_of_the_page(con):
    blocks = re.findall(r"<!-- test: sql -->\n```sql\n(.*?)```", (ROOT / "docs" / "zones.md").read_text(), re.DOTALL)
    results = [con.sql(text) for block in blocks for text in block.split(";") if text.strip()]
    scenes, crops, stations, _, found = [rows.fetchall() if rows is not None else [] for rows in results]
    assert len(scenes) == 68
    assert {crop for crop, _, _ in crops} == {"meadow", "forest"}
    assert len(stations) == 2
    assert found[0][0] == 2


@pytest.mark.exhaustive
def test_series_of_the_zones_of_a_file(con):
    con.sql(
        "FROM rasteret_build_from_stac('meadows', rasteret_example('catalog/catalog.json'), "
        "'sentinel2-eopatch-slovenia')"
    ).fetchall()
    read = "SELECT field, period, value FROM zonal_series(rasteret.meadows, {}, 'ndvi', every := 'year')"
    con.execute("CREATE TEMP TABLE fields AS FROM rasteret_features('fields.geojson')")
    of_file = con.sql(read.format("'fields.geojson'")).fetchall()
    assert of_file == con.sql(read.format("fields")).fetchall()
    assert len(of_file) > 3
    with pytest.raises(duckdb.Error, match=r"nothere\.geojson is no file"):
        con.sql(read.format("'nothere.geojson'")).fetchall()


@pytest.mark.parametrize("named", some([True, False], 2))
def test_the_crs_that_geojson_names_is_that_of_its_geometries(con, tmp_path, named):
    of_2008 = {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}} if named else {}
    zone = shapely.transform(SQUARE, lambda xy: xy if named else _lonlat(xy))
    said = collection(
        {"type": "Feature", "properties": {"a": 1}, "geometry": shapely.geometry.mapping(zone)}, **of_2008
    )
    write(tmp_path, said)
    kind = con.sql("SELECT typeof(geometry) FROM rasteret_features('zones.geojson')").fetchall()
    assert kind == [("GEOMETRY('EPSG:32633')" if named else "GEOMETRY('OGC:CRS84')",)]
    con.sql(
        "FROM rasteret_build_from_stac('m', rasteret_example('catalog/catalog.json'), 'sentinel2-eopatch-slovenia')"
    )
    counts = "SELECT max(count) FROM zonal_stats_table(rasteret.m, 'zones.geojson', 'clm', stats := ['count'])"
    assert con.sql(counts).fetchall() == [(50 * 50,)]


def _lonlat(xy):
    import numpy as np

    to = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    return np.column_stack(to.transform(*xy.T))


def test_a_file_that_changed_is_read_again(con, tmp_path):
    write(tmp_path, collection(feature({"a": 1})))
    assert con.sql("SELECT a FROM rasteret_features('zones.geojson')").fetchall() == [(1,)]
    write(tmp_path, collection(feature({"a": 1}), feature({"a": 2})))
    assert con.sql("SELECT a FROM rasteret_features('zones.geojson')").fetchall() == [(1,), (2,)]


@needs_pyogrio
@pytest.mark.parametrize("ending", some(["gpkg", "shp", "fgb"], 3))
def test_files_of_pyogrio_with_their_crs(con, tmp_path, ending):
    import pyarrow as pa
    import pyogrio

    table = pa.table({"name": ["a"], "shape": [shapely.to_wkb(SQUARE)]})
    given = {"geometry_name": "shape", "geometry_type": "Polygon", "crs": "EPSG:32633"}
    pyogrio.write_arrow(table, tmp_path / f"z.{ending}", **given)
    rows = con.sql(
        f"SELECT name, typeof(geometry), ST_AsText(geometry) FROM rasteret_features('z.{ending}')"
    ).fetchall()
    assert rows[0][:2] == ("a", "GEOMETRY('EPSG:32633')")
    assert shapely.from_wkt(rows[0][2]).equals(SQUARE)


@needs_pyogrio
def test_layers(con, tmp_path):
    import pyarrow as pa
    import pyogrio

    for layer in ("one", "two"):
        table = pa.table({"name": [layer], "shape": [shapely.to_wkb(SQUARE)]})
        given = {"geometry_name": "shape", "geometry_type": "Polygon", "crs": "EPSG:32633", "layer": layer}
        pyogrio.write_arrow(table, tmp_path / "z.gpkg", append=layer == "two", **given)
    assert con.sql("SELECT name FROM rasteret_features('z.gpkg', layer := 'two')").fetchall() == [("two",)]
    with pytest.raises(Exception, match=r'z.gpkg has no layer "three"; it has "one", "two"'):
        con.sql("FROM rasteret_features('z.gpkg', layer := 'three')")
    (tmp_path / "bad.gpkg").write_text("x")
    with pytest.raises(Exception, match=r"bad.gpkg cannot be read"):
        con.sql("FROM rasteret_features('bad.gpkg')")
