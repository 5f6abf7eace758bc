"""Chips, statistics and points through SQL equal rasterio's, over files of many kinds."""

import itertools
import json

import numpy as np
import pytest
import rasterio
import rasterio.mask
import rasterio.transform
import shapely
from rasterio.transform import from_origin

import rasteret_sql
from tests.sampling import some

SIZE = (61, 83)
NORTH_UP = from_origin(600_000, 5_100_000, 10, 10)
SOUTH_UP = rasterio.Affine(10, 0, 600_000, 0, 10, 5_100_000)
ROTATED = rasterio.Affine(9, 2.5, 600_000, 3, -8.5, 5_100_000)

KINDS = {
    "plain": {},
    "nodata": {"nodata": 7},
    "float_nan": {"dtype": "float32", "nodata": float("nan")},
    "float_nodata": {"dtype": "float64", "nodata": -9999.25},
    "int64_nodata": {"dtype": "int64", "nodata": 2**53 + 1},
    "striped": {"tiled": False, "nodata": 3},
    "mask": {"with_mask": True},
    "mask_and_nodata": {"with_mask": True, "nodata": 7},
    "two_bands_chunky": {"count": 2, "nodata": 7, "interleave": "pixel"},
    "two_bands_planar": {"count": 2, "nodata": 7, "interleave": "band"},
    "alpha_chunky": {"count": 4, "dtype": "uint8", "photometric": "RGB", "alpha": "YES", "interleave": "pixel"},
    "alpha_planar": {"count": 4, "dtype": "uint8", "photometric": "RGB", "alpha": "YES", "interleave": "band"},
    "sparse": {"sparse_ok": True, "nodata": 5, "empty": True},
    "south_up": {"transform": SOUTH_UP, "nodata": 7},
    "rotated": {"transform": ROTATED, "nodata": 7},
    "overviews": {"nodata": 7, "overviews": [2, 4]},
    "overviews_mask": {"with_mask": True, "overviews": [2, 4]},
    "int8": {"dtype": "int8", "nodata": -4},
    "big_endian": {"endianness": "BIG", "nodata": 7},
    "lonlat": {"crs": "EPSG:4326", "transform": from_origin(10.0, 46.0, 0.001, 0.001), "nodata": 7},
}


