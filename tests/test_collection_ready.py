"""Chips that are read into the arrays of a dataset: it is the one that is made of chips afterwards."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import rasterio

from rasteret_sql.hosts import area_reads, xarray_dataset
from rasteret_sql.hosts.ready_arrays import ReadyArrays
from tests.collection_world import make_scenes, make_world
from tests.test_collection_xarray import make_pair

pytest.importorskip("xarray", reason="needs the extra xarray")
AREAS = [(600_020, 5_099_900, 602_080, 5_099_960), (601_000, 5_099_940, 601_100, 5_099_990)]


def both(collection, monkeypatch, *areas, **named):
    """A dataset by chips that are read into it, and one of chips that are copied."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ready = collection.get_xarray(*areas, **named)
        monkeypatch.setattr(area_reads, "arrays_for", lambda planned, *_: (None, [None] * len(planned)))
        return ready, collection.get_xarray(*areas, **named)


@pytest.fixture
def copies(monkeypatch):
    """How often chips are put into a dataset after they were read."""
    count = []
    combine = xarray_dataset.combine_layers

    def counted(*args):
        count.append(args)
        combine(*args)

    monkeypatch.setattr(xarray_dataset, "combine_layers", counted)
    return count


@pytest.mark.parametrize("named", [{}, {"resolution": 7}, {"target_crs": 32633}, {"fill": 9}, {"xr_combine": "merge"}])
def test_scenes_of_several_zones_and_areas(tmp_path, named, monkeypatch, copies):
    collection, _ = make_world(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collection.get_xarray(AREAS, ["a"], geometry_crs=32632, **named)
    assert not copies
    ready, copied = both(collection, monkeypatch, AREAS, ["a"], geometry_crs=32632, **named)
    assert copies
    assert ready.identical(found)
    assert ready.identical(copied)
    assert ready.sizes["time"] == 3
    assert (ready.a.values > 9).any(axis=(2, 3)).sum() == 4


def test_scenes_that_fail_leave_their_time_and_their_areas(tmp_path, monkeypatch):
    collection, _ = make_world(tmp_path)
    (tmp_path / "s01.tif").write_bytes(b"")
    ready, copied = both(collection, monkeypatch, AREAS, ["a"], geometry_crs=32632)
    assert ready.identical(copied)
    assert ready.sizes["time"] == 2
    assert ready.a.values.any()


@pytest.mark.parametrize("combine", xarray_dataset.COMBINE[::2])
def test_scenes_of_one_time_are_combined_from_their_own_arrays(tmp_path, combine, monkeypatch, copies):
    collection = make_pair(tmp_path)
    area = (600_000, 5_099_960, 600_050, 5_100_000)
    ready, copied = both(collection, monkeypatch, area, ["a"], geometry_crs=32632, xr_combine=combine)
    assert len(copies) == 2
    assert ready.identical(copied)
    assert ready.sizes["time"] == 1


def test_scenes_of_another_dtype_are_put_into_that_of_all(tmp_path, monkeypatch, copies):
    first, second, *_ = make_scenes(tmp_path)
    with rasterio.open(tmp_path / "s01.tif") as file:
        profile = file.profile | {"dtype": "float32", "nodata": -1.0}
    with rasterio.open(tmp_path / "s01.tif", "w", **profile) as file:
        file.write(second.pixels.astype("float32") + 0.5, 1)
    monkeypatch.setattr("tests.collection_world.make_scenes", lambda _: [first, second])
    collection, _ = make_world(tmp_path)
    ready, copied = both(collection, monkeypatch, (600_000, 5_099_900, 601_100, 5_100_000), ["a"], geometry_crs=32632)
    assert ready.identical(copied)
    assert ready.a.dtype == "float32"
    assert (ready.a.values[1] % 1 == 0.5).any()


def test_what_is_not_as_expected_does_not_fit():
    from rasteret_sql.geo.grid import Window

    times = np.array(["2024-01-01", "2024-01-02"], "datetime64[us]")
    ready = ReadyArrays([np.dtype("u1")], times, 1, Window(0, 0, 4, 4))
    assert ready.fits(times, Window(0, 0, 4, 4), [np.dtype("u1")])
    assert not ready.fits(times[:1], Window(0, 0, 4, 4), [np.dtype("u1")])
    assert not ready.fits(times + np.timedelta64(1, "D"), Window(0, 0, 4, 4), [np.dtype("u1")])
    assert not ready.fits(times, Window(0, 0, 4, 3), [np.dtype("u1")])
    assert not ready.fits(times, Window(0, 0, 4, 4), [np.dtype("i2")])


def test_chunks_are_read_into_their_arrays_but_for_scenes_of_one_time(tmp_path, copies):
    pytest.importorskip("dask", reason="needs the extra dask")
    collection, _ = make_world(tmp_path)
    chunks = {"time": 2, "geometry": 2, "y": 4, "x": 100}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lazy = collection.get_xarray(AREAS, ["a"], geometry_crs=32632, chunks=chunks).compute()
        assert not copies
        assert lazy.identical(collection.get_xarray(AREAS, ["a"], geometry_crs=32632))
    (tmp_path / "pair").mkdir()
    pair = make_pair(tmp_path / "pair")
    named = {"geometry_crs": 32632, "bands": ["a"]}
    area = (599_990, 5_099_960, 600_050, 5_100_000)
    lazy = pair.get_xarray(area, **named, chunks={"y": 3, "x": 3}).compute()
    assert copies
    assert lazy.identical(pair.get_xarray(area, **named))
