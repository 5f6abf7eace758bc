"""Geometries whose type or parameter says what they are: the CRS of a GEOMETRY type, bytes and text from Python."""

from pathlib import Path

import duckdb
import pyproj
import pytest
import shapely

import rasteret_sql

TINY = Path(__file__).resolve().parents[1] / "sql" / "data" / "tiny.json"
POINT = "POINT (600015 5099995)"
UTM = pyproj.CRS(32632)


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    with rasteret_sql.connect(workspace_dir=tmp_path_factory.mktemp("ws")) as connection:
        connection.execute("FROM rasteret_build_from_stac('tiny', $path)", {"path": str(TINY)}).fetchall()
        yield connection


@pytest.fixture(params=["PROJJSON", "WKT2"])
def typed(con, request):
    """A table whose column g has a type with the CRS of the images."""
    text = UTM.to_json() if request.param == "PROJJSON" else UTM.to_wkt()
    con.execute(
        f"CREATE OR REPLACE TABLE typed AS SELECT '{POINT}'::GEOMETRY('{text.replace(chr(39), chr(39) * 2)}') AS g"
    )
    assert con.execute("SELECT typeof(g) LIKE 'GEOMETRY(%' FROM typed").fetchone() == (True,)
    return "typed"


def one(con, sql, *parameters):
    return con.execute(sql, list(parameters)).fetchone()[0]


def test_the_crs_of_a_type_counts(con, typed):
    assert one(con, f"SELECT sample_point('plain', 'b', g) FROM {typed}") == 2


def test_geom_crs_wins_over_the_type(con, typed):
    assert one(con, f"SELECT sample_point('plain', 'b', g, geom_crs := 'EPSG:32633') FROM {typed}") is None


def test_lonlat_as_a_type(con):
    sql = "SELECT sample_point('lonlat', 'b', 'POINT (9.75 45.75)'::GEOMETRY('OGC:CRS84'))"
    assert one(con, sql) == 2


@pytest.mark.parametrize(
    "value",
    [
        POINT,
        shapely.to_wkb(shapely.from_wkt(POINT)),
        shapely.to_wkb(shapely.from_wkt(POINT), byte_order=0),
        shapely.to_wkb(shapely.from_wkt(POINT), hex=True),
        shapely.to_geojson(shapely.from_wkt(POINT)),
        {"type": "Point", "coordinates": [600015.0, 5099995.0]},
        {"xmin": 600012.0, "ymin": 5099992.0, "xmax": 600018.0, "ymax": 5099998.0},
    ],
    ids=["wkt", "wkb", "big-endian wkb", "hex", "geojson", "geojson struct", "box struct"],
)
def test_parameters_from_python(con, value):
    sql = "SELECT read_chip('plain', 'b', $1, geom_crs := 'EPSG:32632').data"
    assert one(con, sql, value) == b"\x02\x00"


def test_an_srid_in_wkb_counts(con):
    value = shapely.to_wkb(shapely.set_srid(shapely.from_wkt(POINT), 32632), include_srid=True)
    assert one(con, "SELECT sample_point('plain', 'b', $1)", value) == 2


@pytest.mark.parametrize("value", [b"", b"\x01\x02", b"\x01" * 30, 7, [1.0, 2.0, 3.0]])
def test_parameters_that_are_no_geometry(con, value):
    with pytest.raises(duckdb.Error, match=r"read_chip: the geometry .* cannot be read; give GEOMETRY, WKT"):
        con.execute("SELECT read_chip('plain', 'b', $1)", [value])


def test_a_column_of_thousands_of_geometries(con):
    rows = con.execute(
        "SELECT n, sample_point('plain', 'b', g::GEOMETRY, geom_crs := 'EPSG:32632') FROM (SELECT n, "
        "'POINT (' || (600005 + 10 * (n % 4)) || ' 5099995)' AS g FROM range(5000) AS r(n)) ORDER BY n"
    ).fetchall()
    assert [value for _, value in rows] == [1.0, 2.0, 3.0, 4.0] * 1250
