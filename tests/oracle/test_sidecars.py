"""Files beside a TIFF count as they do for GDAL: masks, overviews, .aux.xml and world files of local files."""

import json
import os
import shutil

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.index.read.file_headers import read_header
from rasteret_sql.io.loop import run
from rasteret_sql.io.routed_backend import default_backend
from tests.sampling import some
from tests.servers.range_server import RangeServer

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.filterwarnings("ignore:.*neither files nor item say the CRS"),
    pytest.mark.filterwarnings("ignore:.*2 files beside others cannot be understood"),  # world files of PLACES
]

SIZE = (70, 90)
UTM33 = rasterio.CRS.from_epsg(32633).to_wkt()
WORLD = "2\n0\n0\n-3\n1001\n2001.5\n"
ROTATED = "2\n1\n0.5\n-3\n1001\n2001.5\n"
MASK_IN_FILE, MASK_BESIDE = {"GDAL_TIFF_INTERNAL_MASK": True}, {"GDAL_TIFF_INTERNAL_MASK": False}
GRID = "<GeoTransform>1.0, 2.0, 0.0, 3.0, 0.0, -4.0</GeoTransform>"
VALUES = '<Metadata><MDI key="NODATA_VALUES">1 2 3</MDI></Metadata>'


def write(path, *, place=True, pam=None, world=None, **options):
    """A file of few values, `place` False: without a transform and CRS, 'crs': with a CRS alone."""
    profile = {
        "driver": "GTiff", "width": SIZE[1], "height": SIZE[0], "count": 1, "dtype": "uint8", "tiled": True,
        "blockxsize": 32, "blockysize": 32, "compress": "deflate", **options,
    }  # fmt: skip
    tags, scale, name = (profile.pop(key, None) for key in ("tags", "scale", "name"))
    if place:
        profile["crs"] = "EPSG:32632"
    if place is True:
        profile["transform"] = from_origin(600_000, 5_100_000, 10, 10)
    rng = np.random.default_rng(5)
    with rasterio.open(path, "w", **profile) as file:
        for band in range(1, profile["count"] + 1):
            file.write(rng.choice(np.array([band, 9, 7]), SIZE).astype(profile["dtype"]), band)
        if tags:
            file.update_tags(**tags)
        if scale:
            file.scales, file.offsets = [scale] * file.count, [scale + 1] * file.count
        if name:
            file.descriptions = [name] * file.count
    if pam is not None:
        path.with_name(path.name + ".aux.xml").write_text(f"<PAMDataset>{pam}</PAMDataset>")
    for ending, text in (world or {}).items():
        path.with_suffix(ending).write_text(text)


def mask(path, env, seed=1, period=3):
    with rasterio.Env(**env), rasterio.open(path, "r+") as file:
        file.write_mask((np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) + seed) % period > 0)


def overviews(path, factors, *, beside):
    with rasterio.Env(TIFF_USE_OVR=beside), rasterio.open(path, "r+") as file:
        file.build_overviews(factors, Resampling.nearest)


def band(number, body):
    return f'<PAMRasterBand band="{number}">{body}</PAMRasterBand>'


