"""Datasets of areas: dimensions, coordinates, one grid for all scenes, and how scenes of one time are combined."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.errors import MemoryLimitError
from rasteret_sql.geo.placement import is_place
from rasteret_sql.reading import target_grids
from tests.collection_world import feature, make_world

xarray = pytest.importorskip("xarray", reason="needs the extra xarray")
UTM = "EPSG:32632"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("xarray"))


def box(*sides):
    return shapely.box(*sides)


def test_dimensions_coordinates_and_attributes(world):
    collection, scenes = world
    found = collection.get_xarray(box(600_020, 5_099_900, 600_080, 5_099_960), ["a"], geometry_crs=32632)
    assert dict(found.sizes) == {"time": 1, "geometry": 1, "y": 6, "x": 6}
    assert found.a.dims == ("time", "geometry", "y", "x")
    assert found.a.dtype == "uint16"
    assert found.time.values[0] == np.datetime64(scenes[0].at)
    assert found.geometry.values.tolist() == [1]
    assert found.x.values.tolist() == [600_025, 600_035, 600_045, 600_055, 600_065, 600_075]
    assert found.y.values.tolist() == [5_099_955, 5_099_945, 5_099_935, 5_099_925, 5_099_915, 5_099_905]
    np.testing.assert_array_equal(found.a[0, 0], scenes[0].pixels[4:10, 2:8])
    assert found.a.attrs == {"_FillValue": 0}
    assert found.a.encoding == {"grid_mapping": "spatial_ref"}
    assert int(found.spatial_ref) == 0
    assert found.spatial_ref.attrs["GeoTransform"] == "600020.0 10.0 0.0 5099960.0 0.0 -10.0"
    assert found.spatial_ref.attrs["grid_mapping_name"] == "transverse_mercator"


def test_rioxarray_reads_it(world):
    pytest.importorskip("rioxarray")
    collection, _ = world
    found = collection.get_xarray(box(600_020, 5_099_900, 600_080, 5_099_960), ["a"], geometry_crs=32632)
    assert found.a.rio.crs.to_epsg() == 32632
    assert found.a.rio.transform() == from_origin(600_020, 5_099_960, 10, 10)
    assert found.a.rio.nodata == 0


def test_several_areas_keep_the_dtype(world):
    collection, scenes = world
    areas = [box(600_000, 5_099_960, 600_040, 5_100_000), box(600_080, 5_099_900, 600_120, 5_099_920)]
    found = collection.get_xarray(areas, ["a"], geometry_crs=32632)
    assert dict(found.sizes) == {"time": 1, "geometry": 2, "y": 10, "x": 12}
    assert found.a.dtype == "uint16"
    np.testing.assert_array_equal(found.a[0, 0, :4, :4], scenes[0].pixels[:4, :4])
    np.testing.assert_array_equal(found.a[0, 1, 8:, 8:], scenes[0].pixels[8:10, 8:12])
    assert not found.a[0, 0, 4:].any()
    assert not found.a[0, 1, :8].any()


def test_scenes_of_several_crs_share_one_grid(world):
    collection, scenes = world
    lon, lat = scenes[0].bounds[:2]
    area = (lon - 0.01, lat - 0.1, scenes[-1].bounds[2] + 0.1, lat + 0.1)
    with pytest.warns(RuntimeWarning, match=r"8 in EPSG:32632, 4 in EPSG:32633\); all are put into EPSG:32632"):
        found = collection.get_xarray(area, ["a"], resolution=100)
    assert found.sizes["time"] == 12
    assert np.unique(np.diff(found.x.values)).tolist() == [100]
    assert found.a.any(("geometry", "y", "x")).all()
    other = collection.get_xarray(area, ["a"], resolution=100, target_crs=32633)
    assert "33N" in other.spatial_ref.attrs["crs_wkt"]


def test_pixels_of_scenes_on_the_grid_are_their_own(world):
    collection, scenes = world
    area = box(599_900, 5_099_700, 607_300, 5_100_100)
    found = collection.where("id < 's08'").get_xarray(area, ["a"], geometry_crs=32632)
    assert found.sizes["time"] == 8
    kept = [sorted(layer[layer > 0].tolist()) for layer in found.a.values[:, 0]]
    assert kept == [sorted(scene.pixels.ravel().tolist()) for scene in scenes[:8]]


def test_it_is_what_read_chip_gives(world):
    collection, _ = world
    area = box(600_013, 5_099_873, 600_118, 5_099_991)
    named = "geom_crs := 32632, crs := 3857, resolution := 7, resampling := 'cubic'"
    chip = collection.sql(f"SELECT read_chip('s00', 'a', '{area.wkt}', {named})").fetchall()[0][0]
    pixels, _ = rasteret_sql.to_numpy(chip)
    found = collection.where("id = 's00'").get_xarray(
        area, ["a"], geometry_crs=32632, target_crs=3857, resolution=7, resampling="cubic"
    )
    np.testing.assert_array_equal(found.a[0, 0], pixels[0])
    arrays = collection.where("id = 's00'").get_numpy(
        area, ["a"], geometry_crs=32632, target_crs=3857, resolution=7, resampling="cubic"
    )
    np.testing.assert_array_equal(arrays[0], pixels[0])


def test_numpy_of_a_shape_has_it_for_every_area(world):
    collection, _ = world
    areas = [box(600_000, 5_099_960, 600_040, 5_100_000), box(600_080, 5_099_900, 600_120, 5_099_920)]
    assert collection.where("id = 's00'").get_numpy(areas, ["a"], geometry_crs=32632, shape=(8, 5)).shape == (2, 8, 5)


def test_areas_are_placed_once_for_all_scenes(world, monkeypatch):
    collection, _ = world
    placed = []

    def count(shape, crs):
        placed.append(shape)
        return is_place(shape, crs)

    monkeypatch.setattr(target_grids, "is_place", count)
    areas = [box(600_000, 5_099_960, 608_040, 5_100_000), box(600_080, 5_099_900, 608_120, 5_099_940)]
    pixels, info = collection.get_numpy(areas, ["a"], geometry_crs=32632, resolution=20, return_info=True)
    assert len(pixels) == len(info) == 16
    assert len(placed) == 2


def make_pair(directory):
    """Two scenes of one time; the first has holes."""
    items = []
    for number, name in enumerate(("first", "second")):
        pixels = np.full((4, 4), 10 * (number + 1), "uint16")
        if not number:
            pixels[:2] = 0
        with rasterio.open(
            directory / f"{name}.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype="uint16", crs=UTM,
            transform=from_origin(600_000, 5_100_000, 10, 10), nodata=0,
        ) as file:  # fmt: skip
            file.write(pixels, 1)
            bounds = rasterio.warp.transform_bounds(UTM, 4326, *file.bounds)
        scene = type("Scene", (), {})()
        scene.id, scene.bounds, scene.split, scene.epsg, scene.cloud = name, bounds, "train", 32632, None
        scene.at = np.datetime64("2024-01-01T10:00:00").astype(object)
        items.append(feature(scene))
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return rasteret_sql.build_from_stac(
        name="pair", stac_api=directory / "items.json", data_source="demo", workspace_dir=directory / "ws"
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("pair"))


AREA = box(600_000, 5_099_960, 600_040, 5_100_000)


def test_holes_of_the_first_scene_of_a_time_are_filled_by_the_next(pair):
    found = pair.get_xarray(AREA, ["a"], geometry_crs=32632)
    assert found.sizes["time"] == 1
    assert found.a.values[0, 0].tolist() == [[20] * 4, [20] * 4, [10] * 4, [10] * 4]


def test_merge_override_has_the_first_scene_alone(pair):
    found = pair.get_xarray(AREA, ["a"], geometry_crs=32632, xr_combine="merge_override")
    assert found.a.values[0, 0].tolist() == [[0] * 4, [0] * 4, [10] * 4, [10] * 4]


def test_merge_refuses_scenes_that_differ(pair):
    with pytest.raises(xarray.MergeError, match="different pixels of band a in one place"):
        pair.get_xarray(AREA, ["a"], geometry_crs=32632, xr_combine="merge")


def test_what_cannot_be_is_an_error(world, pair):
    collection, _ = world
    for named, says in (
        ({"xr_combine": "last"}, "expected one of combine_first, merge, merge_override"),
        ({"resolution": 0}, "resolution=0 cannot be used; expected a number above 0"),
        ({"resampling": "best"}, "expected one of nearest"),
        ({"shape": (4,)}, r"expected \[height, width\]"),
        ({"target_crs": 999999}, "not known"),
    ):
        with pytest.raises(ValueError, match=says):
            pair.get_xarray(AREA, ["a"], geometry_crs=32632, **named)
    with pytest.raises(ValueError, match="no valid data found"):
        collection.get_xarray(box(0, 0, 10, 10), ["a"], geometry_crs=32632)
    with pytest.raises(ValueError, match="2 areas a grid of its own"):
        collection.get_xarray([AREA, AREA], ["a"], geometry_crs=32632, shape=(3, 3))
    with pytest.raises(MemoryLimitError, match="nothing was fetched"):
        collection.get_xarray((5, 40, 20, 50), ["a"], resolution=1, target_crs=32632)


def test_no_warning_where_scenes_are_in_one_crs(pair):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pair.get_xarray(AREA, ["a"], geometry_crs=32632)


def test_fill_is_the_value_where_nothing_is_valid_as_in_sql(world):
    collection, _ = world
    triangle = shapely.Polygon([(600_010, 5_099_850), (600_150, 5_099_860), (600_100, 5_099_990)])
    named = {"geometry_crs": 32632, "mask": "a % 2 = 0", "fill": 9}
    read = f"read_chip(id, 'a', '{triangle.wkt}', geom_crs := 32632, mask := 'a % 2 = 0', fill := 9)"
    chips = [row[0] for row in collection.sql(f"SELECT {read} FROM scenes ORDER BY id").fetchall() if row[0]]
    pixels, valid = (np.stack(some)[:, 0] for some in zip(*map(rasteret_sql.to_numpy, chips), strict=True))
    assert (pixels[~valid] == 9).all()
    assert 0 < valid.sum() < valid.size
    np.testing.assert_array_equal(collection.get_numpy(triangle, ["a"], **named), pixels)
    for chunks in (None, 8) if find_spec("dask") else (None,):
        found = collection.get_xarray(triangle, ["a"], chunks=chunks, **named)
        assert found.a.attrs == {"_FillValue": 9}
        np.testing.assert_array_equal(found.a[0, 0], pixels[0])
    if find_spec("geopandas"):
        np.testing.assert_array_equal(np.stack(collection.get_gdf(triangle, ["a"], **named)["data"]), pixels)
    for read in (collection.get_numpy, collection.get_xarray):
        with pytest.raises(ValueError, match=r"fill := -1 is no value of uint16; expected an integer from 0 to 65535"):
            read(triangle, ["a"], geometry_crs=32632, fill=-1)


def test_areas_that_no_scene_meets_keep_their_number(world):
    collection, scenes = world
    areas = [box(0, 0, 10, 10), box(600_020, 5_099_900, 600_080, 5_099_960), box(20, 20, 30, 30)]
    found = collection.get_xarray(areas, ["a"], geometry_crs=32632)
    assert found.geometry.values.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(found.a.sel(geometry=2)[0], scenes[0].pixels[4:10, 2:8])
    assert not found.a.sel(geometry=[1, 3]).any()
    later = collection.get_xarray(areas, ["a"], geometry_crs=32632, chunks=100)
    xarray.testing.assert_identical(later.compute(), found)


def test_scenes_of_different_dtypes_keep_their_values(tmp_path):
    items = []
    for number, (dtype, value) in enumerate((("uint8", 200), ("uint16", 40_000), ("int16", -5))):
        name = f"s{number}"
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype=dtype, crs=UTM,
            transform=from_origin(600_000, 5_100_000, 10, 10),
        ) as file:  # fmt: skip
            file.write(np.full((4, 4), value, dtype), 1)
            bounds = rasterio.warp.transform_bounds(UTM, 4326, *file.bounds)
        scene = type("Scene", (), {})()
        scene.id, scene.bounds, scene.split, scene.epsg, scene.cloud = name, bounds, "train", 32632, None
        scene.at = np.datetime64(f"2024-01-0{number + 1}T10:00:00").astype(object)
        items.append(feature(scene))
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    mixed = rasteret_sql.build_from_stac(name="mixed", stac_api=tmp_path / "items.json", workspace_dir=tmp_path / "ws")
    for chunks in (None, 3):
        found = mixed.get_xarray(AREA, ["a"], geometry_crs=32632, chunks=chunks)
        assert found.a.dtype == "int32"
        assert found.a.max(("geometry", "y", "x")).values.tolist() == [200, 40_000, -5]
