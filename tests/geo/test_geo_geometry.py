"""Every form of a geometry gives the same geometry; what is none gives an error that shows it."""

from __future__ import annotations

import json

import duckdb
import hypothesis.strategies as st
import numpy as np
import pytest
import shapely
from hypothesis import given, settings

from rasteret_sql.errors import InvalidCrsError, InvalidGeometryError
from rasteret_sql.geo.geometry import geometry_kind_crs, parse_geometries, parse_geometry, srid_crs
from tests.sampling import examples

POLYGON = shapely.Polygon([(0, 0), (4, 0), (4, 3), (0, 0)])
GEOJSON = json.dumps(shapely.geometry.mapping(POLYGON))


def one(text: str | None = None, wkb: bytes | None = None, kind: str = "VARCHAR") -> shapely.Geometry | None:
    return parse_geometries([kind], [wkb], [text])[0]


@pytest.mark.parametrize(
    "text",
    [
        POLYGON.wkt,
        f"  {POLYGON.wkt.lower()}\n",
        f"SRID=32632;{POLYGON.wkt}",
        POLYGON.wkb_hex,
        POLYGON.wkb_hex.lower(),
        GEOJSON,
        json.dumps({"type": "Feature", "properties": {}, "geometry": json.loads(GEOJSON)}),
        "POLYGON Z ((0 0 1, 4 0 1, 4 3 1, 0 0 1))",
    ],
)
def test_every_text_form(text: str) -> None:
    found = one(text)
    assert found == POLYGON
    assert not found.has_z


def test_binary_forms() -> None:
    assert one(wkb=POLYGON.wkb, kind="GEOMETRY") == POLYGON
    assert one(wkb=shapely.to_wkb(POLYGON, byte_order=0), kind="BLOB") == POLYGON
    as_text = duckdb.execute("SELECT $1::BLOB::VARCHAR", [POLYGON.wkb]).fetchall()[0][0]
    assert one(as_text, kind="BLOB") == POLYGON


@pytest.mark.parametrize("keys", ["xmin ymin xmax ymax", "minx miny maxx maxy", "west south east north"])
def test_struct_of_a_box(keys: str) -> None:
    text = json.dumps(dict(zip(keys.split(), (1, 2, 3, 4), strict=True)))
    assert one(text, kind="STRUCT(...)").equals(shapely.box(1, 2, 3, 4))


@pytest.mark.parametrize("text", ['{"xmin": 170, "ymin": -20, "xmax": -175, "ymax": -10}', "[170, -20, -175, -10]"])
def test_a_box_across_the_antimeridian_is_the_narrow_one(text: str) -> None:
    assert one(text, kind="JSON").equals(shapely.box(170, -20, 185, -10))


@pytest.mark.parametrize("corners", [(20, -20, 10, -10), (20, -10, 10, -20), (170, -10, -175, -20), (9e5, 2, 8e5, 3)])
def test_other_corners_of_a_box_may_come_in_any_order(corners: tuple[float, ...]) -> None:
    assert one(json.dumps(corners), kind="JSON").equals(shapely.box(*corners))


def test_nulls_and_repeats_keep_their_rows() -> None:
    found = parse_geometries(
        ["VARCHAR", "GEOMETRY", "VARCHAR", "VARCHAR"],
        [None, POLYGON.wkb, None, None],
        [POLYGON.wkt, None, None, "POINT(1 2)"],
    )
    assert found[0] == found[1] == POLYGON
    assert found[2] is None
    assert found[3] == shapely.Point(1, 2)
    assert parse_geometries([], [], []).shape == (0,)


def test_feature_without_geometry_is_null_and_empty_stays_empty() -> None:
    assert one('{"type":"Feature","properties":{},"geometry":null}') is None
    assert one("POLYGON EMPTY").is_empty
    assert one("GEOMETRYCOLLECTION EMPTY").is_empty


def test_collection_of_polygons_is_a_multipolygon() -> None:
    found = one(f"GEOMETRYCOLLECTION({POLYGON.wkt}, MULTIPOLYGON(((9 9, 10 9, 10 10, 9 9))))")
    assert found.geom_type == "MultiPolygon"
    assert len(found.geoms) == 2


