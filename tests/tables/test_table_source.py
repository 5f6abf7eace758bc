"""What a table of scenes gives: promises E14, E16-E20, D8, D28, D34, and the errors of semantics §7."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pyproj
import pytest
import shapely

from rasteret_sql.errors import InvalidArgumentError, InvalidCrsError, RasteretError, TableError, UnsaidSampleError
from rasteret_sql.tables.assets import KnownBands
from rasteret_sql.tables.table_source import TableSource
from tests.sampling import some
from tests.tables.conftest import AEF, AEF_MAP, FIXTURES, box, find, scenes


def ids(found):
    return [scene.id for scene in found.scenes]


# ---- what comes in

FORMS = {
    "table": lambda t, _: t,
    "record batch": lambda t, _: t.combine_chunks().to_batches()[0],
    "reader": lambda t, _: t.to_reader(),
    "dataset": lambda t, _: ds.dataset(t),
    "stream": lambda t, _: _Stream(t),
    "path": lambda _, p: p,
    "text": lambda _, p: str(p),
    "file uri": lambda _, p: p.as_uri(),
    "directory": lambda _, p: p.parent,
    "pattern": lambda _, p: str(p.parent / "*.parquet"),
    "file dataset": lambda _, p: ds.dataset(p),
}


class _Stream:
    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_gives_the_same_scenes(form, tmp_path):
    """E13."""
    (tmp_path / "t").mkdir()
    path = tmp_path / "t" / "scenes.parquet"
    pq.write_table(scenes(), path)
    found = find(FORMS[form](scenes(), path))
    assert ids(found) == ["s0", "s1", "s2"]
    assert found.bands == ("B04", "B08")
    assert found.scenes[1].bbox == (12.0, 48.0, 12.5, 48.5)
    assert found.scenes[1].datetime == dt.datetime(2024, 2, 10, 10, 30)
    assert found.scenes[1].bands["B08"].href == "s3://bkt/s1_B08.tif"
    assert found.columns.column("eo:cloud_cover").to_pylist() == [0.0, 5.0, 10.0]


def test_hive_directories_give_their_keys_as_columns(tmp_path):
    ds.write_dataset(
        scenes(4, place=["a", "b", "a", "b"]),
        tmp_path,
        format="parquet",
        partitioning=["place"],
        partitioning_flavor="hive",
    )
    assert ids(find(tmp_path, filter_expr="place = 'b'")) == ["s1", "s3"]
    assert find(tmp_path).columns.column("place").to_pylist() == ["a", "a", "b", "b"]


def test_files_of_a_directory_may_have_more_columns_than_the_first(tmp_path):
    pq.write_table(scenes(1), tmp_path / "a.parquet")
    pq.write_table(scenes(1, id=["other"], extra=[7]), tmp_path / "b.parquet")
    assert find(tmp_path).columns.column("extra").to_pylist() == [None, 7]


@pytest.mark.parametrize("what", [7, None, ["a"], {"a": 1}])
def test_what_is_no_table_is_a_type_error(what):
    with pytest.raises(TypeError, match="give the path or URI of a Parquet file"):
        TableSource(what)


def test_a_path_where_nothing_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no table is at .*none\.parquet"):
        find(tmp_path / "none.parquet")
    with pytest.raises(FileNotFoundError, match="holds no Parquet file"):
        find(tmp_path)


def test_a_file_that_is_no_parquet(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"id,datetime\n1,2024")
    with pytest.raises(TableError, match=r"x\.parquet cannot be read as a table.*expected Parquet"):
        find(tmp_path / "x.parquet")


# ---- real files


def test_stac_geoparquet_of_naip_has_its_four_samples():
    found = find(FIXTURES / "naip.parquet")
    assert found.bands == ("Red", "Green", "Blue", "NIR")
    scene = found.scenes[0]
    assert (scene.collection, scene.epsg) == ("naip", 26914)
    assert {name: asset.band_index for name, asset in scene.bands.items()} == {
        "Red": 0,
        "Green": 1,
        "Blue": 2,
        "NIR": 3,
    }
    assert scene.bbox == (-100.004084, 34.934259, -99.933454, 35.00323)
    assert found.columns.schema.field("proj:transform").type == pa.list_(pa.float64())


def test_stac_geoparquet_of_landsat_with_the_names_of_a_dataset():
    """E14: data_source selects the band mapping."""
    band_map = {"B2": "blue", "B4": "red", "B5": "nir08", "B99": "none"}
    found = find(FIXTURES / "8-landsat-items.parquet", known=[KnownBands({"X": "none"}), KnownBands(band_map)])
    assert found.bands == ("B2", "B4", "B5")
    assert found.scenes[0].bands["B4"].href.endswith("SR_B4.TIF")
    plain = find(FIXTURES / "8-landsat-items.parquet")
    assert {"red", "nir08", "qa_pixel"} <= set(plain.bands)


def test_names_of_a_dataset_fit_tables_that_use_them_already():
    """E14."""
    found = find(
        FIXTURES / "8-sentinel-2-items.parquet", known=[KnownBands({"B04": "red", "B08": "nir", "SCL": "scl"})]
    )
    assert found.bands == ("B04", "B08", "SCL")


def test_stac_geoparquet_keeps_columns_with_their_types():
    found = find(FIXTURES / "8-sentinel-2-items.parquet", columns=["eo:cloud_cover", "instruments", "s2:mgrs_tile"])
    assert found.columns.schema == pa.schema(
        [("eo:cloud_cover", pa.float64()), ("instruments", pa.list_(pa.string())), ("s2:mgrs_tile", pa.string())]
    )


# ---- columns


def test_each_required_column_is_named_when_it_is_missing():
    """E16."""
    for name in ("id", "datetime", "geometry", "assets"):
        with pytest.raises(
            ValueError, match=f"lacks the column {name}, which a collection needs; it has .*eo:cloud_cover"
        ):
            find(scenes(**{name: None}))
    with pytest.raises(TableError, match="lacks the columns datetime, geometry, assets"):
        find(pa.table({"id": ["a"]}))


def test_column_map_names_columns_and_keeps_the_originals():
    """E17, D7."""
    table = scenes().rename_columns(["fid", "when", "geom", "files", "clouds"])
    found = find(
        table,
        column_map={"fid": "id", "when": "datetime", "geom": "geometry", "files": "assets", "clouds": "eo:cloud_cover"},
    )
    assert ids(found) == ["s0", "s1", "s2"]
    assert found.columns.column_names == ["fid", "when", "geom", "files", "eo:cloud_cover"]
    assert found.columns.column("geom").to_pylist()[0] == box()


def test_column_map_the_wrong_way_round_says_so():
    table = scenes().rename_columns(["fid", "datetime", "geometry", "assets", "clouds"])
    with pytest.raises(TableError, match=r"not the other way round"):
        find(table, column_map={"id": "fid"})
    with pytest.raises(TableError, match=r'column_map .* names the column "fidd".*did you mean "fid"'):
        find(table, column_map={"fidd": "id"})


def test_href_column_that_is_not_there():
    with pytest.raises(ValueError, match=r'href_column names the column "q", which the table does not have.*Known: id'):
        find(scenes(assets=None), href_column="q")


def test_columns_named_as_ours_get_another_name():
    found = find(scenes(status=["x"] * 3, year=[2024] * 3, month=["m"] * 3, red_metadata=[1] * 3, Bbox=[0] * 3))
    assert found.columns.column_names == [
        "eo:cloud_cover", "status_property", "month_property", "red_metadata_property", "Bbox_property",
    ]  # fmt: skip


def test_a_year_that_is_another_one_is_kept():
    assert find(scenes(year=[1999] * 3)).columns.column("year_property").to_pylist() == [1999] * 3


def test_columns_that_parquet_cannot_hold_become_text():
    found = find(
        scenes(nothing=pa.nulls(3), empty=pa.array([{}] * 3, pa.struct([])), view=pa.array(["a"] * 3, pa.string_view()))
    )
    types = {field.name: field.type for field in found.columns.schema}
    assert types["nothing"] == types["empty"] == types["view"] == pa.string()


def test_a_column_twice_is_an_error():
    table = scenes()
    with pytest.raises(TableError, match='several columns "id"'):
        find(table.append_column("id", table.column("id")))


# ---- ids


def test_integer_ids_become_text():
    assert ids(find(scenes(id=[1, 2, 3]))) == ["1", "2", "3"]


def test_an_id_that_is_null_names_its_row():
    with pytest.raises(TableError, match='row 2 of those read has no id: "id" is null'):
        find(scenes(id=["a", None, "c"]))


def test_an_id_twice_with_the_same_files_is_kept_once():
    assets = [{"B04": "a.tif"}] * 3
    found = find(scenes(id=["a", "a", "b"], assets=assets))
    assert ids(found) == ["a", "b"]
    assert found.scenes[0].datetime.month == 1
    assert len(found.columns) == 2


def test_an_id_twice_with_other_files_is_an_error_or_the_newest():
    with pytest.raises(TableError, match='the id "a" stands in several rows with different files'):
        find(scenes(id=["a", "a", "b"]))
    found = find(scenes(id=["a", "a", "b"], updated=["2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", None]))
    assert found.scenes[0].bands["B04"].href == "s3://bkt/s1_B04.tif"
    assert "updated last" in found.notes[0]


# ---- times


@pytest.mark.parametrize(
    ("column", "first"),
    [
        (pa.array([2023, 2024], pa.int32()), dt.datetime(2023, 1, 1)),
        (pa.array(["2023", "2024"]), dt.datetime(2023, 1, 1)),
        (pa.array(["2023-05-06T07:08:09+02:00", "2024-01-01"]), dt.datetime(2023, 5, 6, 5, 8, 9)),
        (pa.array([dt.date(2023, 5, 6), None]), dt.datetime(2023, 5, 6)),
        (pa.array([dt.datetime(2023, 5, 6, 7)] * 2, pa.timestamp("ns", "Europe/Berlin")), dt.datetime(2023, 5, 6, 7)),
        (pa.array([dt.datetime(2023, 5, 6, 7)] * 2, pa.timestamp("ms")), dt.datetime(2023, 5, 6, 7)),
        (pa.array(["2023-05-06T00:00:00Z"] * 2).dictionary_encode(), dt.datetime(2023, 5, 6)),
    ],
)
def test_every_type_of_time(column, first):
    """D34: an integer is a year."""
    assert find(scenes(2, datetime=column)).scenes[0].datetime == first


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1.5, 2.0]), "is of type double; expected timestamps, dates"),
        (pa.array([True, False]), "is of type bool"),
        (pa.array([20240101, 20240102]), "none of those read is one, such as 20240101"),
    ],
)
def test_types_that_are_no_time(column, message):
    with pytest.raises(ValueError, match=message):
        find(scenes(2, datetime=column))


def test_a_missing_time_is_taken_from_the_start():
    start = pa.array([dt.datetime(2024, 1, 1)] * 3, pa.timestamp("us", "UTC"))
    found = find(
        scenes(datetime=pa.nulls(3), start_datetime=start, end_datetime=start), date_range=("2024-01-01", "2024-01-01")
    )
    assert [scene.datetime for scene in found.scenes] == [dt.datetime(2024, 1, 1)] * 3
    assert "without datetime" in find(scenes(datetime=pa.nulls(3))).notes[0]


# ---- places


@pytest.mark.parametrize("form", ["wkb", "wkt", "geojson", "polygon", "multipolygon", "interleaved", "box"])
def test_every_form_of_a_geometry(form):
    shape = shapely.box(11, 48, 11.5, 48.5)
    xy = [{"x": x, "y": y} for x, y in shape.exterior.coords]
    point = pa.struct([("x", pa.float64()), ("y", pa.float64())])
    column = {
        "wkb": lambda: pa.array([shapely.to_wkb(shape), None], pa.large_binary()),
        "wkt": lambda: pa.array([shape.wkt, None]),
        "geojson": lambda: pa.array([shapely.to_geojson(shape), None]),
        "polygon": lambda: pa.array([[xy], None], pa.list_(pa.list_(point))),
        "multipolygon": lambda: pa.array([[[xy]], None], pa.list_(pa.list_(pa.list_(point)))),
        "interleaved": lambda: pa.array(
            [[[list(p.values()) for p in xy]], None], pa.list_(pa.list_(pa.list_(pa.float64(), 2)))
        ),
        "box": lambda: pa.array([dict(zip(("xmin", "ymin", "xmax", "ymax"), shape.bounds, strict=True)), None]),
    }[form]()
    found = find(scenes(2, geometry=column))
    assert shapely.from_wkb(found.scenes[0].geometry).equals(shape)
    assert found.scenes[0].bbox == shape.bounds
    assert found.scenes[1].geometry is found.scenes[1].bbox is None
    assert found.notes == ("1 scene (s1) without geometry",)


def moved_by_pyproj(shape, source, target):
    move = pyproj.Transformer.from_crs(source, target, always_xy=True).transform
    return shapely.transform(shape, lambda xy: np.column_stack(move(*xy.T)))


def projected(crs, metadata):
    shape = shapely.box(500000, 5399200, 500800, 5400000)
    field = pa.field("geometry", pa.binary(), metadata=metadata)
    table = scenes(1).drop_columns("geometry").append_column(field, pa.array([shapely.to_wkb(shape)], pa.binary()))
    wanted = moved_by_pyproj(shape, crs, "EPSG:4326")
    return table, wanted


def test_a_geometry_of_another_crs_moves_to_lonlat_and_its_box_is_computed_anew():
    extension = {
        b"ARROW:extension:name": b"geoarrow.wkb",
        b"ARROW:extension:metadata": json.dumps({"crs": "EPSG:32632"}).encode(),
    }
    table, wanted = projected("EPSG:32632", extension)
    table = table.append_column("bbox", pa.array([{"xmin": 0.0, "ymin": 0.0, "xmax": 1.0, "ymax": 1.0}]))
    found = find(table)
    assert shapely.from_wkb(found.scenes[0].geometry).equals_exact(wanted, 1e-9)
    assert found.scenes[0].bbox == pytest.approx(wanted.bounds)
    # By GeoParquet's metadata, and searched in its own CRS by statistics.
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {"encoding": "WKB", "crs": {"id": {"authority": "EPSG", "code": 32632}, "type": "ProjectedCRS"}}
        },
    }
    bare, _ = projected("EPSG:32632", None)
    with pytest.raises(InvalidCrsError):
        find(bare.replace_schema_metadata({"geo": json.dumps(geo)}))
    geo["columns"]["geometry"]["crs"] = "EPSG:32632"
    found = find(bare.replace_schema_metadata({"geo": json.dumps(geo)}), bbox=(9.0, 48.7, 9.1, 48.8))
    assert found.scenes[0].bbox == pytest.approx(wanted.bounds)
    geo["columns"]["geometry"]["crs"] = None
    with pytest.raises(InvalidCrsError, match="CRS is not known"):
        find(bare.replace_schema_metadata({"geo": json.dumps(geo)}))


def test_a_footprint_moved_across_the_antimeridian_stays_narrow():
    shape = shapely.transform(shapely.box(179.8, -17, 180.2, -16.5), lambda xy: xy)
    moved = moved_by_pyproj(shape, "EPSG:4326", "EPSG:32760")
    extension = {b"ARROW:extension:name": b"geoarrow.wkb", b"ARROW:extension:metadata": b'{"crs": "EPSG:32760"}'}
    field = pa.field("geometry", pa.binary(), metadata=extension)
    table = scenes(1).drop_columns("geometry").append_column(field, pa.array([shapely.to_wkb(moved)]))
    found = find(table, bbox=(-179.9, -17, -179.85, -16.9))
    geometry = shapely.from_wkb(found.scenes[0].geometry)
    assert geometry.geom_type == "MultiPolygon"
    assert geometry.area == pytest.approx(0.2, rel=0.01)
    assert not find(table, bbox=(0, -17, 1, -16)).scenes


def test_boxes_stand_for_geometries():
    """D8."""
    sides = {"minx": "w", "miny": "s", "maxx": "e", "maxy": "n"}
    table = scenes(2, geometry=None, w=[11.0, 179.0], s=[48.0, -17.0], e=[11.5, -179.0], n=[48.5, -16.0])
    found = find(table, bbox_columns=sides)
    assert shapely.from_wkb(found.scenes[0].geometry).equals(shapely.box(11, 48, 11.5, 48.5))
    assert found.scenes[1].bbox == (-180.0, -17.0, 180.0, -16.0)
    assert shapely.from_wkb(found.scenes[1].geometry).geom_type == "MultiPolygon"
    for area, wanted in {(11, 48, 12, 49): ["s0"], (179.5, -17, 180.5, -16): ["s1"], (0, 0, 1, 1): []}.items():
        assert ids(find(table, bbox_columns=sides, bbox=area)) == wanted
    with pytest.raises(TableError, match="bbox_columns names minx; it takes each of minx, miny, maxx, maxy"):
        find(table, bbox_columns={"minx": "w"})


@pytest.mark.parametrize("kind", ["struct", "list", "list6", "geometry"])
def test_a_bbox_chooses_rows_that_meet_it(kind):
    """C8, F8: tables are filtered by their footprints, whichever way they say them."""
    bounds = [(11.0 + n, 48.0, 11.5 + n, 48.5) for n in range(3)]
    column = {
        "struct": [dict(zip(("xmin", "ymin", "xmax", "ymax"), one, strict=True)) for one in bounds],
        "list": [list(one) for one in bounds],
        "list6": [[*one[:2], 0.0, *one[2:], 9.0] for one in bounds],
        "geometry": None,
    }[kind]
    found = find(scenes(bbox=column), bbox=(12.4, 48.4, 13.0, 49.0))
    assert ids(found) == ["s1", "s2"]
    assert found.scenes[0].bbox == bounds[1]


def test_epsg_codes_of_every_kind():
    codes = {
        "proj:epsg": (pa.array([32632, None, 4326], pa.int32()), [32632, None, 4326]),
        "proj:code": (["EPSG:32632", None, "IAU:1"], [32632, None, None]),
        "crs": (["EPSG:32632", "32633", None], [32632, 32633, None]),
    }
    for name, (column, wanted) in codes.items():
        assert [scene.epsg for scene in find(scenes(**{name: column})).scenes] == wanted
    found = find(scenes(code=["EPSG:32632"] * 3), column_map={"code": "proj:epsg"})
    assert [scene.epsg for scene in found.scenes] == [32632] * 3


# ---- assets

ALTERNATE = {"href": None, "alternate": {"https": {"href": "h"}, "s3": {"href": "s3://b/4.tif"}}}
HREFS = pa.map_(pa.string(), pa.struct([("href", pa.string())]))


@pytest.mark.parametrize(
    "assets",
    [
        pa.array([{"B04": "s3://b/4.tif", "B08": "s3://b/8.tif"}]),
        pa.array([{"B04": {"href": "s3://b/4.tif"}, "B08": {"href": "s3://b/8.tif"}}]),
        pa.array([{"B04": ALTERNATE, "B08": {"href": "s3://b/8.tif", "alternate": None}}]),
        pa.array([[("B04", "s3://b/4.tif"), ("B08", "s3://b/8.tif")]], pa.map_(pa.string(), pa.string())),
        pa.array([[("B04", {"href": "s3://b/4.tif"}), ("B08", {"href": "s3://b/8.tif"})]], HREFS),
        pa.array([[{"key": "B04", "href": "s3://b/4.tif"}, {"key": "B08", "href": "s3://b/8.tif"}]]),
        pa.array(['{"B04": {"href": "s3://b/4.tif"}, "B08": "s3://b/8.tif"}']),
    ],
)  # fmt: skip
def test_every_form_of_assets(assets):
    """E16."""
    found = find(scenes(1, assets=assets))
    assert found.bands == ("B04", "B08")
    assert [asset.href for asset in found.scenes[0].bands.values()] == ["s3://b/4.tif", "s3://b/8.tif"]


def test_assets_that_are_none():
    for column in (pa.array([1]), pa.array(["no json"]), pa.array(["[1]"]), pa.array([[{"href": "x"}]])):
        with pytest.raises(TableError, match=r'the assets column "assets" .*expected a struct of bands'):
            find(scenes(1, assets=column))


def test_band_index_of_assets_and_several_bands_of_one_file():
    """D27, D28, E12, E18."""
    shared = {"R": {"href": "a.tif", "band_index": 0}, "G": {"href": "a.tif", "band_index": 1}}
    found = find(scenes(1, assets=[shared]))
    assert {name: asset.band_index for name, asset in found.scenes[0].bands.items()} == {"R": 0, "G": 1}
    plain = scenes(1, assets=[{"G": "a.tif", "R": "a.tif"}])
    with pytest.raises(UnsaidSampleError, match=r"\"G\" and \"R\" are in one file.*band_index_map"):
        find(plain)
    with pytest.raises(NotImplementedError):
        find(plain)
    found = find(plain, band_index_map={"G": 2, "R": 1})
    assert [(name, asset.band_index) for name, asset in found.scenes[0].bands.items()] == [("G", 2), ("R", 1)]


def test_one_file_a_row_holds_the_bands_of_the_map():
    """E18, D28."""
    table = scenes(2, assets=None, path=["s3://b/a.tif", None])
    found = find(table, href_column="path", band_index_map={"A": 0, "B": 1})
    assert found.bands == ("A", "B")
    assert [(a.href, a.band_index) for a in found.scenes[0].bands.values()] == [
        ("s3://b/a.tif", 0),
        ("s3://b/a.tif", 1),
    ]
    assert not found.scenes[1].bands
    assert "without a file for any band" in found.notes[0]
    assert find(table, href_column="path").bands == ("path",)
    assert find(table, href_column="path", codes=["data"]).bands == ("data",)
    with pytest.raises(NotImplementedError, match="share the file in the column"):
        find(table, href_column="path", codes=["A", "B"])


def test_band_codes_choose_and_order():
    assert find(scenes(), codes=["B08"]).bands == ("B08",)
    assert find(scenes(), codes=["b08"]).bands == ("B08",)
    with pytest.raises(InvalidArgumentError, match=r'band_codes names "B8".*did you mean "B08"'):
        find(scenes(), codes=["B8"])


def test_a_band_map_names_assets():
    assert find(scenes(), band_map={"nir": "B08"}).bands == ("nir",)
    with pytest.raises(InvalidArgumentError, match='no item has the asset "B99"'):
        find(scenes(), band_map={"x": "B99"})


@pytest.mark.parametrize(("prefix", "other"), [("s3://bkt/", "https://data.example.org/"), ("s3://", "/data/")])
def test_addresses_are_rewritten(prefix, other):
    """D35: in both directions."""
    found = find(scenes(), url_patterns={prefix: other})
    assert found.scenes[0].bands["B04"].href.startswith(other)


def test_relative_addresses_lie_in_the_current_directory_or_beside_the_table(tmp_path, monkeypatch):
    pq.write_table(scenes(1, assets=[{"B04": "x/a.tif", "B08": "x/b.tif"}]), tmp_path / "t.parquet")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.tif").touch()
    here = tmp_path / "here"
    (here / "x").mkdir(parents=True)
    (here / "x" / "b.tif").touch()
    monkeypatch.chdir(here)
    bands = find(tmp_path / "t.parquet").scenes[0].bands
    assert bands["B04"].href == str(tmp_path / "x" / "a.tif")
    assert bands["B08"].href == str(here / "x" / "b.tif")


# ---- filters

CONDITIONS = [
    ('"eo:cloud_cover" < 6', ["s0", "s1"]),
    ("\"eo:cloud_cover\" between 4 and 6 or id = 's2'", ["s1", "s2"]),
    ("id in ('s0', 's2') and \"eo:cloud_cover\" > 0", ["s2"]),
    ("id not in ('s0')", ["s1", "s2"]),
    ("id not in ('s0', NULL)", []),
    ("not id like 's_'", []),
    ("id ilike 'S1%'", ["s1"]),
    ("datetime >= '2024-02-10 10:30:00'", ["s1", "s2"]),
    ("datetime < DATE '2024-02-01'", ["s0"]),
    ("datetime is not null and flag", ["s1"]),
    ("flag is null", ["s2"]),
    ("not flag", ["s0"]),
    ("ID = 's1'", ["s1"]),
    ("day = '2024-01-02'", ["s1"]),
    ("zoned > TIMESTAMP '2024-02-01 00:00:00'", ["s1", "s2"]),
    ("n = 2.0", ["s2"]),
    ("n < 1.5", ["s0", "s1"]),
    ("true", ["s0", "s1", "s2"]),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "wanted"), some(CONDITIONS, 2))
def test_sql_conditions_choose_rows_as_duckdb_does(condition, wanted, tmp_path):
    """E19, E20."""
    import duckdb

    table = scenes(
        flag=[False, True, None],
        day=pa.array([dt.date(2024, 1, 1 + n) for n in range(3)]),
        zoned=pa.array([dt.datetime(2024, 1 + n, 10) for n in range(3)], pa.timestamp("ms", "UTC")),
        n=[0, 1, 2],
    )
    assert ids(find(table, filter_expr=condition)) == wanted
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    con.register("scenes_table", table.drop_columns(["geometry", "assets"]))
    assert [
        row[0] for row in con.execute(f"SELECT id FROM scenes_table WHERE {condition} ORDER BY id").fetchall()
    ] == wanted


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
@pytest.mark.parametrize(
    ("condition", "wanted"),
    [("n IN (0, 7)", ["s0", "s1"]), ("n IN (-0.0)", ["s0", "s1"]), ("n NOT IN (0, 7)", ["s2"]), ("n IN (2)", ["s2"])],
)
def test_zeros_of_either_sign_are_one_value_in_a_list(condition, wanted, kind, tmp_path):
    """E19, E20: also in a row group of nothing but zeros, whose statistics are from -0.0 to 0.0."""
    table = scenes(n=pa.array([0.0, -0.0, 2.0], kind))
    path = tmp_path / "scenes.parquet"
    for rows in (1, 2, 3):
        pq.write_table(table, path, row_group_size=rows)
        assert ids(find(path, filter_expr=condition)) == wanted, rows
    assert ids(find(table, filter_expr=condition)) == wanted


def test_arrow_expressions_choose_rows():
    """E19, E20."""
    condition = (ds.field("eo:cloud_cover") < 6) & (ds.field("year") == 2024)
    assert ids(find(scenes(year=[2024, 2023, 2024]), filter_expr=condition)) == ["s0"]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("clouds < 5", 'filter_expr names the column "clouds"'),
        ("id < 5", 'compares the column "id" .string. with 5'),
        ("\"eo:cloud_cover\" < 'x'", "with 'x'"),
        ("datetime > 'soon'", "with 'soon'"),
        ("assets = 'x'", "does not fit its type"),
        ("id = 's0'; DROP TABLE x", "holds a ;"),
        ("1 = 1", "name a column"),
        (ds.field("clouds") < 5, "cannot be read with filter_expr"),
        (ds.field("id") < 5, "cannot be read with filter_expr"),
        (7, "filter_expr is an Arrow expression"),
    ],
)  # fmt: skip
def test_conditions_that_do_not_fit_the_table(condition, message):
    with pytest.raises(RasteretError, match=message):
        find(scenes(), filter_expr=condition)


def test_dates_choose_rows_and_a_year_lasts_until_its_end():
    """D34."""
    assert ids(find(scenes(), date_range=("2024-01-10", "2024-02-10"))) == ["s0", "s1"]
    years = scenes(datetime=pa.array([2022, 2023, 2024]))
    assert ids(find(years, date_range=("2023-06-01", "2023-08-31"))) == ["s1"]
    assert ids(find(scenes(datetime=["2024-01-10", None, "2023"]), date_range="2024")) == ["s0"]
    with pytest.raises(ValueError, match="starts after it ends"):
        find(scenes(), date_range=("2024-02-10", "2024-01-10"))


def test_a_filter_that_no_row_fits_is_no_error_of_the_source():
    assert find(scenes(), filter_expr="id = 'x'").scenes == []
    assert find(scenes(0)).scenes == []


def test_row_groups_that_cannot_fit_are_not_read(tmp_path):
    """E19, D8: filters are pushed down."""
    sides = {"minx": "w", "miny": "s", "maxx": "e", "maxy": "n"}
    count = 40
    west = [float(n) for n in range(count)]
    table = scenes(1).drop_columns(["id", "geometry", "datetime", "assets", "eo:cloud_cover"])
    table = pa.table(
        {
            "id": [f"s{n}" for n in range(count)],
            "datetime": pa.array([2000 + n for n in range(count)]),
            "assets": [{"B": f"{n}.tif"} for n in range(count)],
            "w": west, "s": [0.0] * count, "e": [w + 0.5 for w in west], "n": [1.0] * count,
            "bbox": [{"xmin": w, "ymin": 0.0, "xmax": w + 0.5, "ymax": 1.0} for w in west],
        }
    )  # fmt: skip
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, row_group_size=4)
    for given in (
        {"bbox_columns": sides, "bbox": (10, 0, 11, 1)},
        {"bbox": (10, 0, 11, 1)},
        {"date_range": ("2010-01-01", "2011-12-31")},
        {"filter_expr": "datetime between 2010 and 2011"},
    ):
        found = find(path, **given)
        assert ids(found) == ["s10", "s11"], given


# ---- what a build is known by


def test_the_identity_tells_tables_apart(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(scenes(), path)
    first = TableSource(path).identity()
    assert first == TableSource(path).identity()
    assert json.loads(json.dumps(first)) == first
    assert first != TableSource(path, filter_expr="id = 's0'").identity()
    pq.write_table(scenes(2), path)
    assert first != TableSource(path).identity()
    assert TableSource(scenes()).identity() == TableSource(scenes().to_reader()).identity()
    assert TableSource(scenes()).identity() != TableSource(scenes(2)).identity()
    long = pc.field("id").isin([str(n) for n in range(1000)])
    other = pc.field("id").isin([str(n) for n in range(999)])
    assert TableSource(path, filter_expr=long).identity() != TableSource(path, filter_expr=other).identity()
    secret = TableSource("https://host/t.parquet?day=3&sig=SECRET")
    assert "SECRET" not in json.dumps(secret.identity()) + secret.describe() + repr(secret.identity())
    # What tells addresses apart counts for the key, what signs them does not: it changes from hour to hour.
    hashed = json.dumps(secret.identity(secrets=True))
    assert "day=3" in hashed
    assert "SECRET" not in hashed


def test_the_aef_index_gives_sixty_four_bands():
    """D33, D34."""
    samples = {f"A{n:02d}": n for n in range(64)}
    found = find(AEF / "aef_index.parquet", column_map=AEF_MAP, href_column="path", band_index_map=samples)
    assert found.bands == tuple(samples)
    assert [scene.epsg for scene in found.scenes] == [32632] * 3
    assert [scene.datetime.year for scene in found.scenes] == [2022, 2023, 2023]
    assert found.columns.column_names[:3] == ["fid", "geom", "utm_zone"]


# ---- types that not all of Arrow can work with


def test_extension_types_are_what_they_hold():
    """DuckDB gives JSON as an extension of text, others UUIDs."""
    import uuid

    keys = [uuid.UUID(int=n) for n in range(2)]
    assets = pa.array(['{"B": "a.tif"}'] * 2).cast(pa.string())
    table = scenes(
        2,
        id=pa.ExtensionArray.from_storage(pa.uuid(), pa.array([key.bytes for key in keys], pa.binary(16))),
        assets=pa.ExtensionArray.from_storage(pa.json_(), assets),
        note=pa.ExtensionArray.from_storage(pa.json_(), assets),
    )
    found = find(table)
    assert ids(found) == [str(key) for key in keys]
    assert found.bands == ("B",)
    assert found.columns.schema.field("note").type == pa.string()


@pytest.mark.parametrize("kind", [pa.dictionary(pa.int8(), pa.string()), pa.large_string(), pa.string_view()])
def test_conditions_on_every_layout_of_text(kind, tmp_path):
    table = scenes(place=pa.array(["a", "b", None]).cast(pa.string()))
    table = table.set_column(table.column_names.index("place"), "place", table.column("place").cast(kind))
    writes = kind != pa.string_view() or int(pa.__version__.split(".")[0]) >= 22
    for given in (table, *([_written(table, tmp_path)] if writes else [])):
        for condition in (
            "place = 'b'",
            "place in ('b', 'c')",
            "place like 'b%'",
            "place <> 'a'",
            "place not in ('a')",
        ):
            assert ids(find(given, filter_expr=condition)) == ["s1"], condition


def _written(table, directory):
    pq.write_table(table, directory / "t.parquet")
    return directory / "t.parquet"


def test_names_with_dots_are_names(tmp_path):
    table = scenes(**{"stac.id": [7, 8, 9], "a b": [1, 2, 3]})
    for given in (table, _written(table, tmp_path)):
        found = find(given, filter_expr='"stac.id" > 7', column_map={"stac.id": "id"})
        assert ids(found) == ["8", "9"]
        assert found.columns.column("a b").to_pylist() == [2, 3]


def test_a_pattern_of_a_band_map_fits_assets_or_files_and_keeps_what_the_asset_says():
    rows = [
        {f"T{n}_{band}": {"href": f"/x/{n}/{band}.tif", "band_index": 2, "nodata": 7} for band in ("B04", "B08")}
        for n in range(3)
    ]
    table = scenes(3, assets=pa.array([json.dumps(row) for row in rows]))
    for band_map in ({"red": "*_B04", "nir": "*_B08"}, {"red": "B04.t*", "nir": "T?_B08"}):
        found = find(table, band_map=band_map)
        assert found.bands == ("red", "nir")
        for n, scene in enumerate(found.scenes):
            said = {name: (one.href, one.band_index, one.nodata) for name, one in scene.bands.items()}
            assert said == {"red": (f"/x/{n}/B04.tif", 2, "7"), "nir": (f"/x/{n}/B08.tif", 2, "7")}
    with pytest.raises(
        InvalidArgumentError, match=r'"\*_B0\*" of band "x" fits several assets of a row: T0_B04, T0_B08'
    ):
        find(table, band_map={"x": "*_B0*"})
