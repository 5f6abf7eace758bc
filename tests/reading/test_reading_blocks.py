"""Large zones by blocks, and tiles that a geometry does not touch, against numpy and rasterio."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import geometry_mask
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.stats import zonal_statistics
from rasteret_sql.raster.value_counts import ValueCounts, counted_statistics
from rasteret_sql.reading import zonal
from rasteret_sql.reading.tiles import blocks, tiles_under, touched_parts
from tests.sampling import some

SIDE, TILE = 700, 64


@pytest.fixture
def con(tmp_path):
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as connection:
        yield connection


def scene(folder, con, dtype, *, nodata=None, transform=None):
    """A scene in tiles of 64 pixels; gives its pixels and transform."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 200, (SIDE, SIDE)).astype(dtype)
    transform = transform or from_origin(500_000, 5_000_000, 10, 10)
    profile = {"driver": "GTiff", "count": 1, "height": SIDE, "width": SIDE, "dtype": dtype, "nodata": nodata}
    with rasterio.open(
        folder / "a.tif",
        "w",
        **profile,
        crs="EPSG:32633",
        transform=transform,
        tiled=True,
        blockxsize=TILE,
        blockysize=TILE,
    ) as file:
        file.write(pixels, 1)
    con.execute(
        "CREATE TABLE files AS SELECT 'a' AS id, $path AS href, DATE '2024-01-01' AS datetime, "
        "'POINT (15 45)' AS geometry",
        {"path": f"{folder}/a.tif"},
    )
    con.execute(
        "SELECT count(*) FROM rasteret_build_from_table('files', name := 't', href_column := 'href')"
    ).fetchall()
    return pixels, transform


CORNERS = shapely.MultiPolygon(
    [
        shapely.Polygon([(500_010, 4_999_990), (500_200, 4_999_990), (500_200, 4_999_800)]),
        shapely.Polygon([(506_700, 4_993_300), (506_990, 4_993_300), (506_990, 4_993_010)]),
    ]
).wkt
RING = shapely.difference(
    shapely.Point(503_500, 4_996_500).buffer(3400), shapely.Point(503_500, 4_996_500).buffer(3300)
).wkt
WHOLE = shapely.box(499_000, 4_990_000, 510_000, 5_001_000).wkt
OVERLAP = shapely.MultiPolygon(
    [shapely.box(500_500, 4_994_000, 506_000, 4_999_500), shapely.box(500_600, 4_994_100, 506_500, 4_999_400)]
).wkt


@pytest.mark.parametrize("dtype", some(["uint8", "int16", "float32", "uint32"], 4))
@pytest.mark.parametrize("zone", [CORNERS, RING, WHOLE, OVERLAP], ids=["corners", "ring", "whole", "overlap"])
def test_statistics_by_blocks_are_those_of_all_pixels(tmp_path, con, monkeypatch, dtype, zone):
    monkeypatch.setattr(zonal, "BLOCK_PIXELS", 9000)
    pixels, transform = scene(tmp_path, con, dtype, nodata=7)
    inside = ~geometry_mask([shapely.from_wkt(zone)], pixels.shape, transform) & (pixels != 7)
    kept = pixels[inside].astype(np.float64)
    query = "SELECT zonal_stats('a', 1, $z, geom_crs := 'EPSG:32633')"
    found = con.execute(query, {"z": zone}).fetchone()[0]
    values, counts = np.unique(kept, return_counts=True)
    assert found["count"] == inside.sum()
    np.testing.assert_allclose(
        [found[name] for name in ("sum", "mean", "min", "max", "stddev", "median", "p05", "p95")],
        [kept.sum(), kept.mean(), kept.min(), kept.max(), kept.std(ddof=1), *np.quantile(kept, [0.5, 0.05, 0.95])],
        rtol=1e-12,
    )
    assert (found["majority"], found["variety"]) == (values[counts.argmax()], len(values))


def test_the_order_in_which_blocks_come_does_not_show():
    rng = np.random.default_rng(3)
    parts = [rng.random(1000).astype(np.float32) * 10.0**power for power in range(-4, 5)]
    sums = set()
    for order in (range(9), reversed(range(9))):
        zone = zonal.Zone(
            None, lambda values, total, _: (float(values.astype(np.float64).sum()), total), 9, counted=False
        )
        for block in order:
            zone.add(block, parts[block], 0.1 * block, None)
        sums.add(zone.result)
    assert len(sums) == 1


