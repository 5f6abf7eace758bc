"""`xarray.open_dataset(path, engine=...)`: what `get_xarray` gives, read when it is asked for."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import shapely

from tests.collection_world import make_world

xarray = pytest.importorskip("xarray", reason="needs the extra xarray")
AREA = shapely.box(600_013, 5_099_873, 601_118, 5_099_991)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="module")
def engine():
    """The class itself, which need not be installed for that."""
    from rasteret_sql.hosts.xarray_backend import RasteretBackend

    return RasteretBackend


def test_it_is_what_get_xarray_gives(world, engine):
    collection, _ = world
    named = {"geometries": AREA, "geometry_crs": 32632, "bands": {"a": "a", "twice": "a * 2"}}
    found = xarray.open_dataset(collection.path, engine=engine, **named)
    theirs = collection.get_xarray(AREA, named["bands"], geometry_crs=32632)
    xarray.testing.assert_identical(found.load(), theirs)
    assert found.a.encoding["grid_mapping"] == "spatial_ref"


def test_only_what_is_asked_for_is_read(world, engine):
    collection, _ = world
    named = {"geometries": AREA, "geometry_crs": 32632}
    theirs = collection.get_xarray(AREA, ["a"], geometry_crs=32632)
    found = xarray.open_dataset(collection.path, engine=engine, **named)
    for key in (
        {"time": 1}, {"x": slice(3, 9), "y": slice(None, None, 2)}, {"x": [5, 1, 1], "y": slice(None, None, -1)},
        {"time": [1, 0], "y": 3}, {"geometry": 0, "time": 0, "y": 2, "x": 4}, {"x": slice(0, 0)},
    ):  # fmt: skip
        np.testing.assert_array_equal(found.a.isel(key).values, theirs.a.isel(key).values)
    again = pickle.loads(pickle.dumps(found))
    xarray.testing.assert_identical(again.load(), theirs)


def test_all_of_the_images_without_areas(world, engine):
    collection, scenes = world
    part = {"date_range": ("2024-01-10", "2024-01-12")}
    found = xarray.open_dataset(collection.path, engine=engine, **part)
    assert found.a.dims == ("time", "y", "x")
    assert dict(found.sizes) == {"time": 3, "y": 16, "x": 216}
    np.testing.assert_array_equal(found.a.isel(time=1, x=slice(100, 116)), scenes[1].pixels)
    chunked = xarray.open_dataset(collection.path, engine=engine, chunks={}, **part)
    assert chunked.a.chunks == ((1, 1, 1), (16,), (216,))
    assert int(chunked.a.max()) == int(found.a.max()) == scenes[2].pixels.max()


def test_names_dropped_bands_and_guesses(world, engine):
    collection, _ = world
    place = {"workspace_dir": collection.path.parent, "split": "val", "resolution": 100, "target_crs": 32632}
    named = xarray.open_dataset("world", engine=engine, bands=["a", "a * 2"], drop_variables="a * 2", **place)
    assert list(named.data_vars) == ["a"]
    assert engine().guess_can_open(collection.path)
    assert not engine().guess_can_open(collection.path.parent)
    assert not engine().guess_can_open(7)
    with pytest.raises(FileNotFoundError, match="there is no collection at"):
        xarray.open_dataset("nowhere", engine=engine)
    with pytest.raises(ValueError, match="no band"):
        xarray.open_dataset(collection.path, engine=engine, bands=["zz"])


def test_what_is_larger_than_memory_is_an_error_before_it_is_read(world, engine):
    collection, _ = world
    found = xarray.open_dataset(collection.path, engine=engine, bands=["a"], target_crs=32632, resolution=1)
    with pytest.raises(MemoryError, match=r"nothing was fetched\. Select less of it"):
        found.load()
