"""Values of items that nothing can hold: NULL, with the scene's status saying so; what failed fails no later build."""

import json

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from index_catalog import item, request, write_catalog

import rasteret_sql
from rasteret_sql.errors import RasteretError
from rasteret_sql.index.change.build import build
from rasteret_sql.index.change.export import export_collection
from rasteret_sql.index.change.transaction import Change
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.place.workspace import find_collection
from rasteret_sql.index.read.scene_scan import scan_sql
from tests.sampling import examples

FILES = {"red": "./s0_B04.tif", "nir": "./s0_B08.tif"}
GOOD = item("good", "2024-03-10T10:30:00Z", FILES, gsd=10, expires="2030-01-01T00:00:00Z", n=1)


def built(directory, odd, name="bay"):
    """Rows by id, of a good item and an odd one."""
    if not (directory / "items.json").exists():
        write_catalog(directory, [])
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [GOOD, odd]}))
    path = build(request(directory / "items.json", directory / "ws", name, force=True))
    rows = duckdb.sql(scan_sql(open_collection(path))).to_arrow_table()
    return {row["id"]: row for row in rows.to_pylist()}


def odd_item(**properties):
    return item("odd", "2024-03-10T10:30:00Z", FILES, **properties)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("expires", "9999-12-31T23:59:59-05:00", "'9999-12-31T23:59:59-05:00' is beyond the calendar in UTC"),
        ("created", "0001-01-01T00:00:00+05:00", "'0001-01-01T00:00:00+05:00' is beyond the calendar in UTC"),
        ("expires", "2024-02-30T00:00:00Z", "'2024-02-30T00:00:00Z' is no time"),
        ("updated", 20240230, "20240230 is no time"),
        ("gsd", "many", "'many' is no number"),
        ("gsd", "nan", "'nan' is no number"),
        ("gsd", True, "True is no number"),
        ("view:off_nadir", [1.5], "[1.5] is no number"),
        ("n", 10**400, "is beyond the numbers of 64 bits"),
        ("sizes", [1, 10**400], "is beyond the numbers of 64 bits"),
        ("platform", "half \ud800", "is no Unicode text"),
        ("nested", {"deep": [{"text": "\udfff"}]}, "is no Unicode text"),
    ],
)
def test_a_value_that_no_column_holds_is_null_and_the_status_says_so(tmp_path, column, value, why):
    rows = built(tmp_path, odd_item(**{column: value}))
    assert rows["odd"][column] is None
    assert rows["odd"]["status"].startswith(f"{column}: ")
    assert why in rows["odd"]["status"]
    assert rows["good"]["status"] == "ok"


def test_one_odd_value_changes_no_columns_type(tmp_path):
    with pytest.warns(RuntimeWarning, match="values that could not be read"):
        rows = built(tmp_path, odd_item(gsd="many", expires="soon"))
    assert rows["good"]["gsd"] == 10.0
    assert rows["good"]["expires"].isoformat().startswith("2030-01-01T00:00:00")
    assert rows["odd"]["status"].count(" is no ") == 2


def test_a_number_written_as_text_is_a_number(tmp_path):
    rows = built(tmp_path, odd_item(**{"gsd": "12.5", "view:off_nadir": " 3 "}))
    assert (rows["odd"]["gsd"], rows["odd"]["view:off_nadir"], rows["odd"]["status"]) == (12.5, 3.0, "ok")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("bbox", [1, 2, "3", 4]),
        ("bbox", [9, 48, 10**400, 49]),
        ("bbox", [9, 49, 10, 48]),
        ("geometry", {"type": "Polygon", "coordinates": "none"}),
        ("geometry", {"type": "Polygon", "coordinates": [[[9, 48], [10**400, 48], [10, 49], [9, 48]]]}),
        ("geometry", {"type": "Heart"}),
        ("geometry", [1, 2]),
    ],
)
def test_a_place_that_cannot_be_read_is_said_and_taken_from_elsewhere(tmp_path, member, value):
    rows = built(tmp_path, odd_item() | {member: value})
    assert rows["odd"]["status"].startswith(f"{member}: ")
    assert rows["odd"]["bbox"] is not None  # of the geometry, or of the files


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_other_facts_that_cannot_be_read(tmp_path):
    odd = odd_item(**{"proj:epsg": 10**12})
    odd["properties"]["datetime"] = "9999-12-31T23:59:59-05:00"
    odd["collection"] = "c\ud800"
    odd["assets"]["red\udfff"] = {"href": "./s\ud800.tif"}
    row = built(tmp_path, odd)["odd"]
    assert row["datetime"] is None
    assert "datetime: '9999-12-31T23:59:59-05:00' is no time of RFC 3339" in row["status"]
    assert "proj:epsg: 1000000000000 is no EPSG code" in row["status"]
    assert row["collection"] == "c\ufffd"


