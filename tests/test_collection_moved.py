"""Pixels that are only moved onto a grid are read into its arrays: they are what a warp of the same gives."""

from __future__ import annotations

import json
import threading

import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.geo import crs, placement
from rasteret_sql.raster.warp.warp import moved_part
from rasteret_sql.reading import target_job

pytest.importorskip("xarray", reason="needs the extra xarray")
SIDE, TILE = 96, 32
LEFT, TOP = 600_000, 5_100_000
BANDS = {"plain": "uint16", "holes": "uint16", "masked": "int16", "real": "float32"}
"""dtypes; `plain` has no nodata, `holes` has, `masked` has a mask beside nodata that some valid pixels equal."""


def write(path, band, pixels, rng):
    nodata = {"holes": 0, "masked": 7, "real": -1.0}.get(band)
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "crs": 32632, "nodata": nodata}
    place = from_origin(LEFT, TOP, 10, 10)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(
        path, "w", dtype=pixels.dtype, transform=place, tiled=True, blockxsize=TILE, blockysize=TILE, **profile
    ) as file:  # fmt: skip
        file.write(pixels, 1)
        if band == "masked":
            file.write_mask(rng.random((SIDE, SIDE)) > 0.2)


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    directory, rng = tmp_path_factory.mktemp("moved"), np.random.default_rng(0)
    for band, dtype in BANDS.items():
        pixels = rng.integers(0, 30, (SIDE, SIDE)).astype(dtype)
        pixels[:20, :20] = 0 if band == "holes" else 7
        write(directory / f"{band}.tif", band, pixels, rng)
    box = [10.2, 45.9, 10.5, 46.2]
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "one", "collection": "moved", "links": [], "bbox": box,
        "geometry": {"type": "Polygon", "coordinates": [[[10.2, 45.9], [10.5, 45.9], [10.5, 46.2], [10.2, 45.9]]]},
        "properties": {"datetime": "2024-01-01T00:00:00Z"},
        "assets": {band: {"href": f"{band}.tif", "type": "image/tiff"} for band in BANDS},
    }  # fmt: skip
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    return rasteret_sql.build_from_stac(
        name="moved", stac_api=directory / "items.json", data_source="", workspace_dir=directory / "ws"
    )


def area(left, top, width, height):
    """So many pixels from the image's first one on."""
    x, y = LEFT + 10 * left, TOP - 10 * top
    return x, y - 10 * height, x + 10 * width, y


@pytest.mark.parametrize(
    "sides", [(0, 0, 96, 96), (10, 20, 50, 40), (-8, -5, 40, 30), (70, 60, 60, 70), (-10, 30, 130, 20)]
)
@pytest.mark.parametrize("fill", [None, 3])
@pytest.mark.parametrize("bands", [["plain"], ["holes"], ["masked"], ["real"], ["plain", "holes"], ["holes", "masked"]])
def test_moved_pixels_are_those_of_a_warp(collection, sides, fill, bands, monkeypatch):
    named = {"geometry_crs": 32632, "resolution": 10, "fill": fill}
    moved = []

    def find(plan):
        moved.append(moved_part(plan))
        return moved[-1]

    monkeypatch.setattr(target_job, "moved_part", find)
    arrays = collection.get_numpy(area(*sides), bands, **named)
    # Where the bands have no dtype in common, they are warped.
    assert bool(moved) == (bands != ["holes", "masked"])
    assert None not in moved
    dataset = collection.get_xarray(area(*sides), bands, **named)
    monkeypatch.setattr(target_job, "moved_part", lambda _: None)
    np.testing.assert_array_equal(arrays, collection.get_numpy(area(*sides), bands, **named))
    warped = collection.get_xarray(area(*sides), bands, **named)
    assert dataset.identical(warped)
    assert np.unique(arrays).size > 10


def test_a_target_that_needs_part_of_a_wider_window_is_warped():
    """Of a source that is read whole though the target has less of it."""
    from rasteret_sql.geo.grid import Affine, Window
    from rasteret_sql.geo.pixel_map import pixel_map
    from rasteret_sql.raster.warp.plan import plan_warp

    place = Affine(10, 0, LEFT, 0, -10, TOP)
    same = pixel_map(place, "EPSG:32632", place, "EPSG:32632", (20, 20))
    plan = plan_warp(same, Window(0, 0, 19, 20), (20, 20), "bilinear")
    assert plan.source == Window(0, 0, 20, 20)
    assert moved_part(plan) is None
    assert moved_part(plan_warp(same, Window(-2, 3, 30, 8), (20, 20), "bilinear")) == Window(2, 0, 20, 8)


def test_the_thread_that_reads_begins_without_proj_in_one_crs(collection, monkeypatch):
    monkeypatch.setattr(crs, "_local", threading.local())
    placement._has_places.cache_clear()
    makers = []
    make = pyproj.Transformer.from_crs

    def made(*given, **named):
        makers.append(threading.current_thread())
        return make(*given, **named)

    monkeypatch.setattr(pyproj.Transformer, "from_crs", made)
    for named in ({}, {"target_crs": 32632}):
        collection.get_xarray(area(10, 20, 50, 40), ["plain"], geometry_crs=32632, resolution=10, **named)
    assert {*makers} == {threading.current_thread()}
