"""Datasets come through rioxarray and odc-geo as they are: CRS, transform, grid, nodata and pixels.

Needs odc-geo and rioxarray: `.ci/run odc` has them.
"""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from tests.collection_world import make_world

for name in ("xarray", "rioxarray", "odc.geo.xr"):
    pytest.importorskip(name, reason="needs odc-geo and rioxarray, as .ci/run odc has them")
geobox_module = importlib.import_module("odc.geo.geobox")

AREA = shapely.box(600_020, 5_099_870, 600_130, 5_099_960)
GRIDS = {
    "own": ({}, 32632, Affine(10, 0, 600_020, 0, -10, 5_099_960), (9, 11)),
    "coarse": ({"resolution": 30, "align": (5, 7)}, 32632, Affine(30, 0, 600_005, 0, -30, 5_099_977), (4, 5)),
    "zone": ({"target_crs": 32633, "resolution": 20}, 32633, None, None),
    "mercator": ({"target_crs": 3857, "resolution": 12}, 3857, None, None),
    "lonlat": ({"target_crs": 4326, "resolution": 0.0001}, 4326, None, None),
}
"""What is asked for, the CRS, and where it can be said by hand the transform and the shape."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("odc"))[0].where("id = 's00'")


def read(world, grid, **more):
    asked, epsg, transform, shape = GRIDS[grid]
    found = world.get_xarray(AREA, ["a"], geometry_crs=32632, **asked, **more)
    chip, info = world.get_numpy(AREA, ["a"], geometry_crs=32632, return_info=True, **asked)
    given = Affine(*info["transform"][0].as_py())
    assert info["crs"][0].as_py() == f"EPSG:{epsg}"
    if transform is not None:
        assert (given, chip.shape[1:]) == (transform, shape)
    return found, chip[0], given, epsg


def is_grid(transform, given):
    """Equal; in degrees to a millionth of a pixel, since rioxarray computes corners from centres."""
    return transform == given if given.a > 1 else transform.almost_equals(given, given.a * 1e-6)


@pytest.mark.parametrize("grid", GRIDS)
def test_rioxarray_has_the_grid_that_was_given(world, grid):
    found, chip, given, epsg = read(world, grid)
    assert found.rio.crs.to_epsg() == epsg
    assert found.a.rio.crs.to_epsg() == epsg
    assert Affine.from_gdal(*map(float, found.spatial_ref.attrs["GeoTransform"].split())) == given
    assert is_grid(found.a.rio.transform(), given)
    assert is_grid(found.a.rio.transform(recalc=True), given)  # from the coordinates
    assert (found.a.rio.height, found.a.rio.width) == chip.shape
    assert found.a.rio.nodata == 0


@pytest.mark.parametrize("grid", GRIDS)
def test_odc_geo_has_the_grid_that_was_given(world, grid):
    found, chip, given, epsg = read(world, grid)
    wanted = geobox_module.GeoBox(chip.shape, given, f"EPSG:{epsg}")
    for one in (found, found.a, found.a[0, 0]):
        assert one.odc.geobox.shape == wanted.shape
        assert one.odc.geobox.crs == wanted.crs
        assert is_grid(one.odc.geobox.affine, given)
    assert found.odc.spatial_dims == ("y", "x")


@pytest.mark.parametrize("grid", GRIDS)
def test_a_file_that_rioxarray_writes_has_the_pixels_and_the_grid(world, grid, tmp_path):
    found, chip, given, epsg = read(world, grid)
    found.a[0, 0].rio.to_raster(tmp_path / "again.tif")
    with rasterio.open(tmp_path / "again.tif") as file:
        assert (file.crs.to_epsg(), file.nodata) == (epsg, 0)
        assert is_grid(file.transform, given)
        np.testing.assert_array_equal(file.read(1), chip)


def test_lazy_datasets_have_the_grid_too(world):
    pytest.importorskip("dask", reason="needs the extra dask")
    found, _, given, epsg = read(world, "zone", chunks=4)
    assert found.a.odc.geobox.crs.epsg == epsg
    assert is_grid(found.a.odc.geobox.affine, given)
    assert found.a.rio.transform() == given
