"""Datasets in chunks of dask: nothing is read before it is computed, and then it is what is read at once."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.errors import RasteretError
from rasteret_sql.geo.grid import Window
from rasteret_sql.hosts.lazy_dataset import chunk_sizes
from tests.collection_world import make_world
from tests.sampling import some

xarray = pytest.importorskip("xarray", reason="needs the extra dask")
dask = pytest.importorskip("dask", reason="needs the extra dask")
AREA = shapely.box(600_013, 5_099_873, 602_118, 5_099_991)
SIDE = 96


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("chunks"))


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    """Three scenes of one place, two of them of one time, of 36 tiles of 16 pixels, with holes."""
    directory = tmp_path_factory.mktemp("tiled")
    rng = np.random.default_rng(3)
    features = []
    for name, hour in (("one", 10), ("two", 10), ("three", 12)):
        data = rng.integers(1, 900, (SIDE, SIDE)).astype("uint16")
        data[rng.random(data.shape) < 0.2] = 0
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "nodata": 0, "crs": 32632, "tiled": True}
        size = {"width": SIDE, "height": SIDE, "blockxsize": 16, "blockysize": 16}
        with rasterio.open(
            directory / f"{name}.tif", "w", **profile, **size, transform=from_origin(600_000, 5_100_000, 10, 10)
        ) as file:
            file.write(data, 1)
        features.append(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "tiled", "links": [],
                "geometry": {"type": "Point", "coordinates": [10.295, 46.045]}, "bbox": [10.29, 46.03, 10.31, 46.05],
                "properties": {"datetime": f"2024-05-01T{hour}:00:00Z"},
                "assets": {"b": {"href": f"{name}.tif", "type": "image/tiff"}},
            }
        )  # fmt: skip
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return rasteret_sql.build_from_stac(
        name="tiled", stac_api=directory / "items.json", collection="tiled", workspace_dir=directory / "ws"
    )


def tiles_read(collection):
    """Tiles that were asked for since this was last asked."""
    return collection.sql("SELECT sum(tiles)::INT FROM rasteret_stats(clear := true)").fetchall()[0][0]


@pytest.mark.parametrize("chunks", some(["auto", 7, {"time": 3, "x": 50, "geometry": 2}, {"y": (5, 6, 2), "x": -1}], 9))
def test_chunks_give_what_is_read_at_once(world, chunks):
    collection, _ = world
    areas = [AREA, shapely.box(600_080, 5_099_900, 600_120, 5_099_920)]
    now = collection.get_xarray(areas, ["a", "a * 2"], geometry_crs=32632)
    later = collection.get_xarray(areas, ["a", "a * 2"], geometry_crs=32632, chunks=chunks)
    assert later.a.chunks is not None
    assert later.identical(later)
    xarray.testing.assert_identical(later.compute(), now)
    assert now.a.any()


@pytest.mark.parametrize("combine", some(["combine_first", "merge_override"], 2))
def test_scenes_of_one_time_on_another_grid(tiled, combine):
    named = {"geometry_crs": 32632, "target_crs": 3857, "resolution": 11, "resampling": "cubic", "xr_combine": combine}
    area = shapely.Point(600_500, 5_099_500).buffer(420)
    now = tiled.get_xarray(area, ["b"], **named)
    later = tiled.get_xarray(area, ["b"], chunks={"y": 30, "x": 41}, **named)
    assert dict(later.sizes) == dict(now.sizes)
    assert now.sizes["time"] == 2
    xarray.testing.assert_identical(later.compute(scheduler="synchronous"), now)


def test_only_what_is_asked_for_is_read_and_each_tile_once(tiled):
    area = shapely.box(600_000, 5_100_000 - 960, 600_960, 5_100_000)
    later = tiled.get_xarray(area, ["b"], geometry_crs=32632, chunks=32)
    assert later.b.chunks == ((1, 1), (1,), (32, 32, 32), (32, 32, 32))
    tiles_read(tiled)
    corner = later.b.isel(time=1, y=slice(0, 32), x=slice(32, 64)).values
    assert corner.any()
    assert tiles_read(tiled) == 4  # of one scene
    dask.compute(later.b, scheduler="synchronous")
    assert tiles_read(tiled) == 3 * 36


def test_a_pickle_opens_the_collection_anew(tiled):
    area = shapely.box(600_105, 5_099_405, 600_700, 5_099_900)
    now = tiled.get_xarray(area, ["b"], geometry_crs=32632)
    later = tiled.get_xarray(area, ["b"], geometry_crs=32632, chunks={"y": 25, "x": 25})
    again = pickle.loads(pickle.dumps(later))
    xarray.testing.assert_identical(again.compute(), now)


@pytest.mark.exhaustive
def test_another_process_opens_the_collection_anew(tiled):
    area = shapely.box(600_105, 5_099_405, 600_700, 5_099_900)
    now = tiled.get_xarray(area, ["b"], geometry_crs=32632)
    later = tiled.get_xarray(area, ["b"], geometry_crs=32632, chunks={"y": 25, "x": 25})
    xarray.testing.assert_identical(later.mean("time").compute(scheduler="processes", num_workers=1), now.mean("time"))


def test_scenes_that_fail_are_left_out_of_chunks(tmp_path):
    collection, _ = make_world(tmp_path)
    area = shapely.box(600_000, 5_099_900, 601_100, 5_100_000)
    later = collection.get_xarray(area, ["a"], geometry_crs=32632, chunks=40)
    strict = collection.get_xarray(area, ["a"], geometry_crs=32632, chunks=40, on_error="raise")
    (tmp_path / "s00.tif").unlink()
    with pytest.warns(RuntimeWarning, match='scene "s00" could not be read, and is left out of a chunk'):
        found = later.compute(scheduler="synchronous")
    assert found.a.any(("geometry", "y", "x")).values.tolist() == [False, True]
    with pytest.raises(RasteretError, match=r"s00\.tif"):
        strict.compute(scheduler="synchronous")


def test_sizes_of_chunks_end_at_tiles():
    window = Window(250, -300, 1000, 700)
    assert chunk_sizes(256, (2, 3), window, (1, 1)) == ((1, 1), (1, 1, 1), (44, 256, 256, 144), (6, 256, 256, 256, 226))
    assert chunk_sizes("auto", (2, 1), window, (512, 512)) == ((1, 1), (1,), (300, 400), (774, 226))
    assert chunk_sizes({"time": -1, "y": (100, 600)}, (2, 1), window, (1, 1)) == ((2,), (1,), (100, 600), (774, 226))


@pytest.mark.parametrize("chunks", [0, -2, True, "all", {"z": 1}, {"y": (1, 2)}, {"x": "none"}, {"time": 1.5}, [5, 5]])
def test_chunks_that_are_none(world, chunks):
    collection, _ = world
    with pytest.raises(ValueError, match=r"chunks=.* cannot be used; expected"):
        collection.get_xarray(AREA, ["a"], geometry_crs=32632, chunks=chunks)


def test_without_dask_it_says_what_to_install(world, monkeypatch):
    collection, _ = world
    monkeypatch.setattr("rasteret_sql.hosts.extras.find_spec", lambda name: None if name == "dask" else name)
    with pytest.raises(ImportError, match=r"pip install 'rasteret-sql\[dask\]'"):
        collection.get_xarray(AREA, ["a"], geometry_crs=32632, chunks=8)
