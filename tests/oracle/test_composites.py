"""Composites equal numpy's reduction of the scenes: of rasterio's pixels on their own grid, of chips on others."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform

import rasteret_sql
from rasteret_sql.engine import cache as tile_cache
from rasteret_sql.raster import median
from rasteret_sql.reading import composites
from tests.sampling import some

METHODS = ("first", "last", "min", "max", "mean", "median", "count", "sum", "best")
SCENES = [f"s{number}" for number in range(7)]
SIZE = (90, 110)
RING = [(600_210, 5_099_240), (600_830, 5_099_290), (600_910, 5_099_800), (600_400, 5_099_910), (600_150, 5_099_700)]
ZONE = shapely.Polygon(RING)
OTHER = tuple(round(each[0], -1) for each in transform("EPSG:32632", "EPSG:32633", [600_000], [5_100_050]))
"""The same place, about, in the next UTM zone."""
BANDS = (("v", "uint16", 0, 10), ("f", "float32", np.nan, 10), ("c", "uint8", None, 20))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Seven scenes of a value and a float of 10 m and classes of 20 m, five on one grid; two in the next UTM zone."""
    directory = tmp_path_factory.mktemp("composites")
    rng = np.random.default_rng(5)
    items = []
    for number, scene in enumerate(SCENES):
        crs, (west, north) = ("EPSG:32633", OTHER) if number in (2, 5) else ("EPSG:32632", (600_000, 5_100_000))
        for band, dtype, nodata, side in BANDS:
            height, width = (each * 10 // side for each in SIZE)
            # Few values, so that scores are often equal.
            pixels = rng.integers(1, 9, (height, width)).astype(dtype)
            if nodata is not None:
                pixels[rng.random(pixels.shape) < 0.35] = nodata
            profile = {"driver": "GTiff", "width": width, "height": height, "count": 1, "dtype": dtype, "crs": crs}
            place = {"transform": from_origin(west, north, side, side), "nodata": nodata}
            tiles = {"tiled": True, "blockxsize": 32, "blockysize": 16}
            with rasterio.open(directory / f"{scene}_{band}.tif", "w", **profile, **place, **tiles) as file:
                file.write(pixels, 1)
        items.append({
            "type": "Feature", "stac_version": "1.0.0", "id": scene, "collection": "composites", "links": [],
            "geometry": {"type": "Point", "coordinates": [10.3, 46.04]}, "bbox": [10.29, 46.03, 10.31, 46.05],
            "properties": {"datetime": f"2024-0{1 + number // 3}-0{9 - number}T00:00:00Z", "rank": number * 3 % 7},
            "assets": {b: {"href": f"{scene}_{b}.tif", "type": "image/tiff"} for b in "vfc"},
        })  # fmt: skip
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    con = rasteret_sql.connect(workspace_dir=directory / "ws")
    con.sql(f"FROM rasteret_build_from_stac('world', '{directory / 'items.json'}')").fetchall()
    con.sql("CREATE TABLE near AS FROM rasteret.world WHERE id NOT IN ('s2', 's5')")
    return con, directory


def reduced(method, stack, valid, scores=None):
    """Composite of scenes in their order, shape (scenes, bands, height, width); where it is valid; scenes that gave."""
    shape = stack.shape[1:]
    if method in ("first", "last", "best"):
        there = valid.all(axis=1)
        if method == "best":
            values = np.where(there & scores[1], scores[0].astype("float64"), -np.inf)
            there, chosen = there & scores[1], values.argmax(axis=0)
        elif method == "first":
            chosen = there.argmax(axis=0)
        else:
            chosen = len(stack) - 1 - there[::-1].argmax(axis=0)
        some = there.any(axis=0)
        pixels = np.take_along_axis(stack, chosen[None, None], axis=0)[0]
        return pixels, np.broadcast_to(some, shape), len(np.unique(chosen[some]))
    masked = np.ma.masked_array(stack.astype("float64"), ~valid)
    pixels = {
        "min": masked.min, "max": masked.max, "mean": masked.mean, "sum": masked.sum,
        "median": lambda axis: np.ma.median(masked, axis=axis), "count": lambda axis: valid.sum(axis=axis),
    }[method](axis=0)  # fmt: skip
    has = np.ones(shape, bool) if method == "count" else valid.any(axis=0)
    return np.ma.filled(pixels, 0), has, int(valid.any(axis=(1, 2, 3)).sum())


def check(chip, scenes, expected, inside):
    pixels, valid = rasteret_sql.to_numpy(chip)
    wanted, has, gave = expected
    assert scenes == gave
    assert (valid == (has & inside)).all()
    np.testing.assert_allclose(pixels[valid], wanted[valid], rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("side", some([1024, 32], 2))
def test_composites_of_rasterios_pixels(world, method, side, monkeypatch):
    con, directory = world
    monkeypatch.setattr(composites, "_SIDE", side)
    monkeypatch.setattr(composites, "_SCENES_BYTES", 40_000)
    by = ", best_by := 'f'" if method == "best" else ""
    ids = [row[0] for row in con.sql("SELECT id FROM near ORDER BY datetime, id").fetchall()]
    stack, valid = [], []
    for scene in ids:
        of_bands = []
        for band in "vf":
            with rasterio.open(directory / f"{scene}_{band}.tif") as file:
                window = rasterio.windows.from_bounds(*ZONE.bounds, file.transform).round_offsets().round_lengths()
                place = file.window_transform(window)
                data = file.read(1, window=window, masked=True)
            of_bands.append((data.data, ~np.ma.getmaskarray(data)))
        stack.append([data for data, _ in of_bands])
        valid.append([mask for _, mask in of_bands])
    stack, valid = np.array(stack, dtype="float64"), np.array(valid)
    inside = rasterio.features.geometry_mask([ZONE], stack.shape[2:], place, invert=True)
    scores = (stack[:, 1], valid[:, 1])
    call = f"read_mosaic(near, ['v', 'f'], '{ZONE.wkt}', geom_crs := 32632, method := '{method}'{by})"
    ((scenes, chip),) = con.sql(f"SELECT scenes, chip FROM {call}").fetchall()
    check(chip, scenes, reduced(method, stack, valid & inside, scores), inside)


@pytest.mark.parametrize("number", some(list(range(40)), 40))
def test_composites_of_chips_on_random_grids(world, number, monkeypatch):
    con, _ = world
    rng = np.random.default_rng(number)
    method = METHODS[number % len(METHODS)]
    monkeypatch.setattr(composites, "_SIDE", int(rng.choice([16, 64, 1024])))
    monkeypatch.setattr(composites, "_SCENES_BYTES", int(rng.choice([1, 100_000, 1 << 28])))
    monkeypatch.setattr(composites, "_VALUES_BYTES", int(rng.choice([30_000, 1 << 27])))
    if rng.random() < 0.5:  # as if the tiles were many
        monkeypatch.setattr(tile_cache, "_MUCH", 1 << 60)
        monkeypatch.setattr(tile_cache, "_LEAST_SHARE", int(rng.choice([0, 20_000])))
    bands = [["v"], ["f"], ["v", "c"], ["v + 2 * f"]][rng.integers(4)]
    crs, resolution = [("EPSG:3857", 17.3), ("EPSG:32632", 13), ("EPSG:32633", 40), ("EPSG:4326", 0.0002)][number % 4]
    grid = f"geom_crs := 32632, crs := '{crs}', resolution := {resolution}"
    grid += f", resampling := '{rng.choice(['nearest', 'bilinear', 'cubic', 'average'])}'"
    grid += rng.choice(["", ", mask := 'c > 6'", ", mask := 'c = 2', dilate := 1"])
    order = ["datetime, id", "rank DESC, id", "id LIKE 's1%' DESC, rank"][rng.integers(3)]
    by = ", best_by := 'c - v'" if method == "best" else ""
    quoted = order.replace("'", "''")
    named = f"{grid}, method := '{method}', order_by := '{quoted}'{by}"
    call = f"read_mosaic(rasteret.world, {bands}, '{ZONE.wkt}', {named})"
    ((scenes, chip),) = con.sql(f"SELECT scenes, chip FROM {call}").fetchall()

    def of_scenes(asked):
        rows = con.sql(
            f"SELECT read_chip(id, {asked}, '{ZONE.wkt}', {grid}) FROM rasteret.world ORDER BY {order}"
        ).fetchall()
        read = [rasteret_sql.to_numpy(row[0]) for row in rows]
        return np.array([pixels for pixels, _ in read]), np.array([mask for _, mask in read])

    stack, valid = of_scenes(bands)
    scores = tuple(side[:, 0] for side in of_scenes(["c - v"])) if method == "best" else None
    counted = f"read_mosaic(rasteret.world, {bands}, '{ZONE.wkt}', {grid}, method := 'count')"
    inside = rasteret_sql.to_numpy(con.sql(f"SELECT chip FROM {counted}").fetchall()[0][0])[1]
    assert inside.any()
    check(chip, scenes, reduced(method, stack, valid, scores), inside)


@pytest.mark.parametrize("dtype", some(["uint8", "int16", "uint16", "int64", "float32", "float64"], 3))
def test_medians_of_any_number_of_planes(dtype):
    rng = np.random.default_rng(1)
    for planes in (1, 2, 3, 7, 16, 31, 32, 33, 50):
        values = rng.integers(-50 if dtype != "uint8" and "u" not in dtype else 0, 60, (planes, 500)).astype(dtype)
        counts = rng.integers(0, planes + 1, 500).astype("uint32")
        there = np.arange(planes)[:, None] < counts
        stack = np.where(there, values, np.inf if dtype.startswith("f") else np.iinfo(dtype).max).astype(dtype)
        median.sort_planes(stack)
        found = median.median_of_sorted(stack, counts, np.dtype("float64"))
        wanted = np.ma.median(np.ma.masked_array(values.astype("float64"), ~there), axis=0)
        assert (counts > 0).any()
        assert (found[counts > 0] == wanted[counts > 0]).all()
