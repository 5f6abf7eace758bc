"""Values at points equal GDAL's warp onto a grid of one pixel whose centre is the point, of the pixels as float64."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject

import rasteret_sql
from rasteret_sql.raster.patches import Patches
from tests.sampling import exhaustive, some

UTM = "EPSG:32632"


def of_gdal(data, nodata, x, y, method):
    """The warp of an image whose pixels have a side of 1; NaN where it has no value."""
    out = np.full((1, 1), np.nan)
    reproject(
        data.astype("float64"),
        out,
        src_transform=from_origin(5000, 7000, 1, 1),
        dst_transform=from_origin(5000 + x - 0.5, 7000 - (y - 0.5), 1, 1),
        src_crs=UTM,
        dst_crs=UTM,
        src_nodata=nodata,
        dst_nodata=-99999 if nodata is None else nodata,
        init_dest_nodata=True,
        resampling=Resampling[method],
    )
    return out[0, 0]


@pytest.mark.parametrize("method", ["bilinear", "cubic"])
@pytest.mark.parametrize("holes", some([0.15, 0.0], 2))
def test_points_anywhere_in_an_image(method, holes):
    rng = np.random.default_rng(5)
    height, width = 9, 11
    data = rng.integers(1, 5000, (height, width)).astype("int32")
    valid = rng.random((height, width)) >= holes
    data[~valid] = -7
    x, y = rng.uniform(0, width, 150), rng.uniform(0, height, 150)
    x[:40], y[:40] = np.round(x[:40] * 2) / 2, np.round(y[:40] * 2) / 2  # on corners, edges and centres
    inside = (x < width) & (y < height)
    x, y = x[inside], y[inside]
    patches = Patches(method, x, y, width, height)
    runs = patches.runs()
    rows, cols = (
        np.repeat(runs.row, runs.length),
        np.concatenate([c + np.arange(n) for c, n in zip(runs.col, runs.length, strict=True)]),
    )
    found, missing = patches.interpolate(data[rows, cols], ~valid[rows, cols] if holes else None)
    theirs = np.array([of_gdal(data, -7.0 if holes else None, *at, method) for at in zip(x, y, strict=True)])
    lacks = theirs == (-7.0 if holes else -99999)
    np.testing.assert_array_equal(missing, lacks)
    assert lacks.any() == bool(holes)
    np.testing.assert_allclose(found[~lacks], theirs[~lacks], rtol=1e-9)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A scene of tiles with holes, of a band of 10 m and one of 20 m."""
    directory = tmp_path_factory.mktemp("between")
    rng = np.random.default_rng(8)
    for name, side in (("fine", 10), ("coarse", 20)):
        data = rng.integers(1, 2000, (1000 // side, 1200 // side)).astype("uint16")
        data[rng.random(data.shape) < 0.05] = 0
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "nodata": 0, "crs": UTM, "tiled": True}
        size = {"height": data.shape[0], "width": data.shape[1], "blockxsize": 16, "blockysize": 16}
        transform = from_origin(600_000, 5_100_000, side, side)
        with rasterio.open(directory / f"{name}.tif", "w", **profile, **size, transform=transform) as file:
            file.write(data, 1)
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "s", "collection": "between", "links": [],
        "geometry": {"type": "Point", "coordinates": [10.3, 46.04]}, "bbox": [10.29, 46.03, 10.31, 46.05],
        "properties": {"datetime": "2024-05-01T00:00:00Z"},
        "assets": {name: {"href": f"{name}.tif", "type": "image/tiff"} for name in ("fine", "coarse")},
    }  # fmt: skip
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    con = rasteret_sql.connect(workspace_dir=directory / "ws")
    con.sql(f"FROM rasteret_build_from_stac('between', '{directory / 'items.json'}')").fetchall()
    return con, directory


@pytest.mark.parametrize("points", [12, exhaustive(700)])
@pytest.mark.parametrize("method", ["bilinear", "cubic"])
def test_rows_and_relations_give_what_the_file_has(world, points, method):
    """Few points are read one by one, many together: across borders of tiles, of files and of expressions over them."""
    con, directory = world
    rng = np.random.default_rng(points)
    x, y = rng.uniform(600_000, 601_200, points), rng.uniform(5_099_000, 5_100_000, points)
    con.execute("CREATE OR REPLACE TABLE places AS SELECT unnest($1) AS x, unnest($2) AS y", [x.tolist(), y.tolist()])
    named = f"geom_crs := 32632, resampling := '{method}'"
    found = con.sql(
        f"SELECT x, y, fine, coarse, twice, sample_point('s', 'fine', 'POINT (' || x || ' ' || y || ')', {named}), "
        f"sample_point('s', 'fine', 'POINT (' || x || ' ' || y || ')', {named}, mask := 'fine < 0', dilate := 1) "
        "FROM sample_points(rasteret.between, places, "
        f"{{'fine': 'fine', 'coarse': 'coarse', 'twice': '2 * fine'}}, {named})"
    ).fetchall()
    assert len(found) == points
    for column, name, side in ((2, "fine", 10), (3, "coarse", 20)):
        with rasterio.open(directory / f"{name}.tif") as file:
            data = file.read(1)
        for row in found if points < 100 else found[::20]:
            theirs = of_gdal(data, 0.0, (row[0] - 600_000) / side, (5_100_000 - row[1]) / side, method)
            assert (row[column] is None) == (theirs == 0)
            assert row[column] is None or row[column] == pytest.approx(theirs, rel=1e-9)
    for _, _, fine, _, twice, alone, masked in found:
        assert alone == masked == fine
        assert (twice is None and fine is None) or twice == pytest.approx(2 * fine)
    assert sum(row[2] is None for row in found) < points / 4
