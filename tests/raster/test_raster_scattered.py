"""Pixels of many targets that are computed together are those of the warp of each, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from rasteret_sql.geo.crs import transformer
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.geo.pixel_map import PixelMap
from rasteret_sql.raster.warp.neighbourhood import Source
from rasteret_sql.raster.warp.overview import choose_overview, choose_overviews
from rasteret_sql.raster.warp.plan import plan_warp, plan_warps
from rasteret_sql.raster.warp.resampling import RESAMPLINGS
from rasteret_sql.raster.warp.scattered import ScatteredWarp, TargetPixels, can_scatter, place_scattered
from rasteret_sql.raster.warp.warp import warp
from tests.sampling import some

UTM = "EPSG:32632"
SIZE = (140, 120)
"""Width and height of the source."""
PLACES = {
    "threefold": (Affine(30, 0, 0, 0, -30, 0), UTM),
    "moved": (Affine(10, 0, 0, 0, -10, 0), UTM),
    "finer": (Affine(3.7, 0, 1, 0, -3.7, 2), UTM),
    "coarser, off": (Affine(53.3, 0, 7, 0, -41.9, 3), UTM),
    "turned": (Affine(17.0, 4.0, 3, 3.0, -19.0, 1), UTM),
    "other zone": (Affine(10, 0, 0, 0, -10, 0), "EPSG:32633"),
    "other zone, coarser": (Affine(35, 0, 0, 0, -35, 0), "EPSG:32633"),
    "mercator": (Affine(26, 0, 0, 0, -26, 0), "EPSG:3857"),
    "degrees": (Affine(2e-4, 0, 0, 0, -2e-4, 0), "EPSG:4326"),
}


def targets_near(rng, lattice, crs, source, count):
    """Windows of a lattice about an image, some of them over its edges, shape (count, 4)."""
    cols, rows = rng.uniform(-0.05, 1.02, (2, count)) * np.array(SIZE)[:, np.newaxis]
    x, y = source.a * cols + source.b * rows + source.c, source.d * cols + source.e * rows + source.f
    if crs != UTM:
        x, y = transformer(UTM, crs).transform(x, y)
    back = lattice.inverse()
    at = back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f
    return np.column_stack([*np.floor(at).astype(np.int64), *rng.integers(1, 12, (2, count))])


@pytest.mark.parametrize("place", some([*PLACES], 5))
@pytest.mark.parametrize("method", some([*RESAMPLINGS], 6))
def test_pixels_of_targets_together_are_those_of_the_warp_of_each(place, method):
    rng = np.random.default_rng(len(place) * 31 + len(method))
    lattice, crs = PLACES[place]
    source = Affine(10, 0, 600_000, 0, -10, 5_100_000)
    seen = 0
    for dtype, nodata, holes in (
        ("uint16", None, False), ("uint16", 9, True), ("uint8", None, True), ("float32", None, True),
        ("int16", -1, True), ("float64", float("nan"), True),
    ):  # fmt: skip
        pixel_map = PixelMap(lattice, crs, source, UTM, SIZE)
        targets = targets_near(rng, lattice, crs, source, 40)
        plans = plan_warps(pixel_map, targets, SIZE, method)
        data = rng.integers(1, 200, SIZE[::-1]).astype(dtype)
        valid = None
        if holes:
            valid = np.ones(data.shape, bool)
            valid[20:50, 30:80] = rng.random((30, 50)) > 0.2
            data[~valid] = 0 if nodata is None or nodata != nodata else nodata  # noqa: PLR0124 - NaN
            if nodata != nodata:  # noqa: PLR0124 - NaN
                data[~valid] = nodata
        if dtype == "float32" and place == "mercator":
            data[60, 60] = np.inf
        together = np.flatnonzero(can_scatter(plans))
        if not len(together):
            continue
        chosen = plans.take(together)
        number = np.repeat(np.arange(len(together)), chosen.targets[:, 2] * chosen.targets[:, 3])
        inside = np.concatenate([np.arange(one[2] * one[3]) for one in chosen.targets])
        rows, cols = np.divmod(inside, chosen.targets[number, 2])
        pixels = TargetPixels(number, cols + chosen.targets[number, 0], rows + chosen.targets[number, 1])
        kept = np.flatnonzero(rng.random(len(number)) < 0.7)
        pixels, number, inside = pixels.take(kept), number[kept], inside[kept]
        positions = place_scattered(pixel_map, method, pixels)
        whole = Window(0, 0, *SIZE)
        values, written = ScatteredWarp(Source(data, valid), whole, chosen, nodata).values(pixels, positions)
        for at, original in enumerate(together.tolist()):
            target = Window(*targets[original].tolist())
            plan = plan_warp(pixel_map, target, SIZE, method)
            alone, has = warp(
                data[plan.source.slices], None if valid is None else valid[plan.source.slices], plan, nodata=nodata
            )
            of_target = number == at
            np.testing.assert_array_equal(written[of_target], has.ravel()[inside[of_target]])
            there = of_target & written
            np.testing.assert_array_equal(values[there], alone.ravel()[inside[there]])
            seen += int(there.sum())
    assert seen > 500 or method == "sum"


@pytest.mark.parametrize("place", some([*PLACES], 5))
def test_targets_that_are_planned_together_have_the_plans_of_each(place):
    rng = np.random.default_rng(len(place))
    lattice, crs = PLACES[place]
    source = Affine(10, 0, 600_000, 0, -10, 5_100_000)
    pixel_map = PixelMap(lattice, crs, source, UTM, SIZE)
    targets = targets_near(rng, lattice, crs, source, 300)
    targets[:, 2:] = rng.integers(1, 90, (len(targets), 2))
    factors = [1, 2, 4.01, 8]
    levels = choose_overviews(pixel_map, targets, factors)
    met = 0
    for method in ("nearest", "cubic", "average"):
        plans = plan_warps(pixel_map, targets, SIZE, method)
        for at, target in enumerate(Window(*one) for one in targets.tolist()):
            alone = plan_warp(pixel_map, target, SIZE, method)
            assert (alone is not None) == plans.meets[at]
            if alone is not None:
                one = plans.one(at)
                assert (one.source, one.scale, one.method) == (alone.source, alone.scale, alone.method)
                met += 1
            assert levels[at] == choose_overview(pixel_map, target, factors)
    assert met > 300
