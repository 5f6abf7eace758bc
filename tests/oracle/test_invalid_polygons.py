"""Polygons that are not valid: the weighted area is the one that GDAL rasterises, counted exactly.

All edges run along borders of quarter pixels, so the share of a pixel's 64 parts that GDAL burns is its exact coverage.
"""

from __future__ import annotations

import json

import hypothesis.strategies as st
import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from hypothesis import given, settings
from rasterio.features import rasterize
from rasterio.transform import Affine as RasterioAffine
from rasterio.transform import from_origin

import rasteret_sql
from rasteret_sql.geo.even_odd import valid_area
from rasteret_sql.geo.grid import Affine, Window
from rasteret_sql.raster.coverage import coverage_fraction
from tests.sampling import examples, some

SIDE = 16
PARTS = 8
WINDOW = Window(0, 0, SIDE, SIDE)
PIXELS = Affine(1, 0, 0, 0, 1, 0)
Polygon, MultiPolygon, box = shapely.Polygon, shapely.MultiPolygon, shapely.box


def ring(*bounds: float) -> list[tuple[float, float]]:
    return list(box(*bounds).exterior.coords)


FRAME = Polygon(ring(0, 0, 12, 12), [ring(2, 2, 10, 10)])
SHAPES = {
    "two squares that overlap": (MultiPolygon([box(0, 0, 8, 8), box(4, 4, 12, 12)]), 112),
    "three squares that overlap": (MultiPolygon([box(0, 0, 8, 8), box(4, 4, 12, 12), box(2, 2, 10, 10)]), 120),
    "one part inside another": (MultiPolygon([box(0, 0, 8, 8), box(2, 2, 6, 6)]), 64),
    "the same part twice": (MultiPolygon([box(0, 0, 8, 8), box(0, 0, 8, 8)]), 64),
    "parts that share an edge": (MultiPolygon([box(0, 0, 4, 8), box(4, 0, 8, 8)]), 64),
    "a part over another one's hole": (MultiPolygon([FRAME, box(0, 0, 12, 12)]), 144),
    "a part in another one's hole": (MultiPolygon([FRAME, box(4, 4, 8, 8)]), 96),
    "a bow tie over a square": (MultiPolygon([Polygon([(0, 0), (8, 8), (8, 0), (0, 8)]), box(0, 0, 8, 8)]), 64),
    "a hole as large as its shell": (Polygon(ring(0, 0, 8, 8), [ring(0, 0, 8, 8)]), 0),
    "a hole outside of its shell": (Polygon(ring(0, 0, 8, 8), [ring(10, 10, 12, 12)]), 68),
    "a hole across its shell": (Polygon(ring(0, 0, 8, 8), [ring(4, 4, 12, 12)]), 96),
    "a hole along an edge of its shell": (Polygon(ring(0, 0, 12, 12), [ring(0, 2, 10, 10)]), 64),
    "two holes that overlap": (Polygon(ring(0, 0, 12, 12), [ring(2, 2, 6, 6), ring(4, 4, 8, 8)]), 120),
    "the same hole twice": (Polygon(ring(0, 0, 12, 12), [ring(2, 2, 6, 6), ring(2, 2, 6, 6)]), 144),
    "a hole in a hole": (Polygon(ring(0, 0, 12, 12), [ring(2, 2, 10, 10), ring(4, 4, 8, 8)]), 96),
    "a bow tie": (Polygon([(0, 0), (8, 8), (8, 0), (0, 8)]), 32),
    "a ring that runs twice": (Polygon(ring(0, 0, 8, 8) + ring(0, 0, 8, 8)[1:]), 0),
    "a ring over itself": (Polygon([(0, 0), (10, 0), (10, 6), (4, 6), (4, 2), (6, 2), (6, 10), (0, 10)]), 76),
    "a spike": (Polygon([(0, 0), (8, 0), (8, 8), (8, 12), (8, 8), (0, 8)]), 64),
    "no area": (Polygon([(0, 4), (8, 4), (0, 4)]), 0),
}  # fmt: skip


def covered(geometry: shapely.Geometry) -> np.ndarray:
    """Share of each pixel that GDAL burns, in parts of a pixel."""
    burned = rasterize(
        [(geometry, 1)],
        out_shape=(SIDE * PARTS, SIDE * PARTS),
        transform=RasterioAffine(1 / PARTS, 0, 0, 0, 1 / PARTS, 0),
    )
    return burned.reshape(SIDE, PARTS, SIDE, PARTS).mean(axis=(1, 3))


@pytest.mark.parametrize("name", SHAPES)
def test_area_counted_by_hand(name: str) -> None:
    shape, area = SHAPES[name]
    fractions = coverage_fraction(shape, PIXELS, WINDOW)
    assert fractions.sum() == pytest.approx(area, abs=1e-9)
    assert shapely.is_valid(valid_area(shape))
    if "bow tie" not in name:  # its edges are aslant, and run through parts of pixels
        np.testing.assert_allclose(fractions, covered(shape), rtol=0, atol=1e-9)


steps = st.lists(st.integers(0, 4 * SIDE), min_size=2, max_size=7)


@st.composite
def rings(draw: st.DrawFn) -> list[tuple[float, float]]:
    """A closed walk along lines of quarter pixels: over itself, back on its own way, or without area."""
    xs, ys = draw(steps), draw(steps)
    corners: list[tuple[float, float]] = []
    for i in range(max(len(xs), len(ys))):
        x, y = xs[i % len(xs)] / 4, ys[i % len(ys)] / 4
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    corners.append((corners[0][0], corners[-1][1]))
    return corners


