"""Chips on target grids equal rasterio's reproject of the level that they are read from, over files of many kinds."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject, transform_bounds, transform_geom

import rasteret_sql
from rasteret_sql.geo.grid import Affine
from tests.sampling import exhaustive, some

SIZE = (173, 211)
UTM = "EPSG:32632"
NORTH_UP = from_origin(600_000, 5_100_000, 10, 10)
KINDS = {
    "plain": {},
    "nodata": {"nodata": 7},
    "float_nan": {"dtype": "float32", "nodata": float("nan")},
    "int16": {"dtype": "int16", "nodata": -5},
    "mask": {"with_mask": True},
    "overviews": {"nodata": 7, "overviews": [2, 4]},
    "overviews_mask": {"with_mask": True, "overviews": [2, 4]},
    "south_up": {"transform": rasterio.Affine(10, 0, 600_000, 0, 10, 5_100_000 - 1730), "nodata": 7},
    "rotated": {"transform": rasterio.Affine(9.013, 2.517, 600_000.3, 3.071, -8.541, 5_100_000.7), "nodata": 7},
    "next_zone": {"transform": from_origin(135_500, 5_110_400, 10, 10), "crs": "EPSG:32633", "nodata": 7},
    "lonlat": {"transform": from_origin(10.294, 46.045, 1e-4, 1e-4), "crs": "EPSG:4326"},
    "uint8": {"dtype": "uint8"},
}
AREA = (600_310, 5_098_840, 601_230, 5_099_610)
PART = (600_310, 5_099_440, 600_530, 5_099_610)
METHODS = ("nearest", "bilinear", "cubic", "average", "min", "max", "med", "q1", "q3", "rms")


def write(path, options, seed):
    options = dict(options)
    with_mask, overviews = options.pop("with_mask", False), options.pop("overviews", None)
    profile = {
        "driver": "GTiff",
        "width": SIZE[1],
        "height": SIZE[0],
        "count": 1,
        "dtype": "uint16",
        "crs": UTM,
        "transform": NORTH_UP,
        "tiled": True,
        "blockxsize": 32,
        "blockysize": 16,
        "compress": "deflate",
        **options,
    }
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 250, SIZE).astype(profile["dtype"])
    nodata = profile.get("nodata")
    if nodata is not None:
        pixels[rng.random(SIZE) < 0.1] = nodata
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(path, "w", **profile) as file:
            file.write(pixels, 1)
            if with_mask:
                file.write_mask(rng.random(SIZE) > 0.1)
        if overviews:
            with rasterio.open(path, "r+") as file:
                file.build_overviews(overviews, Resampling.average)


def feature(name, path):
    with rasterio.open(path) as file:
        west, south, east, north = transform_bounds(file.crs, 4326, *file.bounds)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "collection": "grids",
        "links": [],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {"datetime": "2024-05-01T00:00:00Z"},
        "assets": {"b": {"href": path.name, "type": "image/tiff"}},
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = tmp_path_factory.mktemp("grids")
    for seed, (name, options) in enumerate(KINDS.items()):
        write(directory / f"{name}.tif", options, seed)
    items = [feature(name, directory / f"{name}.tif") for name in KINDS]
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    con = rasteret_sql.connect(workspace_dir=directory / "ws")
    con.sql(f"FROM rasteret_build_from_stac('grids', '{directory / 'items.json'}')").fetchall()
    return con, directory


def read(con, scene, arguments, area=AREA, crs=UTM):
    """(chip, pixels, mask) of an area."""
    geometry = "" if area is None else f", '{shapely.box(*area).wkt}', geom_crs := '{crs}'"
    chip = con.sql(f"SELECT read_chip('{scene}', 'b'{geometry}, {arguments})").fetchall()[0][0]
    pixels, mask = rasteret_sql.to_numpy(chip)
    return chip, pixels[0], mask[0]


def explained(con, scene, arguments, area=AREA):
    geometry = f"'{shapely.box(*area).wkt}', geom_crs := '{UTM}'"
    return con.sql(f"SELECT rasteret_explain('{scene}', 'b', {geometry}, {arguments})").fetchall()[0][0]


def of_gdal(path, level, chip, method, block=None):
    """The warp by rasterio of a level of a file; block by block of so many rows and columns."""
    options = {} if level == 0 else {"overview_level": level - 1}
    height, width = chip["height"], chip["width"]
    out = np.zeros((height, width), chip["dtype"])
    transform = rasterio.Affine(*chip["transform"])
    with rasterio.open(path, **options) as file:
        fill = file.nodata if file.nodata is not None else 0
        down, across = block or (height, width)
        for row, col in itertools.product(range(0, height, down), range(0, width, across)):
            part = np.full((min(down, height - row), min(across, width - col)), fill, out.dtype)
            reproject(
                rasterio.band(file, 1),
                part,
                dst_transform=transform * rasterio.Affine.translation(col, row),
                dst_crs=chip["crs"],
                dst_nodata=file.nodata,
                resampling=Resampling[method],
            )
            out[row : row + part.shape[0], col : col + part.shape[1]] = part
    return out


def assert_same(ours, theirs):
    if ours.dtype.kind == "f":
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-3, equal_nan=True)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", some([kind for kind, options in KINDS.items() if "crs" not in options], 3))
@pytest.mark.parametrize("method", some(METHODS, 5))
@pytest.mark.parametrize("resolution", some([6.9853, 20, 23.5217], 2))
def test_another_resolution(world, kind, method, resolution):
    con, directory = world
    arguments = f"resolution := {resolution}, align := [600310, 5099610], resampling := '{method}'"
    chip, pixels, _ = read(con, kind, arguments)
    level = explained(con, kind, arguments)["level"]
    assert level == (0 if "overviews" not in kind or resolution < 20 else 1 if resolution < 40 else 2)
    assert chip["transform"] == (resolution, 0, 600310, 0, -resolution, 5099610)
    inside = slice(0, 770 // int(resolution + 1)), slice(0, 920 // int(resolution + 1))  # whole in the area
    theirs = of_gdal(directory / f"{kind}.tif", level, chip, method)
    if method == "average" and "overviews" in kind:
        # Levels of 106 for 211 pixels: a sum that is exactly a half may round to either side.
        assert (pixels[inside] != theirs[inside]).mean() < 1e-3
        theirs = np.where(np.abs(pixels - theirs.astype(float)) == 1, pixels, theirs)
    assert_same(pixels[inside], theirs[inside])


WARPS = list(
    itertools.product(
        [kind for kind in KINDS if kind != "rotated"],
        ["nearest", "bilinear", "cubic"],
        [("EPSG:3857", 6.1), ("EPSG:32633", 4.2907)],
    )
)


@pytest.mark.parametrize(
    ("kind", "method", "grid", "area"),
    [*((*case, PART) for case in WARPS[::7]), *(exhaustive((*case, AREA)) for case in WARPS)],
)
def test_another_crs(world, kind, method, grid, area):
    """Rows of five pixels are those that GDAL does not approximate."""
    con, directory = world
    crs, resolution = grid
    arguments = f"crs := '{crs}', resolution := {resolution}, resampling := '{method}'"
    chip, pixels, mask = read(con, kind, arguments, area)
    assert mask.any()
    assert chip["crs"] == crs
    theirs = of_gdal(directory / f"{kind}.tif", 0, chip, method, block=(16, 5))
    # outside of the area chips are filled
    nodata = chip["nodata"]
    fill = 0 if nodata is None else nodata
    with rasterio.open(directory / f"{kind}.tif"):
        shape = transform_geom(UTM, crs, {"type": "Polygon", "coordinates": [ring(area)]})
        inside = rasterio.features.geometry_mask(
            [shape], pixels.shape, rasterio.Affine(*chip["transform"]), invert=True
        )
    edge = np.zeros(pixels.shape, bool)
    edge[2:-2, 2:-2] = True
    theirs[~inside] = fill
    some_differ = (pixels != theirs) & ~(np.isnan(pixels.astype(float)) & np.isnan(theirs.astype(float)))
    if pixels.dtype.kind == "f":
        some_differ &= ~np.isclose(pixels, theirs, rtol=1e-5, atol=1e-3)
    # The source's edges reach the border of the strip's window in another place than that of the whole.
    assert (some_differ & edge).sum() == 0, (np.argwhere(some_differ & edge)[:4], some_differ.sum())


def ring(area, steps=50):
    west, south, east, north = area
    x, y = np.linspace(west, east, steps), np.linspace(south, north, steps)
    return [
        *((float(each), south) for each in x),
        *((east, float(each)) for each in y),
        *((float(each), north) for each in x[::-1]),
        *((west, float(each)) for each in y[::-1]),
    ]


def test_the_pixels_of_two_areas_are_those_of_one(world):
    con, _ = world
    arguments = "crs := 3857, resolution := 12.5, resampling := 'cubic'"
    whole, pixels, mask = read(con, "nodata", arguments)
    at = Affine(*whole["transform"]).inverse()
    for west, east in ((600_310, 600_700), (600_700, 601_230)):
        chip, some_pixels, some_mask = read(con, "nodata", arguments, (west, AREA[1], east, AREA[3]))
        col, row = at.apply(chip["transform"][2], chip["transform"][5])
        there = (
            slice(round(row), round(row) + chip["height"]),
            slice(round(col), round(col) + chip["width"]),
        )
        both = some_mask & mask[there]
        assert both.sum() > 500
        np.testing.assert_array_equal(some_pixels[both], pixels[there][both])
