"""Warps that share where their pixels lie, and kernels that are a little wider than a pixel."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from rasteret_sql.raster.warp import places, points
from rasteret_sql.raster.warp.places import share_places
from rasteret_sql.raster.warp.resampling import RADIUS
from rasteret_sql.raster.warp.warp import places_ahead, warp
from tests.raster.test_raster_warp import UTM, plan_of

SHAPE = (300, 320)
WEB = "EPSG:3857"


def source(plan, seed, dtype=np.uint16):
    return np.random.default_rng(seed).integers(0, 5000, plan.source.shape).astype(dtype)


@pytest.mark.parametrize("method", RADIUS)
@pytest.mark.parametrize(("pixel", "size"), [(14.6, (100, 90)), (15.9, (220, 210)), (15.9, (400, 380))])
def test_bands_that_share_places_have_the_pixels_that_each_has_alone(method, pixel, size):
    """With and without a mask in turn; the last target reaches beyond the source."""
    plan = plan_of(method, WEB, pixel, SHAPE, size)
    valid = np.random.default_rng(1).random(plan.source.shape) > 0.02
    hardly = np.random.default_rng(1).random(plan.source.shape) > 0.9
    shared = share_places(plan)
    assert shared is share_places(plan)
    for seed, mask in enumerate((None, valid, None, hardly, valid, np.zeros_like(valid))):
        data = source(plan, seed)
        found = warp(data, mask, plan, nodata=0, shared=shared)
        for own, alone in zip(found, warp(data, mask, plan, nodata=0), strict=True):
            np.testing.assert_array_equal(own, alone)


def test_places_are_computed_once_for_those_who_share_them(monkeypatch):
    plan = plan_of("bilinear", WEB, 15.9, SHAPE, (100, 90))
    computed = []
    compute = points.PointMethod.places

    def count(self, xs, ys):
        computed.append(len(xs))
        return compute(self, xs, ys)

    monkeypatch.setattr(points.PointMethod, "places", count)
    alone = share_places(plan)
    warp(source(plan, 0), None, plan, shared=alone)
    warp(source(plan, 1), None, plan, shared=alone)
    assert sum(computed) == 2 * 9000  # nobody else wants them: none are kept
    share_places(plan)
    computed.clear()
    for seed in range(3):
        warp(source(plan, seed), None, plan, shared=alone)
    assert sum(computed) == 9000


def test_no_more_is_kept_than_there_is_memory_for_and_it_is_free_again(monkeypatch):
    plan = plan_of("bilinear", WEB, 15.9, SHAPE, (150, 120))
    budget = places._Budget()
    budget._left = 40_000
    monkeypatch.setattr(places, "_budget", budget)
    shared = share_places(plan), share_places(plan)
    data = source(plan, 0)
    for _ in range(2):
        np.testing.assert_array_equal(warp(data, None, plan, shared=shared[0])[0], warp(data, None, plan)[0])
        assert 0 <= budget._left < 40_000
    del shared
    gc.collect()
    assert budget._left == 40_000
    assert plan not in places._shared


def test_warps_within_a_crs_whose_axes_are_apart_share_nothing():
    assert share_places(plan_of("bilinear", UTM, 11.0, SHAPE, (50, 50))) is None


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("pixel", [14.6, 15.9, 17.0, 19.0, 21.0])
@pytest.mark.parametrize("nodata", [None, 0])
def test_a_little_wider_kernel_gives_what_all_pixels_under_it_give(dtype, pixel, nodata, monkeypatch):
    plan = plan_of("bilinear", WEB, pixel, SHAPE, (150, 140))
    widened = min(plan.scale) < 0.95
    data = source(plan, 5, dtype)
    if dtype != np.uint8:
        data -= data.dtype.type(2500)
    found, written = warp(data, None, plan, nodata=nodata)
    used = []
    monkeypatch.setattr(points, "is_little_wider", lambda _: used.append(True))
    slow, slow_written = warp(data, None, plan, nodata=nodata)
    assert bool(used) == widened
    assert found.tobytes() == slow.tobytes()
    np.testing.assert_array_equal(written, slow_written)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_count_as_under_any_kernel(value, monkeypatch):
    plan = plan_of("bilinear", WEB, 17.0, SHAPE, (150, 140))
    assert min(plan.scale) < 0.95
    data = source(plan, 6, np.float32)
    data[100:103, 100:140] = value
    found, _ = warp(data, None, plan)
    monkeypatch.setattr(points, "is_little_wider", lambda _: False)
    np.testing.assert_array_equal(found, warp(data, None, plan)[0])
    assert not np.isfinite(found).all()


@pytest.mark.parametrize("method", RADIUS)
def test_places_that_are_found_ahead_are_those_of_the_warp(method, monkeypatch):
    plan = plan_of(method, WEB, 15.9, SHAPE, (200, 190))
    kept = share_places(plan)
    assert share_places(plan) is kept
    assert kept.claim()
    assert not kept.claim()
    for work in places_ahead(plan, kept):
        work()
    expected = warp(source(plan, 3), None, plan)
    monkeypatch.setattr(points.PointMethod, "places", None)  # all are there
    for found, alone in zip(warp(source(plan, 3), None, plan, shared=kept), expected, strict=True):
        np.testing.assert_array_equal(found, alone)


def test_for_one_warp_alone_nothing_is_done_ahead():
    alone = share_places(plan_of("bilinear", WEB, 15.9, SHAPE, (20, 20)))
    assert not alone.claim()


def test_no_places_are_found_ahead_that_cannot_be_kept(monkeypatch):
    plan = plan_of("bilinear", WEB, 15.9, SHAPE, (200, 190))
    budget = places._Budget()
    budget._left = 0
    monkeypatch.setattr(places, "_budget", budget)
    computed = []
    compute = points.PointMethod.places
    monkeypatch.setattr(
        points.PointMethod, "places", lambda self, xs, ys: computed.append(len(xs)) or compute(self, xs, ys)
    )
    kept = share_places(plan)
    share_places(plan)
    work = places_ahead(plan, kept)
    for each in work:
        each()
    assert len(computed) == len(work)
