"""What bad rows of a table get, in Python and in SQL: see docs/search.md and docs/tables.md."""

from __future__ import annotations

import re
import warnings

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

import rasteret_sql
from rasteret_sql.errors import TableError
from tests.sampling import some

BOX = shapely.box(9.0, 45.15, 9.002, 45.16)
AREA = (9.0003, 45.1526, 9.0009, 45.1534)


@pytest.fixture
def files(tmp_path):
    grid = from_origin(500000, 5000050, 10, 10)
    size = {"width": 16, "height": 16, "count": 1, "dtype": "uint16"}
    for name, crs in (("metres", 32632), ("loose", None)):
        with rasterio.open(tmp_path / f"{name}.tif", "w", driver="GTiff", crs=crs, transform=grid, **size) as out:
            out.write(np.arange(1, 257, dtype="uint16").reshape(1, 16, 16))
    (tmp_path / "page.tif").write_text("<html>")
    return tmp_path


def row(files, name="odd", file="metres.tif", **changes):
    plain = {"id": name, "datetime": "2024-05-01T00:00:00Z", "geometry": BOX.wkb, "path": str(files / file)}
    return plain | changes


def build(files, *rows, expect=(), in_sql=False, **given):
    """The rows as a collection; just the warnings that are expected."""
    columns = dict.fromkeys(key for one in rows for key in one)
    pq.write_table(pa.table({name: [one.get(name) for one in rows] for name in columns}), files / "t.parquet")
    given = {"href_column": "path", "band_codes": ["a"]} | given
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        built = rasteret_sql.build_from_table(
            files / "t.parquet", name="rows", workspace_dir=files / "ws", enrich_cog=True, force=True, **given
        )
    said = [str(one.message) for one in told]
    assert len(said) == len(expect), said
    assert all(any(text in one for one in said) for text in expect), said
    return built


def refused(files, says, *rows, **given):
    with pytest.raises(TableError, match=says):
        build(files, *rows, **given)
    with rasteret_sql.connect(workspace_dir=files / "ws") as con, pytest.raises(duckdb.Error, match=says) as told:
        con.execute(
            "FROM rasteret_build_from_table($1, href_column := 'path', force := true)", [str(files / "t.parquet")]
        ).fetchall()
    assert "\n" not in str(told.value).strip().partition("\n\n")[0]


def test_rows_without_geometry_lie_where_their_file_does(files):
    built = build(files, row(files, geometry=None), row(files, "good"), expect=["(odd) without geometry"])
    rows = {one["id"]: one for one in built.to_table(["id", "geometry", "bbox"]).to_pylist()}
    with rasterio.open(files / "metres.tif") as image:
        wanted = transform_bounds(image.crs, 4326, *image.bounds)
    assert np.allclose(shapely.from_wkb(rows["odd"]["geometry"]).bounds, wanted, atol=1e-6)
    assert np.allclose(list(rows["odd"]["bbox"].values()), wanted, atol=1e-6)
    assert len(built.get_numpy(AREA, ["a"])) == 2
    # A bbox asks before any file is touched: a row without a place is not in it.
    assert build(files, row(files, geometry=None), row(files, "good"), bbox=AREA).to_table(["id"])[
        "id"
    ].to_pylist() == ["good"]


def test_rows_without_datetime(files):
    built = build(files, row(files, datetime=None), row(files, "good"), expect=["(odd) without datetime"])
    assert len(built) == 2
    assert len(build(files, row(files, datetime=None), row(files, "good"), date_range=("2024", "2024"))) == 1


def test_rows_without_or_with_a_wrong_crs(files):
    wrong = row(files, **{"proj:epsg": 32633})
    assert build(files, wrong).epsg == [32632]
    assert build(files, row(files, file="loose.tif", **{"proj:epsg": 32632})).get_numpy(AREA, ["a"]).any()
    bare = build(files, row(files, file="loose.tif"), expect=["neither files nor item say the CRS"])
    with pytest.raises(ValueError, match="no georeference"):
        bare.get_numpy(AREA, ["a"])


def test_rows_whose_file_is_no_tiff_or_is_not_named(files):
    told = ["this is not a TIFF file"]
    built = build(files, row(files, file="page.tif"), row(files, "good"), expect=told)
    status = dict(zip(*built.to_table(["id", "status"]).to_pydict().values(), strict=True))
    assert status["good"] == "ok"
    assert "not a TIFF" in status["odd"]
    told = ["(odd) without a file for any band"]
    assert len(build(files, row(files, path=None), row(files, "good"), expect=told)) == 2


