"""Statistics of zones on target grids equal those of rasterio's warp onto the grid: masked by rasterio, or weighted by
exactextract; and zones in blocks those of zones in one piece."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject, transform_geom

import rasteret_sql
from rasteret_sql.reading import pixel_blocks, zonal
from tests.sampling import some

UTM = "EPSG:32632"
SIZE = (150, 170)
RING = [(600_310, 5_098_840), (601_230, 5_098_990), (601_410, 5_099_500), (600_900, 5_099_610), (600_400, 5_099_400)]
ZONE = shapely.Polygon(RING)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = tmp_path_factory.mktemp("zones")
    rng = np.random.default_rng(11)
    for name, dtype, nodata in (("bytes", "uint16", 7), ("floats", "float32", float("nan"))):
        pixels = rng.integers(1, 4000, SIZE).astype(dtype)
        pixels[rng.random(SIZE) < 0.1] = nodata
        profile = {"driver": "GTiff", "width": SIZE[1], "height": SIZE[0], "count": 1, "dtype": dtype, "crs": UTM}
        tiles = {"tiled": True, "blockxsize": 32, "blockysize": 16, "nodata": nodata}
        with rasterio.open(
            directory / f"{name}.tif", "w", **profile, **tiles, transform=from_origin(600_000, 5_100_000, 10, 10)
        ) as file:
            file.write(pixels, 1)
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "s", "collection": "zones", "links": [],
        "geometry": {"type": "Point", "coordinates": [10.3, 46.04]}, "bbox": [10.29, 46.03, 10.31, 46.05],
        "properties": {"datetime": "2024-05-01T00:00:00Z"},
        "assets": {name: {"href": f"{name}.tif", "type": "image/tiff"} for name in ("bytes", "floats")},
    }  # fmt: skip
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    con = rasteret_sql.connect(workspace_dir=directory / "ws")
    con.sql(f"FROM rasteret_build_from_stac('zones', '{directory / 'items.json'}')").fetchall()
    return con, directory


def statistics(con, band, arguments):
    named = f"geom_crs := '{UTM}', {arguments}"
    return con.sql(f"SELECT zonal_stats('s', '{band}', '{ZONE.wkt}', {named})").fetchall()[0][0]


def of_gdal(path, crs, resolution, method):
    """The warp of a file onto pixels at multiples of the resolution, around the zone; the transform; the zone there."""
    zone = shapely.segmentize(ZONE, 1)
    zone = shapely.geometry.shape(transform_geom(UTM, crs, shapely.geometry.mapping(zone)))
    west, south, east, north = zone.bounds
    left, top = int(np.floor(west / resolution)), int(np.ceil(north / resolution))
    shape = top - int(np.floor(south / resolution)), int(np.ceil(east / resolution)) - left
    transform = from_origin(left * resolution, top * resolution, resolution, resolution)
    with rasterio.open(path) as file:
        out = np.full(shape, file.nodata, file.dtypes[0])
        # Rows of five pixels are those that GDAL does not approximate.
        for row, col in itertools.product(range(0, shape[0], 16), range(0, shape[1], 5)):
            part = np.full((min(16, shape[0] - row), min(5, shape[1] - col)), file.nodata, out.dtype)
            reproject(
                rasterio.band(file, 1),
                part,
                dst_transform=transform * rasterio.Affine.translation(col, row),
                dst_crs=crs,
                dst_nodata=file.nodata,
                resampling=Resampling[method],
            )
            out[row : row + part.shape[0], col : col + part.shape[1]] = part
        valid = ~np.isnan(out) if np.isnan(file.nodata) else out != file.nodata
    return np.where(valid, out, np.nan).astype("float64"), transform, zone


@pytest.mark.parametrize("band", some(["bytes", "floats"], 2))
@pytest.mark.parametrize(
    ("crs", "resolution", "method"),
    some([("EPSG:3857", 9.0, "bilinear"), (UTM, 23.0, "average"), (UTM, 6.3, "cubic")], 3),
)
def test_zones_have_the_pixels_of_the_warp(world, band, crs, resolution, method):
    con, directory = world
    arguments = f"crs := '{crs}', resolution := {resolution}, resampling := '{method}'"
    pixels, transform, zone = of_gdal(directory / f"{band}.tif", crs, resolution, method)
    ours = statistics(con, band, arguments)
    inside = rasterio.features.geometry_mask([zone], pixels.shape, transform, invert=True)
    values = pixels[inside & ~np.isnan(pixels)]
    assert ours["count"] == len(values) > 200
    assert ours["valid_percent"] == pytest.approx(100 * len(values) / inside.sum())
    close = 0 if band == "bytes" else 1e-4
    assert ours["sum"] == pytest.approx(values.sum(), rel=1e-6)
    assert ours["median"] == pytest.approx(np.median(values), abs=close)
    assert (ours["min"], ours["max"]) == pytest.approx((values.min(), values.max()), abs=close)
    height, width = pixels.shape
    source = NumPyRasterSource(
        pixels,
        transform.c,
        transform.f - height * resolution,
        transform.c + width * resolution,
        transform.f,
        nodata=np.nan,
    )
    feature = {"type": "Feature", "geometry": shapely.geometry.mapping(zone), "properties": {}}
    theirs = exact_extract(source, feature, ["count", "mean", "stdev"])[0]["properties"]
    weighted = statistics(con, band, f"{arguments}, weighted := true")
    assert weighted["count"] == pytest.approx(theirs["count"], rel=1e-6)
    assert weighted["mean"] == pytest.approx(theirs["mean"], rel=1e-6)
    assert weighted["stddev_pop"] == pytest.approx(theirs["stdev"], rel=1e-6)


@pytest.mark.parametrize("band", some(["bytes", "floats"], 2))
@pytest.mark.parametrize("method", some(["average", "bilinear", "cubic", "mode"], 4))
def test_zones_in_blocks_are_those_in_one_piece(world, band, method, monkeypatch):
    con, _ = world
    found = []
    for most in (1 << 20, 3000):
        monkeypatch.setattr(zonal, "BLOCK_PIXELS", most)
        found += [
            [
                statistics(con, band, f"{grid}, resampling := '{method}', weighted := {weighted}")
                for grid in ("crs := 3857, resolution := 11", "resolution := 57", "resolution := 4, align := [1, 2]")
                for weighted in ("false", "true")
            ]
        ]
    wholes, blocks = found
    assert wholes == [pytest.approx(each, rel=1e-12) for each in blocks]
    assert wholes[0]["count"] > 0


@pytest.mark.parametrize(
    ("grid", "method"),
    some(
        [("crs := 3857, resolution := 11", "cubic"), ("resolution := 57", "average"), ("align := [3, 4]", "bilinear")],
        2,
    ),
)
def test_rows_of_pixels_are_those_of_the_chip(world, grid, method, monkeypatch):
    con, _ = world
    monkeypatch.setattr(pixel_blocks, "_SIDES", (16, 16))
    arguments = f"geom_crs := '{UTM}', {grid}, resampling := '{method}'"
    chip = con.sql(f"SELECT read_chip('s', 'bytes', '{ZONE.wkt}', {arguments})").fetchall()[0][0]
    pixels, mask = rasteret_sql.to_numpy(chip)
    rows = con.sql(f"SELECT x, y, bytes FROM read_pixels(rasteret.zones, 'bytes', geom := '{ZONE.wkt}', {arguments})")
    x, y, values = rows.fetchnumpy().values()
    a, _, c, _, e, f = chip["transform"]
    cols, numbers = (np.floor((at - corner) / side).astype(int) for at, corner, side in ((x, c, a), (y, f, e)))
    assert len(values) > 150
    np.testing.assert_array_equal(np.ma.getmaskarray(values), ~mask[0][numbers, cols])
    valid = ~np.ma.getmaskarray(values)
    np.testing.assert_array_equal(np.ma.getdata(values)[valid], pixels[0][numbers, cols][valid])
    assert valid.sum() == mask.sum()
