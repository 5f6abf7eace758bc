"""Runs of many polygons are the pixels of each one's mask, cut at tiles without a loss."""

import hypothesis.strategies as st
import numpy as np
import pytest
import shapely
from hypothesis import given, settings

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster import zone_runs
from rasteret_sql.raster.runs import Runs, polygon_runs
from rasteret_sql.raster.scanline import polygon_mask
from rasteret_sql.raster.window import geometry_window, geometry_windows
from tests.sampling import examples

SIDE = 40
GRIDS = (
    Affine(10.0, 0.0, 600_000.0, 0.0, -10.0, 5_100_000.0),
    Affine(0.1, 0.0, -1.3, 0.0, -0.1, 7.7),
    Affine(30.0, 0.0, 5.0, 0.0, 30.0, 7.0),
)
NUMBERS = st.integers(-12, 2 * SIDE + 12)


@st.composite
def polygons(draw):
    """Rings with corners on halves of pixels, where ties are, or anywhere; some have a hole, some cross themselves."""
    count = draw(st.integers(3, 7))
    corners = np.array(draw(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=count, max_size=count, unique=True))) / 2
    if draw(st.booleans()):
        corners = corners + draw(st.floats(-0.4, 0.4))
    hole = shapely.buffer(shapely.Point(corners.mean(0)), 2.3, quad_segs=2)
    return shapely.Polygon(corners, [hole.exterior.coords] if draw(st.booleans()) else [])


def pixels(runs: Runs, number: int) -> np.ndarray:
    found = np.zeros((SIDE, SIDE), bool)
    for at in range(runs.first[number], runs.first[number + 1]):
        assert runs.polygon[at] == number
        found[runs.row[at], runs.col[at] : runs.col[at] + runs.length[at]] = True
    return found


@settings(max_examples=examples(200))
@given(st.lists(polygons(), min_size=1, max_size=8), st.sampled_from(GRIDS))
def test_runs_are_the_masks(shapes, grid):
    placed = np.array(
        [shapely.transform(one, lambda xy: xy @ np.diag([grid.a, grid.e]) + [grid.c, grid.f]) for one in shapes]
    )
    windows = geometry_windows(placed, grid, SIDE, SIDE)
    runs, exact = polygon_runs(placed, grid, windows)
    assert len(windows) == len(exact) == len(shapes) > 0
    for number, geometry in enumerate(placed):
        window = Window(*windows[number].tolist())
        if not exact[number]:
            assert runs.first[number] == runs.first[number + 1]
            continue
        mask = np.zeros((SIDE, SIDE), bool)
        mask[window.row_off : window.row_end, window.col_off : window.col_end] = polygon_mask(geometry, grid, window)
        assert (pixels(runs, number) == mask).all()
        assert runs.pixels[number] == mask.sum()
    chosen = np.arange(len(placed))[::-2]
    some = runs.of(chosen)
    for at, number in enumerate(chosen):
        assert (pixels(some, at) == pixels(runs, number)).all()


@settings(max_examples=examples(100))
@given(st.lists(polygons(), min_size=1, max_size=8), st.integers(1, SIDE), st.integers(1, SIDE))
def test_pieces_have_each_pixel_once(shapes, width, height):
    grid = Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    placed = np.array(shapes)
    runs, _ = polygon_runs(placed, grid, geometry_windows(placed, grid, SIDE, SIDE))
    image = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    across = -(-SIDE // width)
    padded = np.zeros((-(-SIDE // height) * height, across * width), int)
    padded[:SIDE, :SIDE] = image
    pieces = runs.cut(width, height, across)
    got = np.full(int(runs.length.sum()), -1)
    for number, tile in enumerate(pieces.tiles.tolist()):
        row, col = tile // across * height, tile % across * width
        source, target = pieces.pixels(number)
        assert (got[target] == -1).all()
        got[target] = padded[row : row + height, col : col + width].reshape(-1)[source]
    wanted = [image[runs.row[at], runs.col[at] : runs.col[at] + runs.length[at]] for at in range(len(runs.row))]
    assert (got == np.concatenate([np.empty(0, int), *wanted])).all()


def test_what_needs_more_is_left_out():
    grid = Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    shapes = np.array(
        [
            shapely.MultiPolygon([shapely.box(1, 1, 3, 3)]),
            shapely.box(1, 1.5, 3, 3),
            shapely.box(1, 1, 3, 3),
            shapely.box(50, 50, 60, 60),
        ]
    )
    _, exact = polygon_runs(shapes, grid, geometry_windows(shapes, grid, SIDE, SIDE))
    assert exact.tolist() == [False, False, True, False]
    turned = Affine(1.0, 0.2, 0.0, -0.2, 1.0, 0.0)
    assert not polygon_runs(shapes, turned, geometry_windows(shapes, turned, SIDE, SIDE))[1].any()


@pytest.mark.parametrize("grid", GRIDS)
def test_many_windows_are_those_of_each(grid):
    rng = np.random.default_rng(5)
    points = shapely.points(rng.uniform(-5, SIDE + 5, (300, 2)) * [grid.a, grid.e] + [grid.c, grid.f])
    discs = shapely.buffer(points, rng.uniform(0, 9, 300) * abs(grid.a))
    shapes = np.concatenate([points, discs, [shapely.MultiPolygon([one]) for one in discs[::9]], [None]])
    found = geometry_windows(shapes, grid, SIDE, SIDE)
    assert len(found) == len(shapes) > 600
    for geometry, window in zip(shapes, found.tolist(), strict=True):
        one = None if geometry is None else geometry_window(geometry, grid, SIDE, SIDE)
        assert window == ([0, 0, 0, 0] if one is None else [one.col_off, one.row_off, one.width, one.height])


def test_weights_of_many_zones_can_be_stopped(monkeypatch):
    """A call of 2048 zones weighted by parts took twenty seconds to notice that it was interrupted."""
    monkeypatch.setattr(zone_runs, "_AT_ONCE", 100)
    zones = np.array([shapely.box(1.5, 1.5, 8.5, 8.5)] * 20, object)
    grid = Affine(1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    windows = geometry_windows(zones, grid, SIDE, SIDE, (SIDE, SIDE))
    polls = []

    def poll():
        polls.append(1)
        if len(polls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zone_runs.weighted_runs(zones, grid, windows, poll)
    assert len(polls) == 3
