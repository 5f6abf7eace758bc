"""The nodata that an item says counts where its file tells nothing about valid pixels; the file's own wins."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from rasterio.transform import from_origin

import rasteret_sql
from tests.sampling import some

SIZE = (20, 24)
PROFILE = {
    "driver": "GTiff", "width": SIZE[1], "height": SIZE[0], "crs": "EPSG:32632", "tiled": True, "blockxsize": 16,
    "blockysize": 16, "transform": from_origin(600_000, 5_100_000, 10, 10),
}  # fmt: skip

SAID = {
    # name: (file, asset, nodata that counts for each band, in numpy's words)
    "raster:bands": ({}, {"raster:bands": [{"nodata": 0}]}, [0]),
    "bands of STAC 1.1": ({}, {"bands": [{"name": "b", "nodata": 3}]}, [3]),
    "asset": ({}, {"nodata": 2}, [2]),
    "asset and band": ({}, {"nodata": 2, "bands": [{"name": "b"}]}, [2]),
    "band before asset": ({}, {"nodata": 2, "bands": [{"name": "b", "nodata": 1}]}, [1]),
    "whole double": ({}, {"raster:bands": [{"nodata": 1.0}]}, [1]),
    "nan": ({"dtype": "float32"}, {"raster:bands": [{"nodata": "nan"}]}, [np.nan]),
    "inf": ({"dtype": "float32"}, {"raster:bands": [{"nodata": "inf"}]}, [np.inf]),
    "-inf": ({"dtype": "float64"}, {"raster:bands": [{"nodata": "-inf"}]}, [-np.inf]),
    "text": ({}, {"raster:bands": [{"nodata": "1"}]}, [1]),
    "64 bit": ({"dtype": "int64"}, {"raster:bands": [{"nodata": 2**53 + 1}]}, [2**53 + 1]),
    "nan of integers": ({}, {"raster:bands": [{"nodata": "nan"}]}, [None]),
    "out of range": ({}, {"raster:bands": [{"nodata": -9999}]}, [None]),
    "no number": ({}, {"raster:bands": [{"nodata": "none"}]}, [None]),
    "null": ({}, {"raster:bands": [{"nodata": None}]}, [None]),
    "true": ({}, {"raster:bands": [{"nodata": True}]}, [None]),
    "no list": ({}, {"raster:bands": {"nodata": 1}, "nodata": [1]}, [None]),
    "of the file": ({"nodata": 3}, {"raster:bands": [{"nodata": 0}]}, [3]),
    "each band": (
        {"count": 3},
        {"bands": [{"name": f"each_{n}", "nodata": n} for n in (1, 2)] + [{"name": "each_3"}]},
        [1, 2, None],
    ),
    "all bands": ({"count": 2}, {"nodata": 2}, [2, 2]),
}  # fmt: skip


def write(path, options, seed=3):
    options = {"count": 1, "dtype": "uint16", **options}
    rng = np.random.default_rng(seed)
    with rasterio.open(path, "w", **PROFILE, **options) as file:
        for band in range(1, options["count"] + 1):
            pixels = rng.integers(0, 5, SIZE).astype(options["dtype"])
            if options["dtype"].startswith("float"):
                pixels[pixels == 4] = rng.choice([np.nan, np.inf, -np.inf], (pixels == 4).sum())
            if options["dtype"] == "int64":
                pixels[pixels == 4] = 2**53 + 1
                pixels[pixels == 3] = 2**53
            file.write(pixels, band)


def item(name, path, asset):
    return {
        "type": "Feature", "stac_version": "1.1.0", "id": name, "links": [],
        "geometry": {"type": "Point", "coordinates": [10.0, 46.0]}, "bbox": [10.0, 46.0, 10.0, 46.0],
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "assets": {"b": {"href": str(path), "type": "image/tiff", **asset}},
    }  # fmt: skip


def write_items(path, items):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return str(path)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A connection with a collection of a file for each entry of SAID; the same exported and loaded as `loaded`."""
    folder = tmp_path_factory.mktemp("nodata")
    files = {name: folder / f"{name}.tif".replace(" ", "_").replace(":", "_") for name in SAID}
    for name, (options, _, _) in SAID.items():
        write(files[name], options)
    address = write_items(folder / "items.json", [item(name, files[name], SAID[name][1]) for name in SAID])
    with rasteret_sql.connect(workspace_dir=folder / "ws") as con:
        con.execute("FROM rasteret_build_from_stac(name := 'said', stac_api := ?)", [address]).fetchall()
        con.execute("FROM rasteret_export('said', ?)", [str(folder / "out")]).fetchall()
        con.execute("FROM rasteret_load(?, name := 'loaded')", [str(folder / "out")]).fetchall()
        yield con, files


def bands_of(name):
    count = len(SAID[name][2])
    if name == "each band":
        return ["each_1", "each_2", "each_3"]
    # With files of several bands beside it, a file's only band is called by its number, too.
    return [f"b_{n}" for n in range(1, count + 1)]


def mask_of(con, scene, band, collection):
    query = "SELECT c.mask, c.nodata FROM (SELECT read_chip(?, ?, collection := ?) AS c)"
    mask, nodata = con.execute(query, [scene, band, collection]).fetchone()
    return np.ones(SIZE, bool) if mask is None else np.frombuffer(mask, np.uint8).reshape(SIZE) != 0, nodata