def test_weighted_statistics_by_blocks_are_those_of_one(tmp_path, con, monkeypatch):
    scene(tmp_path, con, "uint8")
    query = "SELECT zonal_stats('a', 1, $z, geom_crs := 'EPSG:32633', weighted := true)"
    for zone in (CORNERS, RING, WHOLE):
        at_once = con.execute(query, {"z": zone}).fetchone()[0]
        with monkeypatch.context() as patch:
            patch.setattr(zonal, "BLOCK_PIXELS", 9000)
            by_blocks = con.execute(query.replace("SELECT", "SELECT 1,"), {"z": zone}).fetchone()[1]
        np.testing.assert_allclose(list(by_blocks.values()), list(at_once.values()), rtol=1e-9)


def test_only_tiles_that_a_zone_touches_are_read(tmp_path, con):
    pixels, transform = scene(tmp_path, con, "uint8")
    for zone in (CORNERS, RING, OVERLAP):
        shape = shapely.from_wkt(zone)
        cut = [
            shapely.box(500_000 + 640 * col, 5_000_000 - 640 * row, 500_640 + 640 * col, 4_999_360 - 640 * row)
            for row in range(11)
            for col in range(11)
        ]
        # a pixel around each tile counts as the tile
        wanted = sum(
            part.buffer(10, join_style="mitre").intersects(shapely.unary_union(shape.buffer(0))) for part in cut
        )
        tiles, chip = con.execute(
            "SELECT rasteret_explain('a', 1, $z, geom_crs := 'EPSG:32633').tiles, "
            "read_chip('a', 1, $z, geom_crs := 'EPSG:32633', fill := 0)",
            {"z": zone},
        ).fetchone()
        assert tiles == wanted < 121
        got = np.frombuffer(chip["data"], np.uint8).reshape(chip["height"], chip["width"])
        whole = np.where(geometry_mask([shape], pixels.shape, transform), 0, pixels)
        col, row = ~transform * chip["transform"][2:6:3]
        window = whole[round(row) : round(row) + chip["height"], round(col) : round(col) + chip["width"]]
        np.testing.assert_array_equal(got, window)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 300), st.integers(1, 300), st.integers(1, 5000))
def test_blocks_cover_a_window_once(col, row, width, height, most):
    window = Window(col, row, width, height)
    seen = np.zeros((row + height, col + width), int)
    for one in blocks(window, 16, 32, most):
        seen[one.row_off : one.row_end, one.col_off : one.col_end] += 1
        assert one.width * one.height <= max(most, 16 * 32)
    assert (seen[row:, col:] == 1).all()
    assert seen.sum() == width * height


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=80), st.booleans())
def test_counted_statistics_are_those_of_the_values(values, weighted):
    column = np.array(values, np.int16)
    weights = np.random.default_rng(len(values)).random(len(values)) + 0.01 if weighted else None
    total = float(len(values) + 3)
    expected = zonal_statistics(column, total, weights)
    found = counted_statistics(ValueCounts.of(column, weights), total)
    near = {name: None if value is None else pytest.approx(value, 1e-9, 1e-9) for name, value in expected.items()}
    assert found == near


@given(st.lists(st.tuples(st.floats(-20, 220), st.floats(-20, 220)), min_size=3, max_size=8), st.floats(0, 1))
def test_no_tile_with_a_pixel_is_left_out(points, turn):
    shape = shapely.Polygon(points)
    grid = Affine(1.0, turn, 0.0, turn / 2, -1.0, 200.0)
    window = Window(0, 0, 200, 200)
    parts = tiles_under(window, 16, 16, 13)
    kept = {part.tile for part in touched_parts(parts, shape, grid, window)}
    transform = rasterio.Affine(*grid)
    inside = (
        ~geometry_mask([shape], (200, 200), transform, all_touched=True) if shape.area else np.zeros((200, 200), bool)
    )
    wanted = {part.tile for part in parts if inside[part.rows, part.cols].any()}
    assert wanted <= kept
