"""Points and zones exactly on borders and corners of pixels: the pixels that rasterio gives, on grids that round."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pyarrow as pa
import pytest
import rasterio
import rasterio.windows
import shapely
from rasterio.features import geometry_mask, geometry_window
from rasterio.transform import from_origin

import rasteret_sql
from tests.sampling import some

SIDE = 501
GRIDS = {
    "quarter_milli_degree": (0.00025, 10, 50, 4326),
    "tenth_of_a_degree": (0.1, 10, 50, 4326),
    "tenth_from_180": (0.1, -180, 90, 4326),
    "twentieth": (0.05, -33, 11, 4326),
    "ten_metres_in_degrees": (8.983152841195215e-05, 11.2, 48.1, 4326),
    "third_of_a_metre": (1 / 3, 399_960, 5_000_000, 32632),
    "ten_metres": (10, 499_980, 5_300_040, 32632),
    "thirty_centimetres": (0.3, 370_350, 4_888_890, 32632),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grids")
    pixels = np.arange(SIDE * SIDE, dtype=np.float64).reshape(1, SIDE, SIDE)
    items = []
    for name, (size, left, top, epsg) in GRIDS.items():
        profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "float64", "crs": epsg}
        transform = from_origin(left, top, size, size)
        with rasterio.open(folder / f"{name}.tif", "w", transform=transform, tiled=True, **profile) as file:
            file.write(pixels)
        items.append(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": name, "links": [],
                "geometry": {"type": "Point", "coordinates": [0, 0]},
                "properties": {"datetime": "2024-01-01T00:00:00Z"},
                "assets": {"b": {"href": f"{name}.tif", "type": "image/tiff"}},
            }
        )  # fmt: skip
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return folder


@pytest.fixture(scope="module")
def con(folder):
    with rasteret_sql.connect(workspace_dir=folder / "ws") as connection:
        connection.execute(
            "FROM rasteret_build_from_stac('grids', $path)", {"path": str(folder / "items.json")}
        ).fetchall()
        yield connection


def corners(name: str) -> np.ndarray:
    """(n, 2): corners of pixels along the diagonal, made in three ways that round apart."""
    size, left, top, _ = GRIDS[name]
    n = np.arange(SIDE)
    written = np.column_stack([left + n * size, top - n * size])
    placed = np.array([from_origin(left, top, size, size) * (int(k), int(k)) for k in n])
    return np.concatenate([written, placed, np.round(written, 9)])


def asked(con, call: str, name: str, geometries: np.ndarray) -> list:
    zones = pa.table({"n": range(len(geometries)), "g": pa.array(shapely.to_wkb(geometries), pa.binary())})  # noqa: F841
    sql = call.format(f"'{name}', 'b', g, geom_crs := {GRIDS[name][3]}")
    return [row[0] for row in con.execute(f"SELECT {sql} FROM zones ORDER BY n").fetchall()]


@pytest.mark.parametrize("name", some(GRIDS, 6))
def test_points_on_corners_are_in_the_pixel_that_rasterio_samples(con, folder, name):
    xy = corners(name)
    with rasterio.open(folder / f"{name}.tif") as file:
        places = [file.index(x, y) for x, y in xy]
        theirs = [None if not (0 <= r < SIDE and 0 <= c < SIDE) else float(r * SIDE + c) for r, c in places]
        sampled = [float(value[0]) for value in file.sample(xy)]
    assert [0.0 if value is None else value for value in theirs] == sampled
    assert asked(con, "sample_point({})", name, shapely.points(xy)) == theirs


@pytest.mark.parametrize("name", some(GRIDS, 4))
def test_the_chip_of_a_point_is_the_pixel_that_is_sampled(con, name):
    points = shapely.points(corners(name)[::7])
    chips = asked(con, "chip_values(read_chip({}), 1)", name, points)
    assert [None if chip is None else chip[0] for chip in chips] == asked(con, "sample_point({})", name, points)


def boxes(name: str) -> np.ndarray:
    size, left, top, _ = GRIDS[name]
    rng = np.random.default_rng(len(name))
    col, row = rng.integers(0, SIDE - 70, (2, 150))
    width, height = rng.integers(1, 60, (2, 150))
    return shapely.box(left + col * size, top - (row + height) * size, left + (col + width) * size, top - row * size)


@pytest.mark.parametrize(("all_touched", "name"), some(itertools.product([False, True], GRIDS), 9))
def test_windows_and_masks_of_boxes_on_borders_are_those_of_rasterio(con, folder, name, all_touched):
    shapes = boxes(name)
    windows = asked(con, "rasteret_explain({})", name, shapes)
    counts = asked(con, f"zonal_stats({{}}, all_touched := {all_touched}).count", name, shapes)
    sums = asked(con, f"zonal_stats({{}}, all_touched := {all_touched}).sum", name, shapes)
    assert len(windows) == len(shapes) == 150
    with rasterio.open(folder / f"{name}.tif") as file:
        pixels = file.read(1)
        for n, shape in enumerate(shapes):
            window = geometry_window(file, [shape])
            ours = windows[n]
            assert (ours["col_off"], ours["row_off"], ours["width"], ours["height"]) == window.flatten()
            size = (int(window.height), int(window.width))
            inside = ~geometry_mask([shape], size, rasterio.windows.transform(window, file.transform), all_touched)
            read = pixels[window.toslices()][inside]
            assert (counts[n], sums[n]) == (read.size, read.sum())
