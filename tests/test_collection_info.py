"""`get_numpy(..., return_info=True)`: the scene, time, area and grid of each sample, beside rasterio."""

import numpy as np
import pyarrow as pa
import pytest
import rasterio
import rasterio.windows
import shapely

from tests.collection_world import make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return *make_world(folder), folder


def square(col, row, scene=0):
    """4 × 4 pixels of a scene of the first zone."""
    left, top = 600_000 + 1000 * scene + 10 * col, 5_100_000 - 10 * row
    return shapely.box(left, top - 40, left + 40, top)


def test_each_sample_is_where_its_row_says(world):
    collection, scenes, folder = world
    areas = [square(1, 2), square(9, 3), square(5, 5, scene=2), square(11, 11, scene=2)]
    pixels, info = collection.get_numpy(areas, ["a"], geometry_crs=32632, return_info=True)
    assert info.schema.names == ["scene_id", "datetime", "area", "transform", "crs"]
    assert info["scene_id"].to_pylist() == ["s00", "s00", "s02", "s02"]
    assert info["area"].to_pylist() == [0, 1, 2, 3]
    assert info["datetime"].to_pylist() == [scenes[0].at, scenes[0].at, scenes[2].at, scenes[2].at]
    assert set(info["crs"].to_pylist()) == {"EPSG:32632"}
    for sample, row in zip(pixels, info.to_pylist(), strict=True):
        with rasterio.open(folder / f"{row['scene_id']}.tif") as dataset:
            bounds = rasterio.transform.array_bounds(*sample.shape, rasterio.Affine(*row["transform"]))
            window = rasterio.windows.from_bounds(*bounds, transform=dataset.transform)
            np.testing.assert_array_equal(sample, dataset.read(1, window=window))
            assert bounds == areas[row["area"]].bounds


def test_without_it_there_are_only_pixels(world):
    collection, *_ = world
    only = collection.get_numpy(square(1, 2), ["a"], geometry_crs=32632)
    pixels, info = collection.get_numpy(square(1, 2), ["a"], geometry_crs=32632, return_info=True)
    np.testing.assert_array_equal(only, pixels)
    assert isinstance(info, pa.Table)
    assert info.num_rows == 1


def test_scenes_that_are_left_out_have_no_row(tmp_path):
    collection, _ = make_world(tmp_path)
    boxes = [square(1, 1, scene) for scene in range(4)]
    (tmp_path / "s01.tif").unlink()
    with pytest.warns(RuntimeWarning, match="1 of 4 scenes"):
        pixels, info = collection.get_numpy(boxes, ["a"], geometry_crs=32632, return_info=True)
    assert info["scene_id"].to_pylist() == ["s00", "s02", "s03"]
    assert info["area"].to_pylist() == [0, 2, 3]
    assert len(pixels) == 3


def test_a_part_and_scenes_of_another_crs(world):
    collection, scenes, _ = world
    part = collection.subset(split="test").where('"proj:epsg" = 32633')
    chosen = [scene for scene in scenes if scene.epsg == 32633 and scene.split == "test"]
    area = shapely.union_all([shapely.box(*scene.bounds) for scene in chosen]).envelope
    pixels, info = part.get_numpy(area, ["a"], return_info=True)
    assert info["scene_id"].to_pylist() == [scene.id for scene in chosen]
    assert info["crs"].to_pylist() == ["EPSG:32633"] * len(chosen)
    lefts = [transform[2] for transform in info["transform"].to_pylist()]
    assert lefts == [400_000 + 1000 * int(scene.id[1:]) for scene in chosen]
    assert len(pixels) == len(chosen) == 2
