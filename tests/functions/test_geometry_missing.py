"""A geometry that is missing, in whatever form, gives NULL; only a call without geom reads whole images."""

import json
from pathlib import Path

import duckdb
import pytest
import shapely

import rasteret_sql
from rasteret_sql.geo.geometry import parse_geometry
from tests.sampling import some

TINY = Path(__file__).resolve().parents[1] / "sql" / "data" / "tiny.json"
FEATURE = '{"type": "Feature", "properties": {}, "geometry": null}'
CALLS = (
    "read_chip('plain', 'b', {}).width",
    "zonal_stats('plain', 'b', {}).count",
    "zonal_stat('plain', 'b', {}, 'sum')",
    "sample_point('plain', 'b', {})",
    "rasteret_explain('plain', 'b', {}).width",
)


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    with rasteret_sql.connect(workspace_dir=tmp_path_factory.mktemp("ws")) as connection:
        connection.execute("FROM rasteret_build_from_stac('tiny', $path)", {"path": str(TINY)}).fetchall()
        yield connection


@pytest.mark.parametrize("call", some(CALLS, 3))
@pytest.mark.parametrize(
    "geometry",
    [
        f"'{FEATURE}'",
        f"'{FEATURE}'::JSON",
        """'{"type": "Feature", "properties": {"a": 1}}'""",
        "'null'",
        "'null'::JSON",
        f"'{FEATURE}'::JSON -> 'geometry'",
        "{'type': 'Feature', 'geometry': NULL}",
        "{'type': 'Feature', 'geometry': {'type': NULL, 'coordinates': NULL}}",
        "{'type': NULL, 'coordinates': NULL}",
        "{'xmin': NULL, 'ymin': NULL, 'xmax': NULL, 'ymax': NULL}",
        """'{"type": "Point", "coordinates": []}'""",
        "'GEOMETRYCOLLECTION EMPTY'",
        "'GEOMETRYCOLLECTION EMPTY'::GEOMETRY",
        "NULL::GEOMETRY",
        "NULL::JSON",
        "NULL::BLOB",
    ],
)
def test_no_geometry_is_null(con, geometry, call):
    assert con.execute(f"SELECT {call.format(geometry)}").fetchone() == (None,)


def test_a_call_without_geom_reads_the_whole_image(con):
    assert con.execute("SELECT read_chip('plain', 'b').width, rasteret_explain('plain', 'b').height").fetchone() == (
        4,
        3,
    )


def test_rows_of_read_json_that_are_not_located_are_null_among_the_others(con, tmp_path):
    place = {"type": "Point", "coordinates": [600015, 5099995]}
    file = tmp_path / "plots.json"
    file.write_text(
        "\n".join(
            json.dumps({"type": "Feature", "properties": {"n": n}, "geometry": geometry})
            for n, geometry in enumerate([None, place, None])
        )
    )
    for geom in ("plot", "plot.geometry"):
        rows = con.execute(
            f"SELECT plot.properties.n, sample_point('plain', 'b', {geom}, geom_crs := 32632), "
            f"read_chip('plain', 'b', {geom}, geom_crs := 32632).width FROM read_json('{file}') AS plot ORDER BY 1"
        ).fetchall()
        assert rows == [(0, None, None), (1, 2, 1), (2, None, None)]


@pytest.mark.parametrize(
    "value",
    [None, json.loads(FEATURE), FEATURE, {"type": "Feature", "properties": {}}, "null"],
    ids=["None", "dict", "text", "no key", "null"],
)
def test_values_from_python_without_geometry_are_none(value):
    assert parse_geometry(value) is None


def test_objects_with_a_geo_interface():
    class Plot:
        def __init__(self, geometry):
            self.__geo_interface__ = {"type": "Feature", "properties": {}, "geometry": geometry}

    assert parse_geometry(Plot(None)) is None
    assert parse_geometry(Plot(shapely.geometry.mapping(shapely.Point(1, 2)))) == shapely.Point(1, 2)


@pytest.mark.parametrize(
    "value",
    ["{'xmin': 1, 'ymin': NULL, 'xmax': 2, 'ymax': 3}", "{'type': 'Polygon', 'coordinates': NULL}"],
    ids=["box", "GeoJSON"],
)
def test_a_struct_that_misses_a_part_is_an_error(con, value):
    with pytest.raises(duckdb.Error, match="cannot be read"):
        con.execute(f"SELECT read_chip('plain', 'b', {value})").fetchall()