@pytest.mark.filterwarnings("ignore:.*values that could not be read:RuntimeWarning")
def test_an_export_and_the_life_of_such_a_collection(tmp_path):
    with pytest.warns(RuntimeWarning, match="1 item with values that could not be read, NULL in their scenes.*: odd"):
        built(tmp_path, odd_item(expires="9999-12-31T23:59:59-05:00"))
    index = find_collection("bay", tmp_path / "ws")
    exported = open_collection(export_collection(index, tmp_path / "export"))
    rows = duckdb.sql(f"SELECT id, expires::VARCHAR, status FROM ({scan_sql(exported)}) ORDER BY id").fetchall()
    assert rows[0] == ("good", "2030-01-01 00:00:00", "ok")
    assert rows[1][1:] == (None, "expires: '9999-12-31T23:59:59-05:00' is beyond the calendar in UTC")
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        assert con.execute("SELECT changed, added, gone FROM rasteret_refresh('bay')").fetchall() == [(0, 0, 0)]
        assert con.execute("SELECT added FROM rasteret_append('bay')").fetchall() == [(0,)]
        mended = {"type": "FeatureCollection", "features": [GOOD, odd_item(expires="2031-01-01T00:00:00Z")]}
        (tmp_path / "items.json").write_text(json.dumps(mended))
        assert con.execute("SELECT changed, added, gone FROM rasteret_refresh('bay')").fetchall() == [(1, 0, 0)]
        assert con.execute("SELECT DISTINCT status FROM rasteret.bay").fetchall() == [("ok",)]


# What failed


def broken_once(monkeypatch, error):
    """Writing fails once, with an error that is none of ours."""
    create, calls = Change.create, []

    def fails(*values, **named):
        calls.append(1)
        if len(calls) == 1:
            raise error
        return create(*values, **named)

    monkeypatch.setattr(Change, "create", fails)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("error", [OverflowError("date value out of range"), MemoryError(), pa.ArrowInvalid("no")])
def test_a_build_that_failed_by_any_error_leaves_nothing(tmp_path, monkeypatch, force, error):
    catalog, workspace = write_catalog(tmp_path / "catalog"), tmp_path / "ws"
    broken_once(monkeypatch, error)
    with pytest.raises(type(error)):
        build(request(catalog, workspace, force=force))
    assert list(workspace.glob(".*.journal")) == []
    mended = json.loads(catalog.read_text())
    mended["features"] = mended["features"][:2]
    catalog.write_text(json.dumps(mended))
    assert open_collection(build(request(catalog, workspace, force=force))).count_rows() == 2


# Anything at all

TEXTS = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(
    ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+14:00", "2024-13-01", "2024-01-01T00:00:00.123456789Z", "12.5",
     "\ud800", "https://u:p@h/x?token=s", "\0", "NaN", ""]
)  # fmt: skip
NUMBERS = (
    st.integers()
    | st.sampled_from([2**63, -(2**63) - 1, 10**30, 10**309, -(10**400)])
    | st.floats(allow_nan=True, allow_infinity=True)
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["expires", "created", "updated", "datetime", "start_datetime", "end_datetime", "eo:cloud_cover", "gsd", "n",
     "status", "id", "proj:epsg", "proj:code", "proj:shape", "proj:transform", "year", "platform", "instruments"]
) | TEXTS  # fmt: skip
NEAR = st.integers(-400, 400) | st.floats(-400, 400) | VALUES
RINGS = st.lists(st.lists(NEAR, min_size=0, max_size=3), max_size=6)
GEOMETRIES = VALUES | st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Point", "Polygon", "MultiPolygon", "LineString", "GeometryCollection", "Polygon"]),
        "coordinates": VALUES | RINGS | st.lists(RINGS, max_size=2),
    }
)
BOXES = VALUES | st.lists(NEAR, min_size=4, max_size=6)
QUICK = settings(
    max_examples=examples(40),
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@QUICK
@given(properties=st.dictionaries(NAMES, VALUES, max_size=4), geometry=GEOMETRIES, bbox=BOXES, collection=VALUES)
def test_no_value_of_an_item_stops_a_build(tmp_path, properties, geometry, bbox, collection):
    odd = odd_item() | {"geometry": geometry, "bbox": bbox, "collection": collection}
    odd["properties"] |= properties
    rows = built(tmp_path, odd)
    assert set(rows) == {"good", "odd"}
    assert rows["good"]["status"] == "ok"
    assert rows["good"]["gsd"] is not None


COLUMNS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=2),
    st.lists(st.floats(allow_nan=True), min_size=2, max_size=2),
    st.lists(st.text(max_size=5), min_size=2, max_size=2),
    st.lists(st.datetimes(), min_size=2, max_size=2),
    st.lists(st.none() | st.booleans(), min_size=2, max_size=2),
    st.lists(st.lists(st.integers(0, 9), max_size=2), min_size=2, max_size=2),
    st.lists(st.fixed_dictionaries({"a": st.none() | st.text(max_size=3)}), min_size=2, max_size=2),
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@QUICK
@given(
    columns=st.dictionaries(
        st.sampled_from(["expires", "updated", "n", "status", "year", "proj:epsg", "crs", "bbox"]), COLUMNS
    ),
    when=st.lists(st.none() | st.sampled_from(["2024-01-01", "2024-01-01T00:00:00Z"]), min_size=2, max_size=2),
)
def test_no_value_of_a_table_stops_a_build_with_an_error_that_is_not_ours(tmp_path, columns, when):
    if not (tmp_path / "s0_B04.tif").exists():
        write_catalog(tmp_path, [])
    path = str(tmp_path / "s0_B04.tif")
    table = pa.table({"id": ["a", "b"], "path": [path, path], "datetime": pa.array(when, pa.string()), **columns})
    pq.write_table(table, tmp_path / "t.parquet")
    options = {"name": "t", "workspace_dir": tmp_path / "ws", "href_column": "path", "enrich_cog": True, "force": True}
    try:
        built_of = rasteret_sql.build_from_table(tmp_path / "t.parquet", **options)
    except RasteretError as error:
        assert any(word in str(error) for word in ("bbox", "updated")), error  # a column of the wrong type altogether
    else:
        assert sorted(built_of.to_table(["id"])["id"].to_pylist()) == ["a", "b"]