def hidden(pixels, nodata):
    if nodata is None:
        return np.zeros(SIZE, bool)
    return np.isnan(pixels) if isinstance(nodata, float) and np.isnan(nodata) else pixels == nodata


@pytest.mark.parametrize("collection", some(["said", "loaded"], 2))
@pytest.mark.parametrize("name", SAID)
def test_pixels_with_the_nodata_of_the_item_are_invalid(world, name, collection):
    con, files = world
    with rasterio.open(files[name]) as source:
        assert len(bands_of(name)) == source.count
        for number, (band, nodata) in enumerate(zip(bands_of(name), SAID[name][2], strict=True), 1):
            expected = hidden(source.read(number), nodata)
            assert nodata is None or expected.any()
            mask, told = mask_of(con, name, band, collection)
            np.testing.assert_array_equal(mask, ~expected)
            assert told == (None if nodata is None else pytest.approx(float(nodata), nan_ok=True))


def test_explain_tells_whose_nodata_counts(world):
    con, _ = world
    query = "SELECT rasteret_explain(?, 'b_1', collection := 'said').validity[1]"
    said = {name: con.execute(query, [name]).fetchone()[0] for name in ("asset", "of the file", "null")}
    assert said == {"asset": "nodata 2 of the item", "of the file": "nodata 3", "null": "all valid"}


def test_rasteret_is_told_the_nodata_of_the_item(world):
    con, files = world
    parts = str(files["asset"].parent / "out/**/*.parquet")
    query = "SELECT b_1_metadata.nodata FROM read_parquet(?, hive_partitioning := true) WHERE id = 'asset'"
    assert con.execute(query, [parts]).fetchall() == [(2.0,)]


@pytest.mark.parametrize("kind", some(["mask", "alpha", "values"], 3))
def test_a_file_that_tells_its_valid_pixels_needs_no_item(tmp_path, kind):
    options = {"mask": {}, "alpha": {"count": 2, "alpha": "YES"}, "values": {"count": 2}}[kind]
    write(tmp_path / "a.tif", options)
    if kind == "mask":
        seen = np.random.default_rng(1).random(SIZE) > 0.5
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "a.tif", "r+") as file:
            file.write_mask(seen)
    if kind == "values":
        with rasterio.open(tmp_path / "a.tif", "r+") as file:
            file.update_tags(NODATA_VALUES="1 2")
    address = write_items(tmp_path / "items.json", [item("a", tmp_path / "a.tif", {"nodata": 3})])
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        con.execute("FROM rasteret_build_from_stac(name := 'one', stac_api := ?)", [address]).fetchall()
        mask, _ = mask_of(con, "a", 1, "one")
    with rasterio.open(tmp_path / "a.tif") as source:
        np.testing.assert_array_equal(mask, source.read_masks(1) != 0)


def test_a_table_of_items_says_nodata_as_items_do(tmp_path):
    write(tmp_path / "a.tif", {})
    write(tmp_path / "b.tif", {"dtype": "float32"})
    asset = {"type": "image/tiff", "raster:bands": [{"nodata": 2.0}]}
    table = pa.table(
        {
            "id": ["s"],
            "datetime": pa.array([1_700_000_000_000_000], pa.timestamp("us", "UTC")),
            "geometry": pa.array(["POINT (10 46)"]),
            "assets": [
                {
                    "a": {"href": str(tmp_path / "a.tif"), **asset},
                    "b": {"href": str(tmp_path / "b.tif"), "type": "image/tiff", "raster:bands": [{"nodata": 3.0}]},
                }
            ],
        }
    )
    pq.write_table(table, tmp_path / "table.parquet")
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        con.execute("FROM rasteret_build_from_table(?, name := 't')", [str(tmp_path / "table.parquet")]).fetchall()
        for band, nodata in (("a", 2), ("b", 3)):
            with rasterio.open(tmp_path / f"{band}.tif") as source:
                np.testing.assert_array_equal(mask_of(con, "s", band, "t")[0], source.read(1) != nodata)


def test_the_nodata_of_the_item_stays_when_the_file_is_read_again(tmp_path):
    write(tmp_path / "a.tif", {})
    address = write_items(tmp_path / "items.json", [item("a", tmp_path / "a.tif", {"nodata": 3})])
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        con.execute("FROM rasteret_build_from_stac(name := 'one', stac_api := ?)", [address]).fetchall()
        write(tmp_path / "a.tif", {"compress": "deflate"}, seed=9)
        query = "SELECT c.mask FROM (SELECT read_chip('a', 'b', on_change := 'refresh') AS c)"
        for _ in range(2):
            mask = np.frombuffer(con.execute(query).fetchone()[0], np.uint8).reshape(SIZE) != 0
            with rasterio.open(tmp_path / "a.tif") as source:
                np.testing.assert_array_equal(mask, source.read(1) != 3)
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:  # and in the index
        con.execute("FROM rasteret_build_from_stac(name := 'one', stac_api := ?)", [address]).fetchall()
        assert con.execute("SELECT rasteret_explain('a', 'b').validity[1]").fetchone()[0] == "nodata 3 of the item"
