"""Targets over an end of a map of the world have the pixels of both ends, as on a map that ends elsewhere."""

from __future__ import annotations

from itertools import product

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject

import rasteret_sql
from tests.sampling import some

PIXEL = 0.75
SHAPE = (240, 480)
NODATA = 60_000
WESTS = {"west": -180.0, "greenwich": 0.0, "between": -97.5, "turned": 180.0}
METHODS = ("nearest", "bilinear", "cubic", "lanczos", "average", "rms", "mode", "min", "max", "med", "q1", "q3", "sum")
PACIFIC, ATLANTIC, NEXT, FAR = (171, -31, 193, -9), (-22, 38, 11, 57), (-191, -20, -168, -3), (352, 2, 367, 21)
# GDAL takes a small target that is finer by a factor above 2 for one at the antimeridian, and adds up too much.
CASES = [
    (method, area, resolution)
    for method, area, resolution in product(METHODS, (PACIFIC, ATLANTIC, NEXT, FAR), (0.75, 0.3137, 1.6131))
    if method != "sum" or resolution >= PIXEL
]


@pytest.fixture(scope="module")
def globe():
    """Pixels from 180 degrees west on."""
    rng = np.random.default_rng(12)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    smooth = np.sin(x * 2 * np.pi / 480 * 3) * np.cos(y / 31)
    pixels = (20_000 + 9000 * smooth + rng.integers(0, 3000, SHAPE)).astype("uint16")
    pixels[rng.random(SHAPE) < 0.06] = NODATA
    return pixels


@pytest.fixture(scope="module")
def maps(tmp_path_factory, globe):
    folder = tmp_path_factory.mktemp("world")
    for name, west in WESTS.items():
        write(folder / f"{name}.tif", from_west(globe, west), west)
    return folder


def from_west(globe, west):
    """The same globe as a map that begins at another meridian."""
    return np.roll(globe, -round((west + 180) / PIXEL), axis=1)


def write(path, pixels, west, north=90.0):
    profile = {
        "driver": "GTiff",
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "count": 1,
        "dtype": pixels.dtype,
        "crs": "EPSG:4326",
        "transform": Affine(PIXEL, 0, west, 0, -PIXEL, north),
        "tiled": True,
        "blockxsize": 48,
        "blockysize": 32,
        "nodata": NODATA,
    }
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels, 1)


@pytest.fixture(scope="module")
def con():
    with rasteret_sql.connect() as connection:
        yield connection


def ask(con, call, path, area, **options):
    """What a function of a path, a band and a geometry returns."""
    named = "".join(f", {name} := {value!r}" for name, value in options.items())
    return con.execute(f"SELECT {call}($1, 1, $2{named})", [str(path), shapely.box(*area).wkt]).fetchone()[0]


def chip_of(con, path, area, **options):
    chip = ask(con, "read_chip", path, area, clip=False, **options)
    pixels, mask = rasteret_sql.to_numpy(chip)
    return chip, np.where(mask[0], pixels[0], NODATA)


@pytest.mark.parametrize(
    ("method", "area", "resolution"),
    some(CASES, 7),
)
def test_within_one_crs_it_is_the_warp_of_a_map_that_does_not_end_there(con, maps, globe, *, area, method, resolution):
    west = (area[0] + area[2]) / 2 - 180
    west = round(west / PIXEL) * PIXEL
    for name in WESTS:
        chip, found = chip_of(con, maps / f"{name}.tif", area, resolution=resolution, resampling=method)
        expected = np.zeros(found.shape, "uint16")
        reproject(
            from_west(globe, west),
            expected,
            src_transform=Affine(PIXEL, 0, west, 0, -PIXEL, 90),
            src_crs="EPSG:4326",
            src_nodata=NODATA,
            dst_transform=Affine(*chip["transform"]),
            dst_crs="EPSG:4326",
            dst_nodata=NODATA,
            resampling=Resampling[method],
        )
        assert chip["transform"][2] <= area[0] < chip["transform"][2] + resolution
        differ = found != expected
        if method == "mode":  # GDAL 3.10 counts pixels that a cell touches
            assert (found == NODATA).sum() == (expected == NODATA).sum()
        elif method == "lanczos":
            assert differ.mean() < 0.01  # where GDAL's kernel is noise (docs/grids.md)
        else:
            assert differ.sum() <= 1, (name, np.argwhere(differ))  # ties