@pytest.mark.parametrize(
    ("parts", "counts"),
    [
        (("POINT (1 1)", POLYGON.wkt), shapely.MultiPolygon([POLYGON])),
        ((POLYGON.wkt, "LINESTRING (4 3, 9 9)", "MULTIPOINT (1 1, 2 2)"), shapely.MultiPolygon([POLYGON])),
        (
            ("POINT (1 1)", f"GEOMETRYCOLLECTION (LINESTRING (4 3, 9 9), {POLYGON.wkt})"),
            shapely.MultiPolygon([POLYGON]),
        ),
        (("POINT (1 1)", "POLYGON EMPTY"), shapely.Point(1, 1)),
        (("POINT (1 1)", "MULTIPOINT (2 2, 3 3)"), shapely.MultiPoint([(1, 1), (2, 2), (3, 3)])),
        (("POINT (1 1)", "LINESTRING (4 3, 9 9)"), shapely.LineString([(4, 3), (9, 9)])),
        (("LINESTRING (4 3, 9 9)", "LINEARRING (0 0, 1 0, 1 1, 0 0)"), None),
        (("POINT EMPTY", "GEOMETRYCOLLECTION EMPTY"), shapely.MultiPolygon()),
    ],
)
def test_the_polygons_of_a_collection_count_and_without_any_its_lines_or_points(parts, counts) -> None:
    text = f"GEOMETRYCOLLECTION ({', '.join(parts)})"
    for found in (one(text), one(f"SRID=32632;{text}"), parse_geometry(shapely.from_wkt(text))):
        if counts is None:
            assert found.geom_type == "MultiLineString"
            assert len(found.geoms) == 2
        else:
            assert shapely.equals_exact(found, counts)
            assert found.geom_type == counts.geom_type
    assert shapely.get_srid(one(f"SRID=32632;{text}")) == 32632


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("POLYGON((0 0, 1", r"'POLYGON\(\(0 0, 1' \(VARCHAR\) cannot be read; give GEOMETRY, WKT"),
        ("hello", "'hello'"),
        ("", "''"),
        ('{"a": 1}', "cannot be read"),
        ('{"type": "Polygon"', "cannot be read"),
        ("[1, 2, 3]", "cannot be read"),
        ('{"xmin": null, "ymin": 0, "xmax": 1, "ymax": 1}', "cannot be read"),
        ("0102030405060708", "cannot be read"),
        (r"\x01é", "cannot be read"),
        ('{"type":"FeatureCollection","features":[{},{}]}', r"FeatureCollection \(2 features\).*own row"),
        ("POINT(nan 1)", "NaN or infinite"),
        ("LINESTRING(0 0, inf 1)", "NaN or infinite"),
        ("CIRCULARSTRING(0 0, 1 1, 2 0)", "curves"),
        (f"SRID=99999999999;{POLYGON.wkt}", "SRID"),
    ],
)
def test_malformed_text_is_an_error(text: str, message: str) -> None:
    with pytest.raises(InvalidGeometryError, match=message):
        one(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("POLYGON((0 0, 1 0, 1 1))", r"WKT: the ring from 0 0 to 1 1 is not closed, at character 23$"),
        (
            "MULTIPOLYGON(((0 0,1 0,1 1,0 0)),((5 5,6 5,6 6)))",
            r"the ring from 5 5 to 6 6 is not closed, at character 47$",
        ),
        ("POLYGON((0 0, 1", r"WKT: Expected number but encountered end of stream, at character 16$"),
        ("POINT(1,2)", r"WKT: Expected number but encountered ',', at character 8$"),
        ("  POINT(1,2)", r"at character 10$"),
        ("SRID=4326; POINT(1,2)", r"at character 19$"),
        ("MULTIPOINT((1 2)(3 4))", r"encountered: '\(', at character 17$"),
        ("POLYGN((0 0,1 0,1 1,0 0))", r"WKT: Unknown type: 'POLYGN', at character 1$"),
        ("POINT(1 2) x", r"text after end of geometry, at character 12$"),
        ('{"type": "Polygon"', r"JSON: Expecting .* column 19"),
        ('{"type": "Polygon"}', r"GeoJSON: key 'coordinates' not found$"),
        ('{"xmin": null, "ymin": 0, "xmax": 1, "ymax": 1}', r"xmin, ymin, xmax, ymax are to be four finite numbers$"),
        ("[1, 2, 3]", r"a list is two finite numbers, x and y, or four: xmin, ymin, xmax, ymax$"),
        ("0102030405060708", r"WKB: Unknown WKB type 770$"),
    ],
)
def test_a_malformed_text_says_why_and_where(text: str, why: str) -> None:
    with pytest.raises(InvalidGeometryError, match=f"cannot be read; give GEOMETRY.*{why}"):
        one(text)
    with pytest.raises(InvalidGeometryError, match=why):
        parse_geometry(text)


