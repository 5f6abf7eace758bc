"""Collections of files without a catalog: groups, times, bands, places and statuses, against rasterio and by hand."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import uuid
import warnings
from pathlib import Path

import numpy as np
import obstore
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

import rasteret_sql
from rasteret_sql.errors import InvalidArgumentError, MissingObjectError
from rasteret_sql.io.routed_backend import default_backend
from tests.cli.processes import SHELL, environment
from tests.sampling import some
from tests.servers.fixtures import *  # noqa: F403

AREA = (9.0003, 45.1526, 9.0009, 45.1534)


def image(path, value=1, count=1, **profile):
    """A file of 16 x 16 pixels of 10 m, in EPSG:32632, of which band n has the value and n."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"crs": 32632, "transform": from_origin(500000, 5000050, 10, 10), "dtype": "uint16"} | profile
    with rasterio.open(path, "w", driver="GTiff", width=16, height=16, count=count, **profile) as file:
        for band in range(1, count + 1):
            file.write(np.full((16, 16), value + band - 1, "uint16"), band)
    return path


def build(folder, paths, expect=(), **given):
    """The collection, and just the warnings that are expected."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made = rasteret_sql.build_from_files(paths, name="c", workspace_dir=folder / "ws", force=True, **given)
    said = [str(one.message) for one in told]
    assert len(said) == len(expect), said
    assert all(any(text in one for one in said) for text in expect), said
    return made


def rows(made, *columns):
    return sorted(tuple(one.values()) for one in made.to_table(list(columns)).to_pylist())


def test_each_file_is_a_scene_where_its_header_says(tmp_path):
    image(tmp_path / "tifs" / "a_20240501.tif")
    image(tmp_path / "tifs" / "deep" / "b_20240601.TIF", crs=32633)
    made = build(tmp_path, tmp_path / "tifs", datetime="%Y%m%d")
    assert rows(made, "id", "datetime") == [
        ("a_20240501", dt.datetime(2024, 5, 1)),
        ("b_20240601", dt.datetime(2024, 6, 1)),
    ]
    boxes = {one["id"]: list(one["bbox"].values()) for one in made.to_table(["id", "bbox"]).to_pylist()}
    for name in ("a_20240501.tif", "deep/b_20240601.TIF"):
        with rasterio.open(tmp_path / "tifs" / name) as file:
            wanted = transform_bounds(file.crs, 4326, *file.bounds)
        assert np.allclose(boxes[name[-14:-4]], wanted, atol=1e-6)
    assert made.bands == ["band"]


@pytest.mark.parametrize("given", some(["folder", "pattern", "deep_pattern", "list", "mixed_list"], 3))
def test_forms_of_paths_find_the_same_files(tmp_path, given, monkeypatch):
    files = [image(tmp_path / "tifs" / name) for name in ("a.tif", "b.tif")]
    image(tmp_path / "other" / "c.tif")
    (tmp_path / "tifs" / "a.tif.aux.xml").write_text("<PAMDataset/>")
    (tmp_path / "tifs" / "notes.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    paths = {
        "folder": "tifs",
        "pattern": "tifs/*",
        "deep_pattern": "**/[ab].tif",
        "list": [str(one) for one in files],
        "mixed_list": [files[0], "tifs/*.tif", tmp_path / "tifs"],
    }[given]
    assert rows(build(tmp_path, paths), "id") == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("form", "name", "wanted"),
    some(
        [
            ("%Y%m%d", "x_20240501_v2.tif", dt.datetime(2024, 5, 1)),
            ("%Y-%m-%dT%H%M%S", "x_2024-05-01T101112.tif", dt.datetime(2024, 5, 1, 10, 11, 12)),
            ("%Y%j", "LC2024122.tif", dt.datetime(2024, 5, 1)),
            (r"_(\d{8})T", "S2_20240501T1.tif", dt.datetime(2024, 5, 1)),
            (r"_(\d{8})T(\d{6})", "S2_20240501T101112.tif", dt.datetime(2024, 5, 1, 10, 11, 12)),
            (r"(\d{4})_(\d\d)_(\d\d)", "a_2024_05_01.tif", dt.datetime(2024, 5, 1)),
            (r"\d{4}-\d\d-\d\d", "a_2024-05-01.tif", dt.datetime(2024, 5, 1)),
            (r"(\d{4})", "yearly_2024.tif", dt.datetime(2024, 1, 1)),
        ],
        3,
    ),
)
def test_forms_of_time(tmp_path, form, name, wanted):
    image(tmp_path / "tifs" / name)
    assert rows(build(tmp_path, tmp_path / "tifs", datetime=form), "datetime") == [(wanted,)]


def test_time_of_the_folder(tmp_path):
    image(tmp_path / "tifs" / "2024" / "05" / "a.tif")
    made = build(tmp_path, tmp_path / "tifs", datetime=r"(\d{4})/(\d\d)/")
    assert rows(made, "datetime") == [(dt.datetime(2024, 5, 1),)]


def test_times_that_do_not_fit_are_null_and_counted(tmp_path):
    for name in ("a_20240501.tif", "b_20249999.tif", "c.tif"):
        image(tmp_path / "tifs" / name)
    told = ["2 of 3 scenes have no datetime, since datetime := '%Y%m%d' does not fit their files: b_20249999, c"]
    made = build(tmp_path, tmp_path / "tifs", told, datetime="%Y%m%d")
    found = {one["id"]: one["datetime"] for one in made.to_table(["id", "datetime"]).to_pylist()}
    assert found == {"a_20240501": dt.datetime(2024, 5, 1), "b_20249999": None, "c": None}


def test_a_time_and_a_band_that_are_written_as_elsewhere_say_how_they_are_written_here(tmp_path):
    image(tmp_path / "tifs" / "a_20240501.tif")
    told = ["datetime := 'YYYYMMDD' (a form is written as '%Y%m%d') does not fit"]
    assert rows(build(tmp_path, tmp_path / "tifs", told, datetime="YYYYMMDD"), "datetime") == [(None,)]
    with pytest.raises(InvalidArgumentError, match=r"samples are named by a list, \['red'\]\)"):
        build(tmp_path, tmp_path / "tifs", bands="red")


GROUPED = {
    "regexp": {"bands": r"_(B\d\w)\."},
    "map": {"band_map": {"B04": "*_B04.*", "B08": "*_B08*"}},
    "parts_of_names": {"band_map": {"B04": "B04", "B08": "B08"}},
    "dataset": {"data_source": "earthsearch/sentinel-2-l2a"},
    "id": {"id": r"^(\w+_\d{8})"},
}


@pytest.mark.parametrize("how", some(GROUPED, 3))
def test_files_of_one_scene_by_their_names(tmp_path, how):
    for day in ("20240501", "20240502"):
        for band, value in (("B04", 4), ("B08", 8)):
            image(tmp_path / "tifs" / f"S2_{day}_{band}.tif", value)
    made = build(tmp_path, tmp_path / "tifs", datetime="%Y%m%d", **GROUPED[how])
    assert rows(made, "id") == [("S2_20240501",), ("S2_20240502",)]
    assert sorted(made.bands) == ["B04", "B08"]
    pixels = made.get_numpy(AREA, ["B08", "B04"])
    assert pixels.shape[:2] == (2, 2)
    assert [int(pixels[:, band].max()) for band in (0, 1)] == [8, 4]


def test_a_folder_for_each_scene(tmp_path):
    for day in ("2024-05-01", "2024-05-02"):
        for band in ("B04", "B08"):
            image(tmp_path / "tifs" / day / f"{band}.tif")
    made = build(tmp_path, tmp_path / "tifs", bands=r"(B\d+)", datetime="%Y-%m-%d")
    assert rows(made, "id", "datetime") == [
        ("2024-05-01", dt.datetime(2024, 5, 1)),
        ("2024-05-02", dt.datetime(2024, 5, 2)),
    ]


def test_files_of_one_name_in_two_folders_are_two_scenes(tmp_path):
    for folder in ("x", "y"):
        image(tmp_path / "tifs" / folder / "image.tif")
    assert rows(build(tmp_path, tmp_path / "tifs"), "id") == [("x_image",), ("y_image",)]


def test_names_of_the_samples_of_a_file(tmp_path):
    image(tmp_path / "tifs" / "photo.tif", 7, count=3)
    made = build(tmp_path, tmp_path / "tifs", bands=["red", "green", "blue"])
    assert made.bands == ["red", "green", "blue"]
    assert made.get_numpy(AREA, ["blue"]).max() == 9
    assert build(tmp_path, tmp_path / "tifs").bands == ["band_1", "band_2", "band_3"]


def test_two_files_for_one_band(tmp_path):
    image(tmp_path / "tifs" / "a_B04.tif", 1)
    image(tmp_path / "tifs" / "again" / "a_B04.tif", 2)
    made = build(tmp_path, tmp_path / "tifs", ["1 scenes have two files for one band"], bands=r"_(B04)")
    ((scene, status),) = rows(made, "id", "status")
    assert scene == "a"
    assert "again/a_B04.tif is another file of this band; a_B04.tif is used" in status
    assert made.get_numpy(AREA, ["B04"]).max() == 1


def test_files_that_are_no_tiff_have_a_status(tmp_path):
    image(tmp_path / "tifs" / "a.tif")
    (tmp_path / "tifs" / "page.tif").write_text("<html>not found</html>")
    (tmp_path / "tifs" / "empty.tif").write_bytes(b"")
    made = build(tmp_path, tmp_path / "tifs", ["2 bands could not be read"])
    said = dict(rows(made, "id", "status"))
    assert said["a"] == "ok"
    assert "page.tif" in said["page"]
    assert "empty.tif" in said["empty"]
    with pytest.raises(Exception, match=r"none of the 1 files could be read.*page\.tif"):
        build(tmp_path, tmp_path / "tifs" / "page.tif")


def test_files_that_no_pattern_fits_are_left_out_and_counted(tmp_path):
    for name in ("a_B04.tif", "a_B99.tif", "readme.tif"):
        image(tmp_path / "tifs" / name)
    made = build(tmp_path, tmp_path / "tifs", ["2 files (a_B99.tif, readme.tif)"], band_map={"red": "*_B04*"})
    assert made.bands == ["red"]
    told = ["1 file (readme.tif) that id := '^a' does not fit, left out"]
    assert rows(build(tmp_path, tmp_path / "tifs", told, id="^a"), "id") == [("a",)]
    with pytest.raises(InvalidArgumentError, match=r"none of 3 files is a scene.*Check id, bands and band_map"):
        build(tmp_path, tmp_path / "tifs", id="^zzz")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"paths": "nowhere/*.tif"}, r"nowhere/\*\.tif has no files: no file fits it"),
        ({"paths": "nowhere"}, "there is no such file or folder"),
        ({"paths": []}, "paths are a path, a folder, a pattern"),
        ({"paths": [1]}, "paths are a path, a folder, a pattern"),
        ({"paths": "."}, "no file below it ends with .tif"),
    ],
)
def test_paths_without_files(tmp_path, monkeypatch, given, says):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((MissingObjectError, InvalidArgumentError), match=says):
        build(tmp_path, **given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"datetime": "%Q"}, "datetime := '%Q' has %Q, which is not read; expected %Y"),
        ({"datetime": "(("}, r"datetime := '\(\(' is no regular expression"),
        ({"id": "["}, r"id := '\[' is no regular expression"),
        ({"bands": 4}, "bands are a regular expression"),
        ({"bands": "(B4)", "band_map": {"a": "b"}}, "give one of them"),
        ({"band_map": ["a"]}, "band_map maps bands to patterns"),
    ],
)
def test_patterns_that_cannot_be_used(tmp_path, given, says):
    image(tmp_path / "tifs" / "a.tif")
    with pytest.raises(InvalidArgumentError, match=says):
        build(tmp_path, tmp_path / "tifs", **given)


def stac_item(href="./a.tif", **properties):
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "true-name",
        "collection": "photos",
        "links": [],
        "geometry": None,
        "properties": {"datetime": "2024-05-01T10:00:00Z", "eo:cloud_cover": 12.5} | properties,
        "assets": {"visual": {"href": href, "type": "image/tiff"}, "info": {"href": "x.txt", "type": "text/plain"}},
    }


@pytest.mark.parametrize("name", some(["a.json", "a_stac.json", "a.tif.json", "item.json", "tifs.json"], 5))
def test_a_stac_item_beside_its_file_is_used(tmp_path, name):
    image(tmp_path / "tifs" / "a.tif", 3)
    (tmp_path / "tifs" / name).write_text(json.dumps(stac_item()))
    made = build(tmp_path, tmp_path / "tifs", datetime="%Y")
    assert rows(made, "id", "datetime", "eo:cloud_cover") == [("true-name", dt.datetime(2024, 5, 1, 10), 12.5)]
    assert made.bands == ["visual"]
    renamed = build(tmp_path, tmp_path / "tifs", band_map={"grey": "*.tif"})
    assert renamed.bands == ["grey"]
    assert renamed.get_numpy(AREA, ["grey"]).max() == 3


@pytest.mark.parametrize("text", some(["{", "[]", '{"type": "Feature"}', json.dumps(stac_item("elsewhere.tif"))], 4))
def test_a_document_that_is_no_item_of_the_file_is_ignored(tmp_path, text):
    image(tmp_path / "tifs" / "a.tif")
    (tmp_path / "tifs" / "a.json").write_text(text)
    assert rows(build(tmp_path, tmp_path / "tifs"), "id") == [("a",)]


@pytest.mark.exhaustive
def test_append_refresh_and_export(tmp_path):
    image(tmp_path / "tifs" / "a_20240501.tif", 1)
    made = build(tmp_path, tmp_path / "tifs", datetime="%Y%m%d")
    image(tmp_path / "tifs" / "b_20240502.tif", 2)
    assert len(made.append()) == 2
    image(tmp_path / "tifs" / "a_20240501.tif", 5)
    image(tmp_path / "tifs" / "c_20240503.tif", 6)
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        con.execute("FROM rasteret_load('c')")
        counts = con.execute("SELECT checked, added, gone FROM rasteret_refresh('c')").fetchone()
        assert counts == (2, 1, 0)
        query = "SELECT id, zonal_stats(id, 'band', ?).max FROM rasteret.c ORDER BY id"
        assert con.execute(query, [shapely.box(*AREA).wkt]).fetchall() == [
            ("a_20240501", 5),
            ("b_20240502", 2),
            ("c_20240503", 6),
        ]
        con.execute("FROM rasteret_export('c', ?)", [str(tmp_path / "export")])
    (tmp_path / "tifs" / "b_20240502.tif").unlink()
    moved = rasteret_sql.load("c", workspace_dir=tmp_path / "ws").refresh()
    assert dict(rows(moved, "id", "status"))["b_20240502"] != "ok"
    assert len(rasteret_sql.load(tmp_path / "export")) == 3
    shutil.move(tmp_path / "tifs", tmp_path / "moved")
    assert len(rasteret_sql.load("c", workspace_dir=tmp_path / "ws").append(stac_api=tmp_path / "moved")) >= 3
    with pytest.raises(InvalidArgumentError, match="was made of files: files have no bbox"):
        rasteret_sql.load("c", workspace_dir=tmp_path / "ws").append(bbox=(0, 0, 1, 1))


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names of files are Unicode there")
def test_a_name_that_is_no_unicode_does_not_hide_the_other_files(tmp_path):
    image(tmp_path / "a.tif")
    shutil.copy(tmp_path / "a.tif", tmp_path / os.fsdecode(b"b\xff.tif"))
    (tmp_path / os.fsdecode(b"c\xff.tif")).write_text("nothing")
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        rows = con.execute("SELECT path, status FROM rasteret_files(?) ORDER BY path", [str(tmp_path)]).fetchall()
    assert [Path(path).name for path, _ in rows] == ["a.tif", "b\ufffd.tif", "c\ufffd.tif"]
    assert [status for _, status in rows[:2]] == ["ok", "ok"]
    assert "this is not a TIFF file" in rows[2][1]


def test_a_path_with_nul_is_a_file_that_is_not_there(tmp_path):
    path = f"{tmp_path}/a\0.tif"
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        assert con.execute("SELECT read_chip(?, 1, on_error := 'null')", [path]).fetchone() == (None,)
        with pytest.raises(Exception, match="there is no file"):
            con.execute("SELECT read_chip(?, 1)", [path]).fetchone()


def test_rows_of_files_are_what_rasterio_says(tmp_path):
    image(tmp_path / "a.tif", count=2, nodata=7, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    (tmp_path / "b.tif").write_text("nothing")
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        good, bad = con.execute("FROM rasteret_files(?) ORDER BY path", [str(tmp_path / "*.tif")]).fetchall()
        names = [one[0] for one in con.description]
        lists = con.execute(
            "SELECT len(f) FROM (SELECT list(path) f FROM rasteret_files(?))", [[str(tmp_path / "a.tif")]]
        ).fetchone()
        with pytest.raises(Exception, match="has no files"):
            con.execute("FROM rasteret_files('nowhere/*.tif')")
    said = dict(zip(names, good, strict=True))
    with rasterio.open(tmp_path / "a.tif") as file:
        assert (said["width"], said["height"], said["bands"]) == (file.width, file.height, file.count)
        assert said["dtype"] == file.dtypes[0]
        assert said["crs"] == file.crs.to_string()
        assert said["transform"] == list(file.transform)[:6]
        assert said["nodata"] == list(file.nodatavals)
        assert said["compression"] == file.compression.name.lower()
        assert said["tile"] == list(file.block_shapes[0])
        assert np.allclose(list(said["bbox"].values()), transform_bounds(file.crs, 4326, *file.bounds), atol=1e-6)
    assert said["size"] == (tmp_path / "a.tif").stat().st_size
    assert said["status"] == "ok"
    broken = dict(zip(names, bad, strict=True))
    assert "b.tif" in broken["status"]
    assert {value for name, value in broken.items() if name not in ("path", "status")} == {None}
    assert lists == (1,)


@pytest.fixture
def bucket(s3_server, monkeypatch):
    name = f"bkt-{uuid.uuid4().hex[:12]}"
    for variable, value in s3_server.environment.items():
        monkeypatch.setenv(variable, value)
    default_backend.cache_clear()  # it keeps what it read of the environment
    yield s3_server.store(name), f"s3://{name}"
    default_backend.cache_clear()


@pytest.mark.parametrize("pattern", some(["/tifs/", "/tifs", "/tifs/*.tif", "/**/a_*.tif", "/tifs/**/*"], 5))
def test_prefixes_and_patterns_of_object_stores(tmp_path, bucket, pattern):
    store, url = bucket
    for name in ("tifs/a_20240501.tif", "tifs/a_20240502.tif"):
        obstore.put(store, name, image(tmp_path / name, 4))
    obstore.put(store, "other/b.tif", image(tmp_path / "b.tif"))
    obstore.put(store, "tifs/a_20240501.json", json.dumps(stac_item("./a_20240501.tif")).encode())
    made = build(tmp_path, url + pattern, datetime="%Y%m%d")
    assert rows(made, "id") == [("a_20240502",), ("true-name",)]
    obstore.put(store, "tifs/a_20240503.tif", image(tmp_path / "late.tif"))
    assert len(made.append()) == 3
    with pytest.raises(MissingObjectError, match="has no files"):
        build(tmp_path, url + "/nowhere/")


@pytest.mark.exhaustive
def test_command_line(tmp_path):
    image(tmp_path / "tifs" / "a_20240501.tif", count=2)
    done = subprocess.run(
        [*SHELL, "collections", "build", "photos", "--files", str(tmp_path / "tifs"), "--datetime", "%Y%m%d",
         "--bands", "red,nir", "--workspace", str(tmp_path / "ws"), "--no-progress"],
        capture_output=True, text=True, env=environment(tmp_path), timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "photos: 1 scenes" in done.stdout
    assert rasteret_sql.load("photos", workspace_dir=tmp_path / "ws").bands == ["red", "nir"]


def test_example_data_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        (path,) = con.execute("SELECT rasteret_example('naip')").fetchone()
        assert list((tmp_path / path).glob("*/*.tif"))
        with pytest.raises(Exception, match=r'has no "naap".*naip'):
            con.execute("SELECT rasteret_example('naap')").fetchone()
        with pytest.raises(Exception, match="has no"):
            con.execute("SELECT rasteret_example('../..')").fetchone()