@pytest.mark.parametrize("method", some(METHODS, 4))
@pytest.mark.parametrize(
    ("area", "crs", "resolution"),
    [(PACIFIC, "EPSG:3832", 61_000), (PACIFIC, "EPSG:3832", 170_000), (ATLANTIC, "EPSG:3035", 90_000)],
)
def test_between_crs_all_maps_of_the_world_give_the_same(con, maps, *, method, area, crs, resolution):
    found = [
        chip_of(con, maps / f"{name}.tif", area, crs=crs, resolution=resolution, resampling=method)[1] for name in WESTS
    ]
    assert (found[0] != NODATA).mean() > 0.5
    for other in found[1:]:
        assert (found[0] != other).sum() <= 1  # ties


@pytest.mark.parametrize("options", [{}, {"crs": "EPSG:4258"}, {"crs": "EPSG:3857", "resolution": 70_000}])
@pytest.mark.parametrize("area", [PACIFIC, ATLANTIC, NEXT, FAR])
def test_statistics_are_those_of_the_chip(con, maps, area, options):
    options = {"resolution": 0.6, **options}
    con.execute("CREATE OR REPLACE TEMP TABLE zone AS SELECT $1 AS geometry", [shapely.box(*area).wkt])
    for name in WESTS:
        path = maps / f"{name}.tif"
        chip = ask(con, "read_chip", path, area, **options)
        pixels, mask = rasteret_sql.to_numpy(chip)
        assert mask.any()
        stats = ask(con, "zonal_stats", path, area, **options)
        assert stats["count"] == mask.sum()
        assert stats["mean"] == pytest.approx(pixels[mask].mean(dtype="float64"))
        named = "".join(f", {key} := {value!r}" for key, value in options.items())
        rows = con.execute(
            f"WITH s AS (SELECT '{path}' AS id) SELECT count, mean FROM zonal_stats_table(s, zone, 1{named})"
        ).fetchall()
        assert rows == [(stats["count"], pytest.approx(stats["mean"]))]


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4258", "EPSG:4269"])
@pytest.mark.parametrize("west", [-180, -179.25, 0, 100])
def test_the_whole_world_counts_once(con, maps, crs, west):
    area = (west, -60, west + 360, 60)
    for name in WESTS:
        stats = ask(con, "zonal_stats", maps / f"{name}.tif", area, crs=crs, resolution=1.5)
        assert stats["count"] / stats["valid_percent"] * 100 == pytest.approx(240 * 80, abs=80)


@pytest.mark.parametrize("crs", ["EPSG:8857", "ESRI:54009", "EPSG:6933"])
def test_a_world_map_has_all_of_a_zone_or_an_image_that_begins_elsewhere(con, maps, crs):
    wholes, zones = set(), set()
    for name, west in WESTS.items():
        path = maps / f"{name}.tif"
        chip = con.execute(
            f"SELECT read_chip('{path}', 1, crs := '{crs}', resolution := 250000, resampling := 'nearest')"
        ).fetchone()[0]
        wholes.add((chip["width"], chip["height"], tuple(chip["transform"])))
        options = {"crs": crs, "resolution": 250_000, "resampling": "nearest"}
        stats = ask(con, "zonal_stats", path, (west, -60, west + 360, 60), **options)
        zones.add(round(stats["count"] / stats["valid_percent"] * 100))
    assert len(wholes) == 1
    assert max(zones) - min(zones) <= 120  # centres on the end of the map


def test_a_model_whose_pixels_have_centres_on_the_poles_is_read_whole(con, tmp_path):
    pixels = np.arange(241 * 480, dtype="uint16").reshape(241, 480) % 50_000
    write(tmp_path / "model.tif", pixels, -PIXEL / 2, 90 + PIXEL / 2)
    whole = "resolution := 0.75, align := [0.375, 0.375]"
    for options, rows in ((whole, slice(None)), (whole + ", crs := 'EPSG:4258'", slice(None))):
        chip = con.execute(f"SELECT read_chip('{tmp_path / 'model.tif'}', 1, {options})").fetchone()[0]
        found, _ = rasteret_sql.to_numpy(chip)
        np.testing.assert_array_equal(found[0][rows], pixels[rows])


