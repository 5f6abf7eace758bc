"""Coverage fractions and weighted statistics equal to exactextract's."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import shapely.affinity
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from random_polygons import TRANSFORMS, in_crs, random_polygon, random_window

from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.coverage import coverage_fraction
from rasteret_sql.raster.stats import zonal_statistics
from tests.sampling import some

WIDTH, HEIGHT = 40, 30
NAMES = {
    "count": "count",
    "sum": "sum",
    "mean": "mean",
    "min": "min",
    "max": "max",
    "stddev": "stdev",
    "stddev_pop": "stdev",
    "variance": "variance",
    "median": "median",
    "p05": "quantile_5",
    "p25": "quantile_25",
    "p75": "quantile_75",
    "p95": "quantile_95",
    "variety": "variety",
}
OPERATIONS = [
    *("count", "sum", "mean", "min", "max", "stdev", "variance", "median", "majority", "minority", "variety"),
    *(f"quantile(q={q})" for q in (0.05, 0.25, 0.75, 0.95)),
]


def exactextract(
    image: np.ndarray, transform: Affine, polygon: shapely.Geometry, operations: list[str]
) -> dict[str, object]:
    left, top = transform.c, transform.f
    right, bottom = transform.apply(image.shape[1], image.shape[0])
    if top < bottom:
        image, top, bottom = image[::-1], bottom, top
    feature = {"type": "Feature", "geometry": shapely.geometry.mapping(polygon), "properties": {}}
    return exact_extract(NumPyRasterSource(image, left, bottom, right, top), feature, operations)[0]["properties"]


@pytest.mark.parametrize("name", some(["north-up", "south-up", "degrees", "anisotropic"], 4))
def test_weighted_statistics_equal_exactextract(name: str) -> None:
    transform = TRANSFORMS[name]
    rng = np.random.default_rng(len(name))
    window = Window(0, 0, WIDTH, HEIGHT)
    compared = 0
    for i in range(250):
        polygon = random_polygon(rng, transform)
        if not polygon.is_valid:
            continue
        image = (
            rng.normal(100, 20, (HEIGHT, WIDTH)) if i % 2 else rng.integers(0, 50, (HEIGHT, WIDTH)).astype(np.float64)
        )
        weights = coverage_fraction(polygon, transform, window)
        ours = zonal_statistics(image.ravel(), float(weights.sum()), weights.ravel())
        theirs = exactextract(image, transform, polygon, OPERATIONS)
        if not theirs["count"] or theirs["count"] < 1e-6:
            # exactextract keeps fractions in 32 bits: of a vanishing zone neither says anything reliable.
            continue
        compared += 1
        for ours_name, theirs_name in NAMES.items():
            # 32-bit fractions: a value is known to 1e-7 of the largest one.
            assert ours[ours_name] == pytest.approx(theirs[theirs_name], rel=1e-6, abs=1e-6 * np.abs(image).max()), (
                ours_name,
                polygon.wkt[:300],
            )
    assert compared > 60


def test_majority_and_minority_equal_exactextract_in_ties_too() -> None:
    rng = np.random.default_rng(7)
    transform = TRANSFORMS["north-up"]
    for _ in range(100):
        image = rng.integers(0, 4, (HEIGHT, WIDTH)).astype(np.float64)
        # Corners on pixel borders or centres: fractions of 0, ¼, ½ and 1 tie exactly.
        low, size = rng.integers(0, 20, 2) / 2, rng.integers(1, 10, 2) / 2
        polygon = shapely.affinity.affine_transform(shapely.box(*low, *(low + size)), in_crs(transform))
        weights = coverage_fraction(polygon, transform, Window(0, 0, WIDTH, HEIGHT))
        ours = zonal_statistics(image.ravel(), float(weights.sum()), weights.ravel())
        theirs = exactextract(image, transform, polygon, ["majority", "minority"])
        assert (ours["majority"], ours["minority"]) == (theirs["majority"], theirs["minority"])


@pytest.mark.parametrize("name", some(TRANSFORMS, 8))
def test_fractions_equal_the_area_of_exact_intersections(name: str) -> None:
    """exactextract's fractions have 32 bits and no rotation; GEOS clips each pixel exactly."""
    transform = TRANSFORMS[name]
    back = transform.inverse()
    rng = np.random.default_rng(len(name))
    for _ in range(80):
        polygon, window = random_polygon(rng, transform), random_window(rng)
        if not polygon.is_valid:
            continue
        columns, rows = np.meshgrid(
            np.arange(window.col_off, window.col_end), np.arange(window.row_off, window.row_end)
        )
        pixels = shapely.box(columns, rows, columns + 1, rows + 1)
        flat = shapely.affinity.affine_transform(polygon, in_crs(back))
        area = shapely.area(shapely.intersection(pixels, flat))
        np.testing.assert_allclose(coverage_fraction(polygon, transform, window), area, rtol=0, atol=1e-9)