PLACES = {
    "world file": {"place": "crs", "world": {".tfw": WORLD}},
    "world file, long": {"place": "crs", "world": {".tifw": WORLD}},
    "world file, other": {"place": "crs", "world": {".wld": WORLD}},
    "world file, capitals": {"place": "crs", "world": {".TFW": WORLD}},
    "world files": {"place": "crs", "world": {".wld": ROTATED, ".tifw": ROTATED, ".tfw": WORLD}},
    "world file, rotated": {"place": "crs", "world": {".tfw": ROTATED}},
    "world file, commas": {"place": "crs", "world": {".tfw": WORLD.replace(".5", ",5")}},
    "world file, too short": {"place": "crs", "world": {".tfw": "2\n0\n0\n-3\n"}},
    "world file, no size": {"place": "crs", "world": {".tfw": "2\n0\n0\n0\n1\n1\n"}},
    "world file beside a placed file": {"world": {".tfw": WORLD}},
    "world file without a CRS": {"place": False, "world": {".tfw": WORLD}},
    "a .prj": {"place": False, "world": {".tfw": WORLD, ".prj": UTM33}},
    "aux.xml": {"pam": f"<SRS>{UTM33}</SRS>{GRID}"},
    "aux.xml of an unplaced file": {"place": False, "pam": f"<SRS>{UTM33}</SRS>{GRID}"},
    "aux.xml, CRS alone": {"pam": f"<SRS>{UTM33}</SRS>"},
    "aux.xml, grid alone": {"pam": GRID},
    "aux.xml, half a grid": {"pam": "<GeoTransform>1.0, 2.0, 0.0</GeoTransform>"},
    "aux.xml and world file": {"place": "crs", "pam": GRID, "world": {".tfw": WORLD}},
    "nodata": {"pam": band(1, "<NoDataValue>7</NoDataValue>")},
    "nodata of both": {"pam": band(1, "<NoDataValue>7</NoDataValue>"), "nodata": 9},
    "nodata of one band": {"pam": band(2, "<NoDataValue>7</NoDataValue>"), "count": 3, "nodata": 9},
    "nodata out of range": {"pam": band(1, "<NoDataValue>-5</NoDataValue>"), "nodata": 9},
    "nodata, NaN": {"pam": band(1, '<NoDataValue le_hex_equiv="0">nan</NoDataValue>'), "dtype": "float32"},
    "scale": {"pam": band(1, "<Offset>1.5</Offset><Scale>0.1</Scale><Description>red</Description>")},
    "scale of both": {"pam": band(1, "<Scale>0.1</Scale><Description>red</Description>"), "scale": 5.0, "name": "own"},
    "offset alone": {"pam": band(1, "<Offset>1.5</Offset>"), "scale": 5.0},
    "no scale": {"pam": band(1, "<Description/>"), "scale": 5.0, "name": "own"},
    "values of all bands": {"pam": VALUES, "count": 3},
    "values of all bands, both": {"pam": VALUES, "count": 3, "tags": {"NODATA_VALUES": "9 9 9"}, "nodata": 7},
    "nothing known": {"pam": '<Metadata domain="xml:ESRI"/>' + band(1, "<Histograms/>"), "nodata": 7},
}


def a_mask(path):
    write(path, count=2)
    mask(path, MASK_BESIDE)


def a_mask_beside_one_within(path):
    write(path)
    mask(path, MASK_BESIDE)
    other = path.with_name("other.tif")
    shutil.move(f"{path}.msk", f"{other}.msk")
    mask(path, MASK_IN_FILE, period=5)
    shutil.move(f"{other}.msk", f"{path}.msk")


def a_mask_and_nodata(path):
    write(path, nodata=9)
    mask(path, MASK_BESIDE)


def a_mask_with_overviews(path):
    write(path, count=2, interleave="band")
    mask(path, MASK_BESIDE)
    overviews(path, [2, 4], beside=True)


def a_mask_of_each_band(path):
    write(path, count=2)
    with rasterio.open(
        f"{path}.msk", "w", driver="GTiff", width=SIZE[1], height=SIZE[0], count=2, dtype="uint8", tiled=True,
        blockxsize=16, blockysize=16,
    ) as file:  # fmt: skip
        file.write(np.random.default_rng(2).choice(np.array([0, 1, 255], "uint8"), (2, *SIZE)))
        file.update_tags(INTERNAL_MASK_FLAGS_1="0", INTERNAL_MASK_FLAGS_2="0")


def a_mask_without_flags(path):
    write(path)
    with rasterio.open(
        f"{path}.msk", "w", driver="GTiff", width=SIZE[1], height=SIZE[0], count=1, dtype="uint8"
    ) as file:
        file.write(np.zeros((1, *SIZE), "uint8"))


def overviews_beside(path):
    write(path, count=3, nodata=9)
    overviews(path, [2, 4], beside=True)


def overviews_beside_and_within(path):
    write(path)
    overviews(path, [4, 8], beside=True)
    shutil.move(f"{path}.ovr", f"{path}.kept")
    overviews(path, [2], beside=False)
    shutil.move(f"{path}.kept", f"{path}.ovr")


IMAGES = {
    make.__name__.replace("_", " "): make
    for make in (
        a_mask, a_mask_beside_one_within, a_mask_and_nodata, a_mask_with_overviews, a_mask_of_each_band,
        a_mask_without_flags, overviews_beside, overviews_beside_and_within,
    )
}  # fmt: skip


def item(name, assets):
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "links": [],
        "geometry": {"type": "Point", "coordinates": [10.0, 46.0]}, "bbox": [10.0, 46.0, 10.0, 46.0],
        "properties": {"datetime": "2024-01-01T00:00:00Z"}, "assets": assets,
    }  # fmt: skip