def test_only_tiles_at_the_ends_are_read(con, maps):
    explained = ask(con, "rasteret_explain", maps / "west.tif", PACIFIC, resolution=0.75)
    assert explained["tiles"] == 4  # two columns of tiles, one at each end, and two rows


def test_a_target_wider_than_the_world_repeats_it(con, maps, globe):
    _, found = chip_of(con, maps / "west.tif", (-200, -30, 220, 30), resolution=0.75, resampling="nearest")
    cols = (np.arange(found.shape[1]) + round((np.floor(-200 / 0.75) * 0.75 + 180) / PIXEL)) % SHAPE[1]
    np.testing.assert_array_equal(found, globe[80:160][:, cols])


@pytest.mark.parametrize("west", [-190.5, 169.5])
def test_an_image_of_a_part_of_the_world_is_found_in_every_turn(con, tmp_path, west):
    pixels = np.arange(40 * 50, dtype="uint16").reshape(40, 50)
    write(tmp_path / "part.tif", pixels, 169.5, 0.0)
    area = (west + 3, -15, west + 12, -6)
    _, found = chip_of(con, tmp_path / "part.tif", area, resolution=0.75, resampling="nearest")
    np.testing.assert_array_equal(found, pixels[8:20, 4:16])
    beside = (west - 20, -15, west - 3, -6)
    assert ask(con, "read_chip", tmp_path / "part.tif", beside, resolution=0.75) is None


@pytest.mark.parametrize("name", ["west", "greenwich", "part"])
def test_a_target_beyond_which_the_globe_ends_has_all_pixels(con, maps, globe, tmp_path, name):
    """Close to the place opposite of a projection's centre, pixels are hundreds of kilometres apart."""
    path = maps / f"{name}.tif"
    if name == "part":
        path = tmp_path / "part.tif"
        write(path, from_west(globe, 150.0)[100:200, :70], 150.0, 15.0)
    area, crs = shapely.box(175, -25, 186, -12), "EPSG:3035"
    chip = ask(con, "read_chip", path, area.bounds, crs=crs, resolution=50_000, resampling="nearest")
    pixels, mask = rasteret_sql.to_numpy(chip)
    x, y = np.meshgrid(np.arange(chip["width"]) + 0.5, np.arange(chip["height"]) + 0.5)
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lon, lat = to_lonlat.transform(*(Affine(*chip["transform"]) * (x, y)))
    lon = np.where(np.isfinite(lon), np.where(lon < 0, lon + 360, lon), np.inf)
    inside = shapely.contains_xy(area, lon, lat)
    cols, rows = (np.floor(each[inside] / PIXEL).astype(int) for each in (lon - 180, 90 - lat))
    expected = globe[rows, cols % SHAPE[1]]
    np.testing.assert_array_equal(np.where(mask[0], pixels[0], NODATA)[inside], expected)
    assert not mask[0][~inside].any()


def test_an_area_across_the_antimeridian_is_written_as_in_a_search(con, maps):
    for name in ("west", "greenwich"):
        stats = con.execute(
            "SELECT zonal_stats($1, 1, [171, -31, -167, -9]).mean, zonal_stats($1, 1, [171, -31, 193, -9]).mean",
            [str(maps / f"{name}.tif")],
        ).fetchone()
        assert stats[0] == stats[1]
    world = rasteret_sql.build_from_files([str(maps / "west.tif")], name="antimeridian")
    one, other = (
        world.get_numpy(area, world.bands, resolution=0.75) for area in ((171, -31, -167, -9), (171, -31, 193, -9))
    )
    np.testing.assert_array_equal(one, other)


def test_chunks_of_dask_are_the_whole(maps):
    pytest.importorskip("dask")
    pytest.importorskip("xarray")
    world = rasteret_sql.build_from_files([str(maps / "west.tif")], name="world_ends")
    asked = {
        "geometries": PACIFIC,
        "bands": world.bands,
        "resolution": 61_000,
        "target_crs": 3832,
        "resampling": "cubic",
    }
    whole, parts = world.get_xarray(**asked), world.get_xarray(**asked, chunks=13)
    band = world.bands[0]
    np.testing.assert_array_equal(whole[band].values, parts[band].values)