polygons = st.builds(Polygon, rings(), st.lists(rings(), max_size=2))


@pytest.mark.exhaustive
@settings(max_examples=examples(250))
@given(st.lists(polygons, min_size=1, max_size=4))
def test_any_rings_cover_what_gdal_burns(parts: list[shapely.Polygon]) -> None:
    shape = MultiPolygon(parts) if len(parts) > 1 else parts[0]
    np.testing.assert_allclose(coverage_fraction(shape, PIXELS, WINDOW), covered(shape), rtol=0, atol=1e-9)


def test_fractions_of_overlapping_buffers_equal_exactextract_of_their_union() -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        discs = shapely.buffer(shapely.points(rng.uniform(2, 14, (5, 2))), rng.uniform(0.3, 4, 5))
        ours = coverage_fraction(shapely.multipolygons(discs), PIXELS, WINDOW)
        union = {"type": "Feature", "geometry": shapely.geometry.mapping(shapely.union_all(discs)), "properties": {}}
        image = np.arange(SIDE * SIDE, dtype=np.float64).reshape(SIDE, SIDE)
        source = NumPyRasterSource(image[::-1], 0, 0, SIDE, SIDE)  # row 0 is the lowest in ours
        theirs = exact_extract(source, union, ["count", "sum"])[0]["properties"]
        assert ours.sum() == pytest.approx(theirs["count"], rel=1e-6)
        assert (ours * image).sum() == pytest.approx(theirs["sum"], rel=1e-6)


@pytest.fixture(scope="module")
def con(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ones")
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "uint8", "crs": 32632}
    with rasterio.open(folder / "ones.tif", "w", transform=from_origin(0, SIDE, 1, 1), **profile) as file:
        file.write(np.ones((1, SIDE, SIDE), np.uint8))
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "ones", "links": [],
        "geometry": {"type": "Point", "coordinates": [4.5, 0.0]}, "bbox": [4.5, 0, 4.5, 0],
        "properties": {"datetime": "2024-01-01T00:00:00Z"}, "assets": {"b": {"href": "ones.tif", "type": "image/tiff"}},
    }  # fmt: skip
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    with rasteret_sql.connect(workspace_dir=folder / "ws") as connection:
        connection.execute(
            "FROM rasteret_build_from_stac('ones', $path)", {"path": str(folder / "items.json")}
        ).fetchall()
        yield connection


@pytest.mark.parametrize("name", [name for name in SHAPES if "bow tie" not in name])
def test_weighted_and_plain_statistics_count_the_same(con, name: str) -> None:
    """Edges run along borders of pixels here, so that both count whole pixels."""
    shape, area = SHAPES[name]
    plain, weighted = con.execute(
        "SELECT zonal_stats('ones', 'b', $1, geom_crs := 32632).count, "
        "zonal_stats('ones', 'b', $1, geom_crs := 32632, weighted := true).count",
        [shape.wkb],
    ).fetchone()
    assert (plain, weighted) == (area, pytest.approx(area, abs=1e-9))


@pytest.mark.parametrize("name", SHAPES)
def test_a_zone_of_another_crs_covers_the_same(con, name: str) -> None:
    """Moved to lon/lat by its corners, which at a metre's distance bends no edge by a thousandth of a pixel."""
    shape, area = SHAPES[name]
    lonlat = pyproj.Transformer.from_crs(32632, 4326, always_xy=True).transform
    moved = shapely.transform(shape, lambda xy: np.column_stack(lonlat(*xy.T)))
    (counted,) = con.execute("SELECT zonal_stats('ones', 'b', $1, weighted := true).count", [moved.wkb]).fetchone()
    assert (counted or 0) == pytest.approx(area, abs=0.01)


@pytest.mark.parametrize("weighted", some([False, True], 3))
@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (Polygon(ring(-4e5, -4e5, 4e5, 4e5), [ring(-4e5, -4e5, 4e5, 4e5)]), 0),
        (Polygon(ring(-4e5, -4e5, 4e5, 4e5) + ring(-4e5, -4e5, 4e5, 4e5)[1:]), 0),
        (MultiPolygon([box(-4e5, -4e5, 4e5, 4e5), box(-3e5, -3e5, 3e5, 3e5)]), SIDE * SIDE),
        (Polygon(ring(-4e5, -4e5, 4e5, 4e5), [ring(-3e5, -3e5, 3e5, 3e5), ring(-2e5, -2e5, 2e5, 2e5)]), SIDE * SIDE),
    ],
    ids=["hole as large as its shell", "ring that runs twice", "part in another", "hole in a hole"],
)
def test_a_large_zone_of_another_crs_that_is_cut_covers_the_same(con, shape, area, weighted) -> None:
    lonlat = pyproj.Transformer.from_crs(32632, 4326, always_xy=True).transform
    moved = shapely.transform(shape, lambda xy: np.column_stack(lonlat(*xy.T)))
    (counted,) = con.execute(
        f"SELECT zonal_stats('ones', 'b', $1, weighted := {weighted}).count", [moved.wkb]
    ).fetchone()
    assert (counted or 0) == pytest.approx(area, abs=1e-6)
