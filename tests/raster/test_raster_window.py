"""Windows equal rasterio's, and tiles cover a window exactly once."""

import numpy as np
import pytest
import shapely
from affine import Affine as RasterioAffine
from hypothesis import assume, given
from hypothesis import strategies as st
from rasterio import features
from rasterio.io import MemoryFile
from rasterio.windows import transform as window_transform

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.window import geometry_window, point_pixels, whole
from rasteret_sql.reading.tiles import tiles_under

GRID = Affine(10, 0, 500_000, 0, -10, 6_000_000)


def test_an_edge_on_a_pixel_boundary_adds_nothing():
    box = shapely.box(500_100, 5_999_700, 500_300, 5_999_900)
    assert geometry_window(box, GRID, 1000, 1000) == Window(10, 10, 20, 20)


def test_a_sliver_adds_a_pixel():
    box = shapely.box(500_105, 5_999_700, 500_306, 5_999_900)
    assert geometry_window(box, GRID, 1000, 1000) == Window(10, 10, 21, 20)


def test_outside_gives_nothing():
    assert geometry_window(shapely.box(0, 0, 1, 1), GRID, 1000, 1000) is None
    assert geometry_window(shapely.box(499_000, 5_999_700, 500_000, 5_999_900), GRID, 1000, 1000) is None


def test_a_point_gets_its_pixel_also_on_a_corner():
    assert geometry_window(shapely.Point(500_100, 5_999_900), GRID, 1000, 1000) == Window(10, 10, 1, 1)
    assert geometry_window(shapely.Point(500_105, 5_999_895), GRID, 1000, 1000) == Window(10, 10, 1, 1)


def test_empty_gives_nothing():
    assert geometry_window(shapely.Polygon(), GRID, 10, 10) is None


@pytest.mark.parametrize(
    "grid",
    [
        GRID,
        Affine(10, 0, 500_000, 0, 10, 6_000_000),
        Affine(0.3, 0, 11.1, 0, -0.7, 50.3),
        Affine(7, 3, 100, 2, -9, 900),
    ],
    ids=["north-up", "south-up", "anisotropic", "rotated"],
)
def test_equals_rasterio(grid):
    rng = np.random.default_rng(5)
    with (
        MemoryFile() as memory,
        memory.open(
            driver="GTiff", width=200, height=150, count=1, dtype="uint8", transform=RasterioAffine(*grid)
        ) as dataset,
    ):
        for _ in range(200):
            corners = rng.uniform(-20, 220, (5, 2))
            polygon = shapely.Polygon([grid.apply(*corner) for corner in corners])
            ours = geometry_window(polygon, grid, 200, 150)
            try:
                theirs = features.geometry_window(dataset, [polygon])
            except Exception as error:
                assert "do not overlap" in str(error) or "Intersection is empty" in str(error)
                assert ours is None
                continue
            assert ours == Window(int(theirs.col_off), int(theirs.row_off), int(theirs.width), int(theirs.height))
            assert (
                tuple(grid.shifted(ours.col_off, ours.row_off))
                == tuple(window_transform(theirs, RasterioAffine(*grid)))[:6]
            )


windows = st.builds(Window, st.integers(0, 90), st.integers(0, 70), st.integers(1, 60), st.integers(1, 60))


@given(windows, st.integers(1, 40), st.integers(1, 40))
def test_tiles_cover_a_window_once(window, tile_width, tile_height):
    across = -(-150 // tile_width)
    image = np.arange(150 * 150).reshape(150, 150)
    out = np.full(window.shape, -1)
    for part in tiles_under(window, tile_width, tile_height, across):
        top, left = part.tile // across * tile_height, part.tile % across * tile_width
        assert (out[part.rows, part.cols] == -1).all()
        tile = image[top : top + tile_height, left : left + tile_width]
        out[part.rows, part.cols] = tile[part.tile_rows, part.tile_cols]
    expected = image[window.row_off : window.row_end, window.col_off : window.col_end]
    assert (out == expected).all()


def test_points_far_away_are_outside():
    cols, rows = point_pixels(np.array([500_005.0, 1e300, np.inf]), np.array([5_999_995.0, 0.0, 0.0]), GRID)
    assert list(cols) == [0, -1, -1]
    assert list(rows) == [0, -1, -1]


def test_whole():
    assert whole(3, 4).shape == (4, 3)


@given(st.tuples(*[st.floats(-1e4, 1e4)] * 6))
def test_the_inverse_undoes_the_transform(numbers):
    affine = Affine(*numbers)
    assume(abs(affine.determinant) >= 1e-3)
    scale = max(abs(v) for v in affine) + 1
    col, row = affine.inverse().apply(*affine.apply(3.0, 5.0))
    assert abs(col - 3) < 1e-9 * scale**2
    assert abs(row - 5) < 1e-9 * scale**2
