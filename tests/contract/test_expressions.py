"""Expressions, masks, units and nodata wherever a band goes: equal to numpy, and to each other."""

import re

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import rasterio
import rasterio.features
import shapely
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject
from shapely.geometry import box, mapping

import rasteret_sql
from rasteret_sql.errors import InvalidArgumentError, UnknownBandError
from rasteret_sql.expr.pixels import Computation
from rasteret_sql.reading.derived_window import DerivedWindow
from tests.contract.scenes import forget, item, write_items
from tests.sampling import some
from tests.servers.range_server import RangeServer

SIZE, TILE = 384, 128
WEST, NORTH, PIXEL = 600_000, 5_100_000, 10
BANDS = {"B04": 10, "B08": 10, "B11": 20, "SCL": 20}
SCENES = 3
NDVI = "(B08 - B04) / (B08 + B04)"


def pixels_of(band, scene):
    """Stored pixels, with zeros, which are nodata."""
    count = SIZE * PIXEL // BANDS[band]
    rng = np.random.default_rng([scene, list(BANDS).index(band)])
    if band == "SCL":
        coarse = rng.integers(0, 12, (count // 8, count // 8), dtype=np.uint8)
        return coarse.repeat(8, 0).repeat(8, 1)
    values = rng.integers(1, 10_000, (count, count), dtype=np.uint16)
    values[rng.random(values.shape) < 0.05] = 0
    return values


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    items = []
    for scene in range(SCENES):
        for band, metres in BANDS.items():
            values = pixels_of(band, scene)
            with rasterio.open(
                folder / f"{scene}_{band}.tif", "w", driver="GTiff", count=1, dtype=values.dtype, crs="EPSG:32632",
                width=len(values), height=len(values), transform=from_origin(WEST, NORTH, metres, metres), tiled=True,
                blockxsize=TILE, blockysize=TILE, compress="deflate", nodata=0,
            ) as file:  # fmt: skip
                file.write(values, 1)
                if band == "B04":
                    file.scales, file.offsets = (0.0001,), (-0.1,)
        made = item(f"s{scene}", day=scene + 1, **{band: f"{scene}_{band}.tif" for band in BANDS})
        made["geometry"] = mapping(box(10.29, 46.0, 10.4, 46.06))
        items.append(made | {"bbox": [10.29, 46.0, 10.4, 46.06]})
    write_items(folder / "items.json", items)
    with RangeServer(folder) as running:
        yield running


def band(name, scene):
    """Pixels on the 10 m grid as float64, and where they are valid."""
    values = pixels_of(name, scene)
    factor = BANDS[name] // PIXEL
    values = values.repeat(factor, 0).repeat(factor, 1)
    return values.astype(np.float64), values != 0


def ndvi(scene):
    """As float32, and where it is valid."""
    (red, red_valid), (nir, nir_valid) = band("B04", scene), band("B08", scene)
    with np.errstate(all="ignore"):
        return ((nir - red) / (nir + red)).astype(np.float32), red_valid & nir_valid


def chip(con, sql):
    """Pixels and validity of the one chip of a statement."""
    return rasteret_sql.to_numpy(con.execute(f"SELECT {sql}").fetchall()[0][0])


def text(*bounds):
    """A box as text of SQL."""
    return f"'{box(*bounds).wkt}'"


def zones(seed, count=60):
    rng = np.random.default_rng(seed)
    places = [WEST, NORTH] + rng.uniform(-100, SIZE * PIXEL + 100, (count, 2)) * [1, -1]
    return shapely.buffer(shapely.points(places), rng.uniform(5, 400, count), quad_segs=2)


def register(con, name, geometries):
    con.register("__given", pa.table({"n": range(len(geometries)), "geom": shapely.to_wkb(geometries)}))
    con.execute(f"CREATE OR REPLACE TABLE {name} AS FROM __given")


def inside(zone):
    return rasterio.features.geometry_mask([zone], (SIZE, SIZE), from_origin(WEST, NORTH, PIXEL, PIXEL), invert=True)


def test_chip_of_an_expression(con):
    pixels, valid = chip(con, f"read_chip('s0', '{NDVI}')")
    right, right_valid = ndvi(0)
    assert pixels.dtype == np.float32
    assert np.array_equal(valid[0], right_valid)
    assert np.array_equal(pixels[0][right_valid], right[right_valid])
    assert np.isnan(pixels[0][~right_valid]).all()


def test_chip_of_named_expressions_and_bands(con):
    sql = f"read_chip('s1', {{'ndvi': '{NDVI}', 'red': 'B04', 'scl': 'SCL + 0 * B04'}})"
    found = con.execute(f"SELECT {sql}").fetchone()[0]
    pixels, valid = rasteret_sql.to_numpy(found)
    assert found["bands"] == ["ndvi", "red", "scl"]
    right, right_valid = ndvi(1)
    (red, red_valid), (scl, scl_valid) = band("B04", 1), band("SCL", 1)
    assert np.array_equal(valid, [right_valid, red_valid, scl_valid & red_valid])
    assert np.array_equal(pixels[0][valid[0]], right[valid[0]])
    assert np.array_equal(pixels[1][valid[1]], red[valid[1]])
    assert np.array_equal(pixels[2][valid[2]], scl[valid[2]])


def test_masked_band_keeps_its_dtype_and_nodata(con):
    found = con.execute("SELECT read_chip('s0', 'B04', mask := 'SCL IN (3, 8, 9)')").fetchone()[0]
    pixels, valid = rasteret_sql.to_numpy(found)
    red, red_valid = band("B04", 0)
    kept = red_valid & ~np.isin(band("SCL", 0)[0], [3, 8, 9])
    assert (found["dtype"], found["nodata"], found["bands"]) == ("uint16", 0, ["B04"])
    assert np.array_equal(valid[0], kept)
    assert np.array_equal(pixels[0], np.where(kept, red, 0))


def test_a_mask_that_is_null_drops_nothing(con):
    """SCL has nodata 0: a condition on it is NULL there."""
    _, valid = chip(con, "read_chip('s0', 'B04', mask := 'SCL < 3')")
    scl, scl_valid = band("SCL", 0)
    assert np.array_equal(valid[0], band("B04", 0)[1] & ~((scl < 3) & scl_valid))


@pytest.mark.parametrize("metres", [20, 10])
def test_a_mask_is_null_beside_its_band_and_on_its_nodata(tmp_path, metres):
    """A mask band of the left half alone, of coarser pixels and of as fine ones: elsewhere it is NULL."""
    classes = np.random.default_rng(5).integers(0, 3, (400 // metres, 200 // metres), dtype=np.uint8)
    for name, values, pixel in (("B04", np.full((40, 40), 7, np.uint8), 10), ("QA", classes, metres)):
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", count=1, dtype="uint8", crs="EPSG:32632", nodata=0,
            width=values.shape[1], height=values.shape[0], transform=from_origin(WEST, NORTH, pixel, pixel),
        ) as file:  # fmt: skip
            file.write(values, 1)
    made = item("s", day=1, B04="B04.tif", QA="QA.tif")
    made["geometry"] = mapping(box(10.29, 46.0, 10.4, 46.06))
    write_items(tmp_path / "items.json", [made | {"bbox": [10.29, 46.0, 10.4, 46.06]}])
    classes = np.pad(classes.repeat(metres // 10, 0).repeat(metres // 10, 1), ((0, 0), (0, 20)))
    con = rasteret_sql.connect(workspace_dir=tmp_path / "workspace")
    con.execute(f"FROM rasteret_build_from_stac('w', '{tmp_path / 'items.json'}')").fetchall()
    for mask, dropped in (("QA = 1", classes == 1), ("QA IS NULL", classes == 0), ("NOT QA = 1", classes == 2)):
        _, valid = chip(con, f"read_chip('s', 'B04', mask := '{mask}')")
        assert np.array_equal(valid[0], ~dropped)
    con.close()


@pytest.mark.parametrize("pixels", some([3, 1, 12], 3))
def test_a_mask_grows(con, pixels):
    zone = text(WEST + 1000, NORTH - 2000, WEST + 2000, NORTH - 1000)
    _, valid = chip(con, f"read_chip('s0', 'B08', {zone}, geom_crs := 32632, mask := 'SCL = 9', dilate := {pixels})")
    # The pixels of the zone, and classes around it as far as the mask may grow.
    rows, cols = np.nonzero(band("SCL", 0)[0][80:220, 80:220] == 9)
    down, across = (np.arange(20, 120)[:, None] - side for side in (rows, cols))
    apart = down[:, None, :] ** 2 + across[None, :, :] ** 2
    near = (apart <= pixels**2).any(axis=2)
    assert np.array_equal(valid[0], band("B08", 0)[1][100:200, 100:200] & ~near)


def test_values_in_units_are_masked_by_stored_ones(con):
    pixels, valid = chip(con, "read_chip('s0', 'B04', scaled := true, mask := 'B04 > 9000')")
    red, red_valid = band("B04", 0)
    right = red_valid & (red <= 9000)
    assert np.array_equal(valid[0], right)
    assert np.allclose(pixels[0][right], red[right] * 0.0001 - 0.1, rtol=1e-6)


def test_another_nodata(con):
    pixels, valid = chip(con, "read_chip('s0', 'B04', nodata := 77)")
    stored = pixels_of("B04", 0)
    assert np.array_equal(pixels[0], stored)
    assert np.array_equal(valid[0], stored != 77)
    with pytest.raises(duckdb.Error, match="is no value of uint16"):
        chip(con, "read_chip('s0', 'B04', nodata := 0.5)")


@pytest.mark.parametrize("method", some([None, "nearest", "cubic"], 2))
def test_a_coarse_band_on_the_grid_of_a_fine_one(con, method):
    """As GDAL's warp brings it there."""
    given = "" if method is None else f", resampling := '{method}'"
    pixels, valid = chip(con, f"read_chip('s2', 'B11 + B04 * 0'{given})")
    right = np.zeros((SIZE, SIZE), np.uint16)
    grids = [from_origin(WEST, NORTH, metres, metres) for metres in (20, 10)]
    reproject(
        pixels_of("B11", 2), right, src_transform=grids[0], dst_transform=grids[1], src_crs=32632, dst_crs=32632,
        src_nodata=0, dst_nodata=0, resampling=Resampling[method or "bilinear"],
    )  # fmt: skip
    right_valid = (right != 0) & band("B04", 2)[1]
    assert np.array_equal(valid[0], right_valid)
    assert np.array_equal(pixels[0][right_valid], right[right_valid])


def test_zones_of_a_coarse_band_on_the_grid_of_a_fine_one(con):
    """By rows and by relations as the chip has it."""
    formula = "(B08 - B11) / (B08 + B11)"
    pixels, valid = chip(con, f"read_chip('s1', '{formula}')")
    made = zones(5, 12)
    register(con, "zones", made)
    for sql in (
        (
            f"SELECT n, count, mean FROM zonal_stats_table(rasteret.w, zones, '{formula}', stats := ['count', 'mean'], "
            "geom_crs := 32632) WHERE scene_id = 's1' ORDER BY n"
        ),
        (
            f"SELECT n, s.count, s.mean FROM (SELECT n, zonal_stats('s1', '{formula}', geom, geom_crs := 32632) AS s "
            "FROM zones) WHERE s IS NOT NULL ORDER BY n"
        ),
    ):
        found = con.execute(sql).fetchall()
        assert len(found) > 5
        for number, count, mean in found:
            here = pixels[0][inside(made[number]) & valid[0]]
            assert count == len(here)
            assert mean == pytest.approx(here.mean(dtype=np.float64), rel=1e-9)


@pytest.mark.parametrize("mask", some(["SCL IN (3, 8, 9, 10)", None], 2))
def test_zones_equal_numpy_by_rows_and_by_relations(con, mask):
    made = zones(1)
    register(con, "zones", made)
    given = "" if mask is None else f", mask := '{mask}'"
    table = con.execute(
        f"SELECT scene_id, n, count, mean, min, max, median FROM zonal_stats_table(rasteret.w, zones, '{NDVI}', "
        f"stats := ['count', 'mean', 'min', 'max', 'median'], geom_crs := 32632{given}) ORDER BY ALL"
    ).fetchall()
    rows = con.execute(
        "SELECT id, n, s.count, s.mean, s.min, s.max, s.median FROM (SELECT id, n, "
        f"zonal_stats(id, '{NDVI}', z.geom, geom_crs := 32632{given}) AS s FROM rasteret.w, zones z) "
        "WHERE s IS NOT NULL ORDER BY ALL"
    ).fetchall()
    assert table == rows
    assert len(table) > 100
    for scene, number, *found in table:
        at = int(scene[1:])
        values, valid = ndvi(at)
        if mask is not None:
            valid = valid & ~np.isin(band("SCL", at)[0], [3, 8, 9, 10])
        here = values[inside(made[number]) & valid]
        if len(here):
            right = [len(here), here.mean(dtype=np.float64), here.min(), here.max(), np.median(here.astype(float))]
            assert found == pytest.approx(right, rel=1e-9)
        else:
            assert found == [0, None, None, None, None]


@pytest.mark.exhaustive
def test_a_grown_mask_by_relations_as_by_rows(con):
    register(con, "zones", zones(2))
    options = "mask := 'SCL = 9', dilate := 2, geom_crs := 32632"
    table = con.execute(
        f"SELECT scene_id, n, mean FROM zonal_stats_table(rasteret.w, zones, 'B04', stats := ['mean'], {options}) "
        "ORDER BY ALL"
    ).fetchall()
    rows = con.execute(
        f"SELECT id, n, s.mean FROM (SELECT id, n, zonal_stats(id, 'B04', z.geom, {options}) AS s "
        "FROM rasteret.w, zones z) WHERE s IS NOT NULL ORDER BY ALL"
    ).fetchall()
    plain = con.execute(
        "SELECT scene_id, n, mean FROM zonal_stats_table(rasteret.w, zones, 'B04', stats := ['mean'], "
        "geom_crs := 32632) ORDER BY ALL"
    ).fetchall()
    assert table == rows
    assert table != plain


@pytest.mark.exhaustive
def test_points_equal_numpy_by_rows_and_by_relations(con):
    rng = np.random.default_rng(3)
    cols, rows = rng.integers(0, SIZE, (2, 300))
    x, y = WEST + (cols + 0.3) * PIXEL, NORTH - (rows + 0.6) * PIXEL
    con.register("__points", pa.table({"n": np.arange(300), "x": x, "y": y}))
    con.execute("CREATE OR REPLACE TABLE points AS FROM __points")
    options = "geom_crs := 32632, mask := 'SCL IN (8, 9)'"
    bands = f"{{'ndvi': '{NDVI}', 'red': 'B04'}}"
    table = con.execute(
        f"SELECT scene_id, n, ndvi, red FROM sample_points(rasteret.w, points, {bands}, {options}) ORDER BY ALL"
    ).fetchall()
    place = "printf('POINT (%.3f %.3f)', p.x, p.y)"
    by_rows = con.execute(
        f"SELECT id, n, sample_point(id, '{NDVI}', {place}, {options}), sample_point(id, 'B04', {place}, {options}) "
        "FROM rasteret.w, points p ORDER BY ALL"
    ).fetchall()
    assert by_rows == table
    assert len(table) == 900
    for scene, number, value, red in table:
        at, place = int(scene[1:]), (rows[number], cols[number])
        kept = band("SCL", at)[0][place] not in (8, 9)
        right, valid = ndvi(at)
        assert value == (right[place] if valid[place] and kept else None)
        stored, there = band("B04", at)
        assert red == (stored[place] if there[place] and kept else None)


def test_single_points(con):
    for row, col in ((5, 7), (100, 200), (383, 383)):
        place = f"'POINT ({WEST + (col + 0.5) * PIXEL} {NORTH - (row + 0.5) * PIXEL})'"
        (found,) = con.execute(f"SELECT sample_point('s0', '{NDVI}', {place}, geom_crs := 32632)").fetchone()
        values, valid = ndvi(0)
        assert found == (values[row, col] if valid[row, col] else None)


def test_pixels_of_an_expression_are_those_of_duckdb(con):
    """The same text computed here and by DuckDB over the pixels of the bands."""
    zone = text(WEST + 500, NORTH - 1500, WEST + 1500, NORTH - 500)
    formula = "CASE WHEN B08 > 2 * B04 THEN ln(B08) - 1.0 / B04 ELSE sqrt(B04) END"
    ours = con.execute(
        f"SELECT row, col, v FROM read_pixels(rasteret.w, {{'v': '{formula}'}}, {zone}, geom_crs := 32632) "
        "WHERE scene_id = 's1' ORDER BY ALL"
    ).fetchall()
    theirs = con.execute(
        f"SELECT row, col, CAST({formula} AS FLOAT) FROM read_pixels(rasteret.w, ['B04', 'B08'], {zone}, "
        "geom_crs := 32632) WHERE scene_id = 's1' ORDER BY ALL"
    ).fetchall()
    assert len(ours) == 10_000
    assert [one[:2] for one in ours] == [one[:2] for one in theirs]
    for (*_, mine), (*_, right) in zip(ours, theirs, strict=True):
        assert mine == (None if right is None else pytest.approx(right, rel=1e-6))


def test_histogram_of_an_expression(con):
    (found,) = con.execute(
        "SELECT zonal_hist('s0', 'SCL // 3', mask := 'B11 > 5000', geom := '(whole image)')"
    ).fetchone()
    scl, valid = pixels_of("SCL", 0), pixels_of("SCL", 0) != 0
    swir = pixels_of("B11", 0)
    kept = scl[valid & ~(swir > 5000)] // 3
    assert found == {
        float(value): float(count) for value, count in zip(*np.unique(kept, return_counts=True), strict=True)
    }


def test_each_tile_once(con, server):
    forget(con, server)
    call = f"('s0', ['{NDVI}', 'B04', 'B08'], mask := 'SCL = 9')"
    plan = con.execute(f"SELECT rasteret_explain{call}").fetchone()[0]
    assert plan["tiles"] == 9 + 9 + 4
    assert server.counts()["requests"] == 0
    chip(con, f"read_chip{call}")
    counts = server.counts()
    assert (counts["requests"], counts["bytes"]) == (plan["requests"], plan["bytes"])


def test_bands_of_one_mask_share_it_and_what_is_read(con, monkeypatch):
    masks, inputs = [], []
    true, read = Computation.true, DerivedWindow._input
    monkeypatch.setattr(Computation, "true", lambda *given: masks.append(1) or true(*given))
    monkeypatch.setattr(DerivedWindow, "_input", lambda *given: inputs.append(1) or read(*given))
    pixels, valid = chip(con, "read_chip('s0', ['B04', 'B08', 'B04 + 1'], mask := 'B04 > 5000')")
    assert len(pixels) == 3
    assert (len(masks), len(inputs)) == (1, 2)
    assert np.array_equal(valid[0], band("B04", 0)[1] & (band("B04", 0)[0] <= 5000))


def test_python_reads_the_same(con, workspace):
    collection = rasteret_sql.load("w", workspace_dir=workspace)
    area = box(WEST + 3, NORTH - 997, WEST + 997, NORTH - 3)
    pixels = collection.get_numpy(area, bands=[NDVI, "B04"], geometry_crs=32632)
    values, valid = ndvi(2)
    assert pixels.shape == (3, 2, 100, 100)
    assert np.array_equal(pixels[2][0][valid[:100, :100]], values[:100, :100][valid[:100, :100]])


@pytest.mark.parametrize(
    ("band_text", "error", "message"),
    [
        ("B99", UnknownBandError, 'unknown band "B99"'),
        ("(B08 - B99) / B04", UnknownBandError, 'unknown band "B99" at character 8'),
        ("B08 +", InvalidArgumentError, "cannot be read as SQL"),
        ("B08 + foo(B04)", InvalidArgumentError, "there is no function foo"),
        ("1 + 1", InvalidArgumentError, "names no band"),
        ("avg(B08)", InvalidArgumentError, "aggregates"),
        ("B08 / 2 & 1", InvalidArgumentError, "works on bits"),
    ],
)
def test_what_cannot_be_read(con, band_text, error, message):
    with pytest.raises(duckdb.Error, match=f"{error.__name__}.*{re.escape(message)}"):
        con.execute(f"SELECT read_chip('s0', '{band_text}')").fetchone()


def test_a_mask_of_everything_counts_nothing(con):
    zone = text(WEST, NORTH - 100, WEST + 100, NORTH)
    found = con.execute(
        f"SELECT s.count, s.mean FROM (SELECT zonal_stats('s0', 'B08', {zone}, geom_crs := 32632, mask := 'B04 IS NULL "
        "OR B04 >= 0') AS s)"
    ).fetchone()
    assert found == (0, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("mask := 'B99 > 1'", 'unknown band "B99" at character 1'),
        ("mask := 'B04 >'", "the mask 'B04 >' cannot be read"),
        ("dilate := 2", "a mask := that it grows"),
        ("mask := 'B04 > 1', dilate := -1", "0 to 256 pixels"),
    ],
)
def test_masks_that_cannot_be_used(con, options, message):
    with pytest.raises(duckdb.Error, match=message):
        con.execute(f"SELECT read_chip('s0', 'B04', {options})").fetchone()