def write(path, options, seed):
    options = dict(options)
    with_mask, overviews, empty = (options.pop(k, None) for k in ("with_mask", "overviews", "empty"))
    profile = {
        "driver": "GTiff",
        "width": SIZE[1],
        "height": SIZE[0],
        "count": 1,
        "dtype": "uint16",
        "crs": "EPSG:32632",
        "transform": NORTH_UP,
        "tiled": True,
        "blockxsize": 16,
        "blockysize": 32,
        "compress": "deflate",
        **options,
    }
    if not profile["tiled"]:
        profile.pop("blockxsize")
    rng = np.random.default_rng(seed)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as dataset:
        for band in range(1, profile["count"] + 1):
            pixels = rng.integers(-9 if profile["dtype"].startswith(("int", "float")) else 0, 12, SIZE)
            pixels = pixels.astype(profile["dtype"])
            if profile["dtype"] == "int64":
                pixels[pixels == 3] = 2**53 + 1
                pixels[pixels == 4] = 2**53
            if profile["dtype"].startswith("float"):
                pixels[pixels == 4] = profile["nodata"]
            if options.get("alpha") and band == profile["count"]:
                pixels = rng.choice(np.array([0, 0, 128, 255], "uint8"), SIZE)
            if empty:
                block = pixels[:32, :16]
                dataset.write(block, band, window=rasterio.windows.Window(0, 0, 16, 32))
            else:
                dataset.write(pixels, band)
        if with_mask:
            dataset.write_mask(rng.random(SIZE) > 0.3)
        if overviews:
            dataset.build_overviews(overviews, rasterio.enums.Resampling.nearest)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A connection with a collection of one scene per kind, and the files."""
    directory = tmp_path_factory.mktemp("kinds")
    features, files = [], {}
    for seed, (kind, options) in enumerate(KINDS.items()):
        files[kind] = directory / f"{kind}.tif"
        write(files[kind], options, seed)
        features.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": kind,
                "links": [],
                "geometry": {"type": "Point", "coordinates": [10.0, 46.0]},
                "bbox": [10.0, 46.0, 10.0, 46.0],
                "properties": {"datetime": "2024-01-01T00:00:00Z"},
                "assets": {"b": {"href": str(files[kind]), "type": "image/tiff"}},
            }
        )
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with rasteret_sql.connect(workspace_dir=directory / "ws") as con:
        rows = con.execute(
            "SELECT id, status FROM rasteret_build_from_stac(name := 'kinds', stac_api := ?)",
            [str(directory / "items.json")],
        ).fetchall()
        assert {status for _, status in rows} == {"ok"}
        yield con, files


def band_name(number):
    return f"b_{number}"


def chip(con, kind, band, wkt=None, **more):
    named = "".join(f", {name} := {value}" for name, value in more.items())
    geom = "" if wkt is None else ", geom := $wkt"
    row = con.execute(
        f"SELECT read_chip('{kind}', '{band_name(band)}'{geom}{named})", {} if wkt is None else {"wkt": wkt}
    ).fetchone()[0]
    if row is None:
        return None
    shape = (row["height"], row["width"])
    data = np.frombuffer(row["data"], row["dtype"]).reshape(shape)
    valid = np.ones(shape, bool) if row["mask"] is None else np.frombuffer(row["mask"], bool).reshape(shape)
    return data, valid, row


def valid_of(dataset, band, **window):
    """Validity as GDAL has it: alpha, an internal mask, or nodata."""
    if dataset.colorinterp[-1] == rasterio.enums.ColorInterp.alpha:
        return dataset.read(dataset.count, **window) != 0
    return dataset.read_masks(band, **window) != 0


def polygons(dataset, rng, count):
    assert count > 0
    for _ in range(count):
        centre = rng.uniform((5, 5), (SIZE[1] - 5, SIZE[0] - 5))
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        radius = rng.uniform(3, 30, 9)
        yield shapely.Polygon(
            [
                dataset.transform @ (centre[0] + r * np.cos(a), centre[1] + r * np.sin(a))
                for a, r in zip(angles, radius, strict=True)
            ]
        )


def bands_of(dataset):
    bands = range(1, dataset.count + (dataset.colorinterp[-1] != rasterio.enums.ColorInterp.alpha))
    assert bands
    return bands


@pytest.mark.parametrize("kind", some(KINDS, 3))
def test_whole_images(world, kind):
    con, files = world
    with rasterio.open(files[kind]) as dataset:
        for band in bands_of(dataset):
            data, valid, row = chip(con, kind, band)
            assert row["dtype"] == dataset.dtypes[band - 1]
            np.testing.assert_array_equal(data, dataset.read(band))
            np.testing.assert_array_equal(valid, valid_of(dataset, band))
            assert tuple(row["transform"]) == tuple(dataset.transform)[:6]
            assert row["crs"] == dataset.crs.to_string()


@pytest.mark.parametrize(("all_touched", "kind"), some(itertools.product([False, True], KINDS), 7))
def test_polygons(world, kind, all_touched):
    con, files = world
    rng = np.random.default_rng(11)
    with rasterio.open(files[kind]) as dataset:
        crs = f"'{dataset.crs.to_string()}'"
        for polygon in polygons(dataset, rng, 6):
            for band in bands_of(dataset):
                got = chip(con, kind, band, polygon.wkt, geom_crs=crs, all_touched=str(all_touched).lower())
                _, transform = rasterio.mask.mask(
                    dataset, [polygon], crop=True, all_touched=all_touched, indexes=band, filled=True
                )
                outside, _, window = rasterio.mask.raster_geometry_mask(
                    dataset, [polygon], crop=True, all_touched=all_touched
                )
                data, valid, row = got
                assert np.allclose(row["transform"], tuple(transform)[:6], rtol=0, atol=0)
                np.testing.assert_array_equal(data[~outside], dataset.read(band, window=window)[~outside])
                fill = 0 if dataset.nodata is None else dataset.nodata
                assert (np.isnan(data[outside]) if np.isnan(fill) else data[outside] == fill).all()
                np.testing.assert_array_equal(valid, valid_of(dataset, band, window=window) & ~outside)


@pytest.mark.parametrize("kind", some(KINDS, 6))
def test_statistics(world, kind):
    con, files = world
    rng = np.random.default_rng(12)
    with rasterio.open(files[kind]) as dataset:
        for polygon in polygons(dataset, rng, 4):
            outside, _, window = rasterio.mask.raster_geometry_mask(dataset, [polygon], crop=True)
            inside = valid_of(dataset, 1, window=window) & ~outside
            values = dataset.read(1, window=window)[inside].astype("float64")
            got = con.execute(
                f"SELECT zonal_stats('{kind}', 'b_1', $wkt, geom_crs := '{dataset.crs.to_string()}')",
                {"wkt": polygon.wkt},
            ).fetchone()[0]
            assert got["count"] == values.size
            assert got["valid_percent"] == pytest.approx(100 * values.size / (~outside).sum())
            if values.size:
                expected = {
                    "mean": values.mean(),
                    "min": values.min(),
                    "max": values.max(),
                    "sum": values.sum(),
                    "median": np.median(values),
                    "p25": np.percentile(values, 25),
                    "stddev_pop": values.std(),
                }
                for name, value in expected.items():
                    assert got[name] == pytest.approx(value, rel=1e-12, abs=1e-9), name
                one = con.execute(
                    f"SELECT zonal_stat('{kind}', 'b_1', $wkt, 'mean', geom_crs := '{dataset.crs.to_string()}')",
                    {"wkt": polygon.wkt},
                ).fetchone()[0]
                assert one == got["mean"]


@pytest.mark.parametrize("kind", some(KINDS, 3))
def test_points(world, kind):
    con, files = world
    rng = np.random.default_rng(13)
    with rasterio.open(files[kind]) as dataset:
        pixels = rng.uniform((-2, -2), (SIZE[1] + 2, SIZE[0] + 2), (60, 2))
        points = [dataset.transform @ tuple(pixel) for pixel in pixels]
        data, valid = dataset.read(1), valid_of(dataset, 1)
        assert valid.any()
        rows = con.execute(
            f"SELECT sample_point('{kind}', 'b_1', wkt, geom_crs := '{dataset.crs.to_string()}') "
            "FROM (SELECT unnest($wkts) AS wkt)",
            {"wkts": [f"POINT ({float(x)!r} {float(y)!r})" for x, y in points]},
        ).fetchall()
        for (got,), (x, y) in zip(rows, points, strict=True):
            row, col = dataset.index(x, y)
            inside = 0 <= row < SIZE[0] and 0 <= col < SIZE[1]
            expected = float(data[row, col]) if inside and valid[row, col] else None
            assert got == expected


def pixel_rows(con, kind, bands, wkt=None, **named):
    """Rows of read_pixels: row, col, x, y, and a value for each band."""
    named = {**named, **({} if wkt is None else {"geom": f"'{wkt}'"})}
    given = "".join(f", {name} := {value}" for name, value in named.items())
    rows = con.execute(
        f"WITH one AS (SELECT '{kind}' AS id) SELECT COLUMNS(* EXCLUDE (scene_id, datetime)) "
        f"FROM read_pixels(one, {[band_name(band) for band in bands]}{given}) ORDER BY row, col"
    ).fetchall()
    return np.array(rows, float).reshape(len(rows), 4 + len(bands))


def expected_rows(dataset, bands, inside, **window):
    """The same of rasterio; NaN where a pixel is not valid."""
    rows, cols = np.nonzero(inside)
    x, y = rasterio.transform.xy(dataset.transform, rows, cols)
    values = [np.where(valid_of(dataset, b), dataset.read(b).astype(float), np.nan)[inside] for b in bands]
    return np.column_stack([rows, cols, x, y, *values])


@pytest.mark.parametrize(("all_touched", "kind"), some(itertools.product([False, True], KINDS), 7))
def test_rows_of_pixels(world, kind, all_touched):
    con, files = world
    rng = np.random.default_rng(14)
    with rasterio.open(files[kind]) as dataset:
        bands = list(bands_of(dataset))
        whole = np.ones(SIZE, bool)
        got = pixel_rows(con, kind, bands)
        np.testing.assert_allclose(got, expected_rows(dataset, bands, whole), rtol=1e-15, atol=1e-9)
        for polygon in polygons(dataset, rng, 3):
            outside, *_ = rasterio.mask.raster_geometry_mask(dataset, [polygon], all_touched=all_touched)
            options = {"geom_crs": f"'{dataset.crs.to_string()}'", "all_touched": str(all_touched).lower()}
            got = pixel_rows(con, kind, bands, polygon.wkt, **options)
            np.testing.assert_allclose(got, expected_rows(dataset, bands, ~outside), rtol=1e-15, atol=1e-9)


@pytest.mark.parametrize("kind", ["overviews", "overviews_mask"])
@pytest.mark.parametrize("level", [1, 2])
def test_rows_of_pixels_of_overviews(world, kind, level):
    con, files = world
    with rasterio.open(files[kind], overview_level=level - 1) as dataset:
        got = pixel_rows(con, kind, [1], overview=level)
        want = expected_rows(dataset, [1], np.ones(dataset.shape, bool))
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-6)


@pytest.mark.parametrize("kind", ["overviews", "overviews_mask"])
@pytest.mark.parametrize("level", [1, 2])
def test_overviews(world, kind, level):
    con, files = world
    with rasterio.open(files[kind], overview_level=level - 1) as dataset:
        data, valid, row = chip(con, kind, 1, overview=level)
        np.testing.assert_array_equal(data, dataset.read(1))
        np.testing.assert_array_equal(valid, valid_of(dataset, 1))
        assert np.allclose(row["transform"], tuple(dataset.transform)[:6])
        polygon = next(polygons(dataset, np.random.default_rng(3), 1))
        scale = 2**level
        polygon = shapely.affinity.scale(
            polygon, 1 / scale, 1 / scale, origin=(dataset.transform.c, dataset.transform.f)
        )
        got = chip(con, kind, 1, polygon.wkt, geom_crs="'EPSG:32632'", overview=level)
        outside, _, window = rasterio.mask.raster_geometry_mask(dataset, [polygon], crop=True)
        np.testing.assert_array_equal(got[0][~outside], dataset.read(1, window=window)[~outside])


def test_several_bands_share_a_window(world):
    con, files = world
    with rasterio.open(files["two_bands_chunky"]) as dataset:
        row = con.execute("SELECT read_chip('two_bands_chunky', ['b_2', 'b_1'])").fetchone()[0]
        data = np.frombuffer(row["data"], row["dtype"]).reshape(2, *SIZE)
        np.testing.assert_array_equal(data, dataset.read([2, 1]))
        assert row["bands"] == ["b_2", "b_1"]
        valid = np.frombuffer(row["mask"], bool).reshape(2, *SIZE)
        np.testing.assert_array_equal(valid, np.stack([valid_of(dataset, b) for b in (2, 1)]))