def build(con, path, items, name="beside"):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    rows = con.execute(
        "SELECT id, status FROM rasteret_build_from_stac(name := ?, stac_api := ?)", [name, str(path)]
    ).fetchall()
    assert {status for _, status in rows} == {"ok"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A connection with a collection of all files, and the files; band b_n."""
    folder = tmp_path_factory.mktemp("beside")
    files = {}
    for number, name in enumerate([*PLACES, *IMAGES]):
        files[name] = folder / f"f{number}.tif"
        if name in PLACES:
            write(files[name], **PLACES[name])
        else:
            IMAGES[name](files[name])
    with rasteret_sql.connect(workspace_dir=folder / "ws") as con:
        tiffs = {name: {"b": {"href": str(path), "type": "image/tiff"}} for name, path in files.items()}
        build(con, folder / "items.json", [item(name, assets) for name, assets in tiffs.items()])
        con.execute("FROM rasteret_export('beside', ?)", [str(folder / "out")]).fetchall()
        con.execute("FROM rasteret_load(?, name := 'exported')", [str(folder / "out")]).fetchall()
        yield con, files


def chip(con, scene, number, more=""):
    return chip_of(con, scene, f"b_{number}", more)


def chip_of(con, scene, band, more=""):
    row = con.execute(f"SELECT c.* FROM (SELECT read_chip(?, ?{more}) AS c)", [scene, band]).fetchone()
    shape = row[4:6]
    pixels = np.frombuffer(row[0], row[2]).reshape(shape)
    valid = np.ones(shape, bool) if row[1] is None else np.frombuffer(row[1], np.uint8).reshape(shape) != 0
    return pixels, valid, row[6], row[7], row[8]


@pytest.mark.parametrize("collection", some(["beside", "exported"], 4))
@pytest.mark.parametrize("name", some([*PLACES, *IMAGES], 2))
def test_what_stands_beside_a_file_counts_as_for_gdal(world, name, collection):
    con, files = world
    with rasterio.open(files[name]) as source:
        for number in source.indexes:
            pixels, valid, transform, crs, nodata = chip(con, name, number, f", collection := '{collection}'")
            np.testing.assert_array_equal(pixels, source.read(number))
            np.testing.assert_array_equal(valid, source.read_masks(number) != 0)
            assert nodata == pytest.approx(source.nodatavals[number - 1], nan_ok=True)
            assert (tuple(transform) if transform else (1, 0, 0, 0, 1, 0)) == tuple(source.transform)[:6]
            assert (rasterio.CRS.from_user_input(crs) if crs else None) == source.crs
        for level in range(len(source.overviews(1))):
            with rasterio.open(files[name], overview_level=level) as small:
                more = f", collection := '{collection}', overview := {level + 1}"
                pixels, valid, *_ = chip(con, name, 1, more)
                np.testing.assert_array_equal(pixels, small.read(1))
                if "nodata" not in name and name != "overviews beside":
                    np.testing.assert_array_equal(valid, small.read_masks(1) != 0)
    levels = 1 + (2 if "with overviews" in name or name == "overviews beside" else "within" in name and "over" in name)
    with pytest.raises(Exception, match="does not exist"):
        chip(con, name, 1, f", overview := {levels}")


@pytest.mark.parametrize("name", ["scale", "scale of both", "offset alone", "no scale"])
def test_scale_and_names_of_bands_are_those_beside(world, name):
    _, files = world
    header = run(read_header(str(files[name]), default_backend())).header
    with rasterio.open(files[name]) as source:
        assert (header.scales, header.offsets) == (source.scales, source.offsets)
        assert header.descriptions == source.descriptions


def test_points_and_zones_see_the_mask_beside(world):
    con, files = world
    with rasterio.open(files["a mask"]) as source:
        seen = source.read_masks(1) != 0
        pixels = source.read(1)
        (row, col), bounds = np.argwhere(~seen)[5], source.bounds
        x, y = source.transform * (col + 0.5, row + 0.5)
    crs = "geom_crs := 'EPSG:32632'"
    query = (
        f"SELECT sample_point('a mask', 'b_1', ?, {crs}), sample_point('a mask', 'b_1', ?, {crs}), "
        f"zonal_stats('a mask', 'b_1', ?, {crs}).count"
    )
    box = "POLYGON(({0} {1}, {2} {1}, {2} {3}, {0} {3}, {0} {1}))".format(*bounds)
    hidden, shown, count = con.execute(query, [f"POINT({x} {y})", f"POINT({x - 10} {y})", box]).fetchone()
    assert hidden is None
    assert (shown, count) == (pixels[row, col - 1], seen.sum())


def test_a_plan_names_the_files_beside(world):
    con, files = world
    name = "a mask with overviews"
    query = "SELECT e.files, e.validity FROM (SELECT rasteret_explain(?, 'b_1', overview := ?) AS e)"
    path = str(files[name])
    assert con.execute(query, [name, 0]).fetchone() == ([path, f"{path}.msk"], ["mask"])
    found, _ = con.execute(query, [name, 1]).fetchone()
    assert set(found) == {path, f"{path}.ovr", f"{path}.msk.ovr"}


def test_a_mask_beside_that_was_changed_is_an_error(tmp_path):
    a_mask(tmp_path / "a.tif")
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        build(con, tmp_path / "items.json", [item("a", {"b": {"href": str(tmp_path / "a.tif")}})], "one")
        (tmp_path / "a.tif.msk").unlink()
        with rasterio.open(tmp_path / "a.tif", "r+") as file, rasterio.Env(**MASK_BESIDE):
            file.write_mask(np.random.default_rng(1).random(SIZE) > 0.5)
        for more in ("", ", on_change := 'refresh'"):
            with pytest.raises(Exception, match=r"a\.tif\.msk.*changed"):
                con.execute(f"SELECT read_chip('a', 'b_1'{more})").fetchall()


@pytest.mark.parametrize("how", some(["mask changed", "mask gone", "aux.xml changed"], 2))
def test_a_refresh_reads_files_again_beside_which_one_was_changed(tmp_path, how):
    a_mask(tmp_path / "a.tif")
    (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{band(1, '<NoDataValue>7</NoDataValue>')}</PAMDataset>")
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        build(con, tmp_path / "items.json", [item("a", {"b": {"href": str(tmp_path / "a.tif")}})], "one")
        if how == "aux.xml changed":
            (tmp_path / "a.tif.aux.xml").write_text(f"<PAMDataset>{GRID}</PAMDataset>")
        else:
            (tmp_path / "a.tif.msk").unlink()
        if how == "mask changed":
            with rasterio.open(tmp_path / "a.tif", "r+") as file, rasterio.Env(**MASK_BESIDE):
                file.write_mask(np.random.default_rng(1).random(SIZE) > 0.5)
        con.execute("FROM rasteret_refresh('one')").fetchall()
        _, valid, transform, _, nodata = chip(con, "a", 1)
        with rasterio.open(tmp_path / "a.tif") as source:
            np.testing.assert_array_equal(valid, source.read_masks(1) != 0)
            assert (nodata, tuple(transform)) == (source.nodata, tuple(source.transform)[:6])


SRS_ALONE = "<PAMDataset><SRS>rubbish</SRS></PAMDataset>"
NOT_UNDERSTOOD = [
    (".tif.aux.xml", "<PAMDataset>", r"a\.tif\.aux\.xml: this is no XML"),
    (".tif.aux.xml", "", r"a\.tif\.aux\.xml: this is no XML"),
    (".tif.aux.xml", '<!DOCTYPE x [<!ENTITY a "b">]><PAMDataset/>', "defines entities"),
    (".tif.aux.xml", SRS_ALONE, "its SRS cannot be read, so the file has no CRS"),
    (".tif.ovr", "no TIFF at all", r"a\.tif\.ovr"),
    (".tif.ovr", "", r"a\.tif\.ovr"),
    (".tfw", "2\n0\n0\n-3\n", r"a\.tfw: these are not the six numbers of a world file"),
]


def two_files(con, tmp_path):
    path = tmp_path / "items.json"
    items = [item(name, {"b": {"href": str(tmp_path / f"{name}.tif")}}) for name in "ab"]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return con.execute("SELECT status FROM rasteret_build_from_stac('two', ?) ORDER BY id", [str(path)]).fetchall()


@pytest.mark.parametrize(("ending", "text", "message"), some(NOT_UNDERSTOOD, 9))
def test_what_cannot_be_understood_beside_a_file_is_passed_over_as_by_gdal(tmp_path, ending, text, message):
    write(tmp_path / "a.tif", place="crs" if ending == ".tfw" else True)
    write(tmp_path / "b.tif")
    (tmp_path / f"a{ending}").write_text(text)
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        with pytest.warns(
            RuntimeWarning,
            match=f'1 file beside others cannot be understood and does not count.*scene "a": .*{message}',
        ):
            assert two_files(con, tmp_path) == [("ok",), ("ok",)]
        pixels, valid, transform, crs, nodata = chip_of(con, "a", "b")
        with rasterio.open(tmp_path / "a.tif") as source:
            np.testing.assert_array_equal(pixels, source.read(1))
            np.testing.assert_array_equal(valid, source.read_masks(1) != 0)
            assert (crs is None) == (source.crs is None)
            assert nodata == source.nodata
            if source.transform != rasterio.Affine.identity():
                assert tuple(transform) == tuple(source.transform)[:6]


@pytest.mark.parametrize("text", some(["no TIFF at all", ""], 2))
def test_a_mask_beside_that_cannot_be_understood_makes_its_file_unreadable(tmp_path, text):
    write(tmp_path / "a.tif")
    write(tmp_path / "b.tif")
    (tmp_path / "a.tif.msk").write_text(text)
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        with pytest.warns(RuntimeWarning, match=r"1 bands could not be read.*a\.tif\.msk"):
            (first,), second = two_files(con, tmp_path)
        assert "a.tif.msk" in first
        assert second == ("ok",)


def test_a_mask_of_another_size_is_refused(tmp_path):
    write(tmp_path / "a.tif")
    mask(tmp_path / "a.tif", MASK_BESIDE)
    write(tmp_path / "b.tif", width=50)
    shutil.copy(tmp_path / "a.tif.msk", tmp_path / "b.tif.msk")
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con, pytest.raises(Exception, match="90 × 70 pixels"):
        build(con, tmp_path / "items.json", [item("b", {"b": {"href": str(tmp_path / "b.tif")}})])


def test_a_folder_is_listed_once(tmp_path, monkeypatch):
    for number in range(20):
        write(tmp_path / f"{number}.tif")
    listed = []
    scan = os.scandir
    monkeypatch.setattr(
        "rasteret_sql.index.read.sidecar_files.os.scandir", lambda path: listed.append(path) or scan(path)
    )
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        items = [item(f"s{n}", {"b": {"href": str(tmp_path / f"{n}.tif")}}) for n in range(20)]
        build(con, tmp_path / "items.json", items)
    assert listed.count(str(tmp_path)) == 1


def test_files_beside_one_elsewhere_are_read_where_its_item_names_them(tmp_path):
    for name in ("named", "unnamed"):
        a_mask_with_overviews(tmp_path / f"{name}.tif")
        (tmp_path / f"{name}.tif.aux.xml").write_text(
            f"<PAMDataset>{band(1, '<Description>red</Description>')}{GRID}</PAMDataset>"
        )
    with RangeServer(tmp_path) as server, rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        beside = {
            key: {"href": f"{server.url}/named.tif{suffix}", "type": "image/tiff"}
            for key, suffix in (("m", ".msk"), ("o", ".ovr"), ("mo", ".msk.ovr"), ("x", ".aux.xml"))
        }
        files = {name: {"href": f"{server.url}/{name}.tif", "type": "image/tiff"} for name in ("named", "unnamed")}
        items = [item("named", {"b": files["named"], **beside}), item("unnamed", {"b": files["unnamed"]})]
        build(con, tmp_path / "items.json", items)
        bands = con.execute("SELECT assets FROM rasteret.beside WHERE id = 'named'").fetchone()[0]
        assert set(bands) == {"b_1", "b_2"}
        for level in (0, 1):
            options = {"overview_level": level - 1} if level else {}
            with rasterio.open(tmp_path / "named.tif", **options) as source:
                pixels, valid, *_ = chip(con, "named", 1, f", overview := {level}")
                np.testing.assert_array_equal(pixels, source.read(1))
                np.testing.assert_array_equal(valid, source.read_masks(1) != 0)
        assert tuple(chip(con, "named", 1)[2]) == (2, 0, 1, 0, -4, 3)
        _, valid, transform, *_ = chip(con, "unnamed", 1)
        assert valid.all()
        assert tuple(transform) == (10, 0, 600_000, 0, -10, 5_100_000)
        asked = {path for _, path, *_ in server.log()}
        assert not [path for path in asked if path.startswith("/unnamed.tif.")]
        assert "/named.tif.msk.ovr" in asked
        assert "/unnamed.tif" in asked