def test_the_place_of_a_fault_in_a_long_text() -> None:
    ring = ", ".join(f"{x} 0" for x in range(5000))
    text = f"POLYGON (({ring}, 1,2, 0 0))"
    with pytest.raises(InvalidGeometryError, match=rf"at character {text.index('1,2') + 2}$"):
        one(text)


def test_malformed_wkb_is_an_error_with_its_beginning() -> None:
    with pytest.raises(InvalidGeometryError, match=r"WKB 0103000000… \(BLOB\)|WKB 0103000000"):
        one(wkb=POLYGON.wkb[:20], kind="BLOB")
    with pytest.raises(InvalidGeometryError, match=r"WKB \(empty\)"):
        one(wkb=b"", kind="BLOB")


def test_messages_stay_short() -> None:
    with pytest.raises(InvalidGeometryError) as caught:
        one("POLYGON((" + "0 0," * 10_000)
    assert len(str(caught.value)) < 300


def test_srid_is_kept() -> None:
    found = parse_geometries(
        ["VARCHAR", "BLOB", "VARCHAR", "VARCHAR"],
        [None, shapely.to_wkb(shapely.set_srid(POLYGON, 3857), include_srid=True), None, None],
        [f"srid = 32632 ; {POLYGON.wkt}", None, POLYGON.wkt, None],
    )
    assert [srid_crs(srid) for srid in shapely.get_srid(found)] == ["EPSG:32632", "EPSG:3857", None, None]
    with pytest.raises(InvalidCrsError, match="999999"):
        srid_crs(999999)


def test_crs_in_a_type_name() -> None:
    assert geometry_kind_crs("GEOMETRY('EPSG:32632')") == "EPSG:32632"
    assert geometry_kind_crs("GEOMETRY('OGC:CRS84')") == "EPSG:4326"
    assert geometry_kind_crs("GEOMETRY") is None
    assert geometry_kind_crs("VARCHAR") is None
    with pytest.raises(InvalidCrsError, match="nowhere"):
        geometry_kind_crs("GEOMETRY('nowhere')")


def test_values_from_python() -> None:
    for value in (POLYGON, POLYGON.wkb, POLYGON.wkt, json.loads(GEOJSON), bytearray(POLYGON.wkb)):
        assert parse_geometry(value) == POLYGON
    assert parse_geometry(None) is None
    with pytest.raises(InvalidGeometryError, match="int"):
        parse_geometry(5)


@settings(max_examples=examples(100))
@given(st.text(max_size=40) | st.from_regex(r"(SRID=\d+;)?(POINT|POLYGON) ?\(.{0,10}\)?", fullmatch=True))
def test_any_text_is_a_geometry_or_our_error(text: str) -> None:
    try:
        found = one(text)
    except (InvalidGeometryError, InvalidCrsError):
        return
    assert (found is None) == (text.strip() == "null")  # of JSON, which hypothesis finds among our constants


@settings(max_examples=examples(100))
@given(st.binary(max_size=60))
def test_any_bytes_are_a_geometry_or_our_error(data: bytes) -> None:
    try:
        one(wkb=b"\x01" + data, kind="BLOB")
    except InvalidGeometryError:
        return


@settings(max_examples=examples(50))
@given(st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=1, max_size=5))
def test_points_survive_every_form(points: list[tuple[float, float]]) -> None:
    shapes = [shapely.Point(p) for p in points]
    n = len(shapes)
    as_wkb = parse_geometries(["GEOMETRY"] * n, [s.wkb for s in shapes], [None] * n)
    as_text = parse_geometries(["VARCHAR"] * n, [None] * n, [shapely.to_geojson(s) for s in shapes])
    np.testing.assert_array_equal(shapely.get_coordinates(as_wkb), np.array(points))
    np.testing.assert_array_equal(shapely.get_coordinates(as_text), np.array(points))


@pytest.mark.parametrize("distinct", [3, 300])
def test_many_rows_whether_their_values_repeat_or_not(distinct):
    """Points as WKB, WKT and NULL in turn; one that cannot be read is named among them."""
    number = [i % distinct for i in range(900)]
    wkb = [shapely.to_wkb(shapely.Point(n, -n)) if n % 3 == 0 else None for n in number]
    text = [f"POINT({n} {-n})" if n % 3 == 1 else None for n in number]
    kind = ["GEOMETRY" if n % 3 == 0 else "VARCHAR" for n in number]
    found = parse_geometries(kind, wkb, text)
    assert [None if one is None else (one.x, one.y) for one in found] == [
        None if n % 3 == 2 else (n, -n) for n in number
    ]
    text[number.index(1, 400)] = "POINT(1"
    with pytest.raises(InvalidGeometryError, match=r"POINT\(1"):
        parse_geometries(kind, wkb, text)