def test_rows_of_one_id(files):
    assert len(build(files, row(files), row(files))) == 1
    other = row(files, file="loose.tif")
    refused(files, 'the id "odd" stands in several rows with different files', row(files), other)
    dated = [row(files, updated="2024-05-02T00:00:00Z"), other | {"updated": "2024-05-01T00:00:00Z"}]
    told = ["(odd) given twice with different files, the one updated last is used"]
    assert build(files, *dated, expect=told).epsg == [32632]


@pytest.mark.parametrize("name", some([None, ""], 2))
def test_rows_without_id(files, name):
    refused(files, "row 1 of those read has no id", row(files, name), row(files, "good"))


def statuses(built):
    return {one["id"]: one["status"] for one in built.to_table(["id", "status"]).to_pylist()}


BEYOND = 253_402_300_800  # seconds: the first of the year 10000
UNREADABLE = {
    "text": ("datetime", "yesterday", "datetime: 'yesterday' is no time"),
    "beyond_in_utc": ("datetime", "9999-12-31T23:59:59-05:00", "beyond the calendar in UTC"),
    "wkb": ("geometry", b"\x01\x03nothing", "geometry: .* is no geometry"),
    "box": ("bbox", [1.0, 2.0, 3.0], r"bbox: \[1.0, 2.0, 3.0\] is no box of four or six numbers"),
    "code": ("proj:epsg", "EPSG:none", "proj:epsg: 'EPSG:none' is no EPSG code"),
}


@pytest.mark.parametrize("kind", some(UNREADABLE, 99))
@pytest.mark.filterwarnings("ignore")
def test_value_that_cannot_be_read_is_null_and_said(files, kind):
    """As those of STAC items: the row stays, its pixels can be read, and the column status says why."""
    column, value, reason = UNREADABLE[kind]
    plain = {"proj:epsg": "EPSG:32632", "bbox": [9.0, 45.15, 9.002, 45.16]}
    table = pa.table(
        {
            name: [one.get(name) for one in (row(files, "good") | plain, row(files, "odd") | plain | {column: value})]
            for name in (*row(files), *plain)
        }
    )
    pq.write_table(table, files / "t.parquet")
    given = {"href_column": "path", "band_codes": ["a"], "workspace_dir": files / "ws", "enrich_cog": True}
    built = rasteret_sql.build_from_table(files / "t.parquet", name="rows", force=True, **given)
    said = statuses(built)
    assert said["good"] == "ok"
    assert re.search(reason, said["odd"])
    rows = {one["id"]: one for one in built.to_table(["id", "datetime", "geometry"]).to_pylist()}
    assert (rows["odd"]["datetime"] is None) == (column == "datetime")
    assert len(built.get_numpy(AREA, ["a"])) == 2
    # Once more, by a refresh, and in what is appended.
    built.refresh()
    assert re.search(reason, statuses(rasteret_sql.load("rows", workspace_dir=files / "ws"))["odd"])
    late = table.slice(1).set_column(0, "id", pa.array(["later"]))
    pq.write_table(late, files / "late.parquet")
    said = statuses(built.append(stac_api=files / "late.parquet"))
    assert said["good"] == "ok"
    assert all(re.search(reason, said[name]) for name in ("odd", "later"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("unit", some(["s", "ms", "us"], 3))
def test_times_beyond_the_calendar_are_null_in_every_column(files, unit):
    times = {"s": 1, "ms": 1000, "us": 1_000_000}[unit]
    values = pa.array([1_700_000_000 * times, BEYOND * times], pa.timestamp(unit))
    table = pa.table(
        {
            "id": ["good", "odd"],
            "datetime": values,
            "created": values,
            "expires": values,
            "geometry": [BOX.wkb] * 2,
            "path": [str(files / "metres.tif")] * 2,
        }
    )
    with rasteret_sql.connect(workspace_dir=files / "ws") as con:
        con.register("given", table)
        pq.write_table(table, files / "t.parquet")
        con.execute(
            "FROM rasteret_build_from_table($1, name := 'rows', href_column := 'path', band_codes := ['a'])",
            [str(files / "t.parquet")],
        )
        query = "SELECT id, datetime IS NULL, created IS NULL, expires IS NULL, status FROM rasteret.rows ORDER BY id"
        good, odd = con.execute(query).fetchall()
        assert good == ("good", False, False, False, "ok")
        assert odd[:4] == ("odd", True, True, True)
        for column in ("datetime", "created", "expires"):
            assert re.search(f"{column}: {BEYOND}[0-9]* .*beyond the calendar", odd[4])


def test_integers_that_are_no_years_are_another_type(files):
    refused(files, "of those read is one, such as 1700000000", row(files, datetime=1_700_000_000))
