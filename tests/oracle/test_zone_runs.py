"""Pixels of many zones found together are those of each zone alone, of which rasterio and GEOS confirm the mask."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from random_polygons import TRANSFORMS, random_polygon

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.coverage import coverage_fraction
from rasteret_sql.raster.runs import Runs
from rasteret_sql.raster.scanline import polygon_mask
from rasteret_sql.raster.window import geometry_windows
from rasteret_sql.raster.zone_runs import plain_runs, touched_runs, weighted_runs
from tests.sampling import some

SIDE, ZONES = 64, 150


def image(runs: Runs, number: int) -> np.ndarray:
    """Fractions that runs give to the pixels of the image; 1 where they have none."""
    found = np.zeros((SIDE, SIDE))
    place = np.cumsum(runs.length) - runs.length
    for at in range(runs.first[number], runs.first[number + 1]):
        assert runs.polygon[at] == number
        length = runs.length[at]
        assert length > 0
        own = 1.0 if runs.weights is None else runs.weights[place[at] : place[at] + length]
        found[runs.row[at], runs.col[at] : runs.col[at] + length] = own
    return found


def expected(way: str, geometry: shapely.Geometry, transform: Affine, window: Window) -> np.ndarray:
    whole = np.zeros((SIDE, SIDE))
    if way == "weighted":
        part = coverage_fraction(geometry, transform, window)
    else:
        part = polygon_mask(geometry, transform, window, way == "touched")
    whole[window.row_off : window.row_end, window.col_off : window.col_end] = part
    return whole


@pytest.mark.parametrize("way", ["plain", "touched", "weighted"])
@pytest.mark.parametrize("name", some(TRANSFORMS, 5))
def test_random_zones(name: str, way: str) -> None:
    transform, rng = TRANSFORMS[name], np.random.default_rng(sum(map(ord, name + way)))
    zones = np.array([random_polygon(rng, transform) for _ in range(ZONES)], object)
    windows = geometry_windows(zones, transform, SIDE, SIDE)
    runs = {"plain": plain_runs, "touched": touched_runs, "weighted": weighted_runs}[way](zones, transform, windows)
    assert (windows[:, 2] > 0).sum() > ZONES // 2
    chosen = rng.permutation(ZONES)[:20]
    fewer = runs.of(chosen)
    for number in range(ZONES):
        want = expected(way, zones[number], transform, Window(*windows[number].tolist()))
        np.testing.assert_array_equal(image(runs, number), want, err_msg=f"zone {number}: {zones[number].wkt[:300]}")
    for at, number in enumerate(chosen.tolist()):
        np.testing.assert_array_equal(image(fewer, at), image(runs, number))


def test_more_zones_than_are_computed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    transform, rng = TRANSFORMS["north-up"], np.random.default_rng(5)
    zones = np.array([random_polygon(rng, transform) for _ in range(ZONES)], object)
    windows = geometry_windows(zones, transform, SIDE, SIDE)
    whole = weighted_runs(zones, transform, windows)
    monkeypatch.setattr("rasteret_sql.raster.zone_runs._AT_ONCE", 1000)
    some_at_a_time = weighted_runs(zones, transform, windows)
    first, second = (weighted_runs(zones[part], transform, windows[part]) for part in (np.s_[:70], np.s_[70:]))
    for other in (some_at_a_time, first.and_then(second)):
        for name in ("polygon", "row", "col", "length", "first", "weights"):
            np.testing.assert_array_equal(getattr(other, name), getattr(whole, name))


def test_no_zone_at_all() -> None:
    for runs_of in (plain_runs, touched_runs, weighted_runs):
        runs = runs_of(np.empty(0, object), TRANSFORMS["north-up"], np.empty((0, 4), np.int64))
        assert len(runs.row) == 0
        assert runs.first.tolist() == [0]
