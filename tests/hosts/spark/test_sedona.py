"""Geometry columns of Apache Sedona: the bytes that its serializer makes, and a column of its type on executors."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pyarrow as pa
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

import rasteret_sql
from rasteret_sql.errors import InvalidGeometryError
from rasteret_sql.hosts.spark.argument_columns import geometries
from rasteret_sql.hosts.spark.sedona_geometries import is_of_sedona, wkb_of

SHAPES = [
    "POINT (1.5 -2)",
    "POINT EMPTY",
    "LINESTRING (0 0, 1 2, 3 4)",
    "LINESTRING EMPTY",
    "POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0))",
    "POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0), (1 1, 2 1, 2 2, 1 1), (5 5, 6 5, 6 6, 5 5))",
    "POLYGON EMPTY",
    "MULTIPOINT ((1 2), (3 4))",
    "MULTIPOINT EMPTY",
    "MULTILINESTRING ((0 0, 1 1), (2 2, 3 3, 4 4))",
    "MULTILINESTRING EMPTY",
    "MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 9 5, 9 9, 5 5), (6 5.5, 7 5.5, 7 6, 6 5.5)))",
    "MULTIPOLYGON EMPTY",
    "GEOMETRYCOLLECTION (POINT (1 2), POLYGON ((0 0, 1 0, 1 1, 0 0)), LINESTRING (0 0, 1 1))",
    "GEOMETRYCOLLECTION EMPTY",
]
SQUARE = "POLYGON ((600000 5099980, 600020 5099980, 600020 5100000, 600000 5100000, 600000 5099980))"
OF_SEDONA = bytes.fromhex(
    "320000000500000000000000804f2241000000007374534100000000a84f22410000000073745341"
    "00000000a84f2241000000007874534100000000804f2241000000007874534100000000804f2241"
    "00000000737453410100000005000000"
)
"""`SQUARE` as Sedona 1.9.1 writes it."""


@pytest.fixture(scope="module")
def serialize():
    """What Sedona's package for Python writes with; of the package, this alone needs nothing else."""
    found = importlib.util.find_spec("sedona")
    if found is None:
        pytest.skip("apache-sedona is not installed")
    [place] = found.submodule_search_locations
    [file] = Path(place, "spark", "utils").glob("geomserde_speedup.*.so")
    spec = importlib.util.spec_from_file_location("geomserde_speedup", file)
    module = importlib.util.module_from_spec(spec)
    module.load_libgeos_c(shapely.lib.__file__)
    return module.serialize


@pytest.mark.parametrize("text", SHAPES)
def test_shapes_are_those_that_sedona_wrote(serialize, text):
    shape = shapely.from_wkt(text)
    wkb, srid = wkb_of(bytes(serialize(shape)))
    assert shapely.from_wkb(wkb).wkt == shape.wkt
    assert srid == 0


@pytest.mark.parametrize("text", ["POINT Z (1 2 3)", "POLYGON Z ((0 0 1, 9 0 1, 9 9 1, 0 9 1, 0 0 1))"])
def test_heights_are_left_out(serialize, text):
    shape = shapely.from_wkt(text)
    assert shapely.from_wkb(wkb_of(bytes(serialize(shape)))[0]).equals(shapely.force_2d(shape))


def test_a_square_of_sedona_is_that_square():
    wkb, srid = wkb_of(OF_SEDONA)
    assert (shapely.from_wkb(wkb).wkt, srid) == (SQUARE, 0)


def with_srid(value, srid):
    """The same geometry with an SRID, as Sedona's JVM notes it; its package for Python does not."""
    return bytes([value[0] | 1]) + srid.to_bytes(3, "big") + value[4:]


def test_an_srid_is_the_crs_and_wkb_beside_it_stays():
    wkb = shapely.to_wkb(shapely.from_wkt(SQUARE))
    column = pa.array([with_srid(OF_SEDONA, 32632), None, OF_SEDONA, wkb])
    assert is_of_sedona(column)
    found = geometries(column).to_pylist()
    assert [row["kind"] for row in found] == ["GEOMETRY('EPSG:32632')", "GEOMETRY", "GEOMETRY", "GEOMETRY"]
    assert [row["wkb"] and shapely.from_wkb(row["wkb"]).wkt for row in found] == [SQUARE, None, SQUARE, SQUARE]
    assert not is_of_sedona(pa.array([wkb, None, b""]))


@given(st.binary(max_size=80) | st.builds(lambda cut: OF_SEDONA[:cut], st.integers(0, len(OF_SEDONA))))
def test_other_bytes_are_refused_or_stay(value):
    try:
        wkb, _ = wkb_of(value)
    except InvalidGeometryError as error:
        assert "neither WKB nor a geometry of Sedona" in str(error)
    else:
        assert wkb == value or value[0] >= 16


def test_a_column_of_a_type_of_sedona_on_executors(functions, workspace):
    from pyspark.sql.types import IntegerType, StructField, StructType

    from rasteret_sql.hosts.spark import scenes, zonal_stats_table
    from tests.hosts.spark.sedona_type import GeometryOfPython, Square

    schema = StructType([StructField("zone", IntegerType()), StructField("geometry", GeometryOfPython())])
    rows = [(1, Square(with_srid(OF_SEDONA, 32632))), (2, None), (3, Square(with_srid(OF_SEDONA, 32632)))]
    zones = functions.createDataFrame(rows, schema)
    found = zonal_stats_table(scenes(functions, "tiny").where("id = 'plain'"), zones, "b", stats=["mean"])
    assert sorted((row.zone, row.mean, row.geometry.value) for row in found.collect()) == [
        (zone, 3.5, with_srid(OF_SEDONA, 32632)) for zone in (1, 3)
    ]
    zones.createOrReplaceTempView("zones_of_sedona")
    con = rasteret_sql.connect(workspace_dir=workspace)
    call = "zonal_stat('plain', 'b', {}, 'mean'{}, collection => 'tiny')"
    [(wanted,)] = con.sql(f"SELECT {call.format(repr(SQUARE), ', geom_crs => 32632')}").fetchall()
    means = functions.sql(f"SELECT {call.format('geometry', '')} AS mean FROM zones_of_sedona").collect()
    assert sorted(row.mean or 0 for row in means) == [0, wanted, wanted]
