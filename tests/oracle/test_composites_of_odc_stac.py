"""Composites of masked expressions equal those that odc-stac and xarray make; needs odc-stac, which CI installs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

import rasteret_sql

odc_stac = pytest.importorskip("odc.stac", reason="needs odc-stac")
pystac = pytest.importorskip("pystac")
geobox = pytest.importorskip("odc.geo.geobox")

SCENES, SIDE, TILE = 9, 96, 32
WEST, NORTH = 600_000, 5_100_000
BANDS = {"B04": (10, "uint16"), "B08": (10, "uint16"), "SCL": (20, "uint8")}
METHODS = {"median": "median", "mean": "mean", "max": "max", "min": "min", "count": "count", "sum": "sum"}
"""Method → what xarray calls it."""
EAST, SOUTH = WEST + SIDE * 10, NORTH - SIDE * 10
WHOLE = f"POLYGON (({WEST} {NORTH}, {EAST} {NORTH}, {EAST} {SOUTH}, {WEST} {SOUTH}, {WEST} {NORTH}))"
# odc-geo's own use of shapely
pytestmark = pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Items of nine scenes on one grid, over three months, with classes of 20 m."""
    folder = tmp_path_factory.mktemp("odc")
    rng = np.random.default_rng(7)
    found = []
    for number in range(SCENES):
        assets = {}
        for band, (metres, dtype) in BANDS.items():
            size = SIDE * 10 // metres
            pixels = rng.integers(1, 12 if band == "SCL" else 9_000, (size, size)).astype(dtype)
            pixels[rng.random(pixels.shape) < 0.1] = 0
            with rasterio.open(
                folder / f"{number}_{band}.tif", "w", driver="GTiff", width=size, height=size, count=1, dtype=dtype,
                crs="EPSG:32632", transform=from_origin(WEST, NORTH, metres, metres), nodata=0, tiled=True,
                blockxsize=TILE, blockysize=TILE,
            ) as file:  # fmt: skip
                file.write(pixels, 1)
            href = str(folder / f"{number}_{band}.tif")
            assets[band] = {"href": href, "type": "image/tiff; application=geotiff", "roles": ["data"]}
        found.append({
            "type": "Feature", "stac_version": "1.0.0", "id": f"s{number}", "collection": "w", "links": [],
            "geometry": {"type": "Polygon", "coordinates": [[[10, 46], [11, 46], [11, 47], [10, 47], [10, 46]]]},
            "bbox": [10, 46, 11, 47], "assets": assets,
            "properties": {"datetime": f"2024-0{1 + number // 3}-1{number % 3}T10:00:00Z", "proj:code": "EPSG:32632"},
        })  # fmt: skip
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": found}))
    return folder, found


@pytest.fixture(scope="module")
def ndvi(items):
    """NDVI of each scene without what is not valid, and clouds, as xarray has it."""
    grid = geobox.GeoBox((SIDE, SIDE), from_origin(WEST, NORTH, 10, 10), "EPSG:32632")
    scenes = [pystac.Item.from_dict(one) for one in items[1]]
    of_bands = {"*": {"nodata": 0, "data_type": "uint16"}, "SCL": {"nodata": 0, "data_type": "uint8"}}
    data = odc_stac.load(
        scenes, bands=list(BANDS), geobox=grid, stac_cfg={"*": {"assets": of_bands}}, groupby="id", resampling="nearest"
    )
    red, near = data.B04.astype("float64"), data.B08.astype("float64")
    kept = (data.B04 != 0) & (data.B08 != 0) & ~data.SCL.isin([3, 8, 9])
    return ((near - red) / (near + red)).where(kept)


@pytest.mark.parametrize("method", METHODS)
def test_composites_of_each_month(items, ndvi, method):
    months = getattr(ndvi.resample(time="MS"), METHODS[method])()
    call = (
        f"read_mosaic(rasteret.w, '(B08 - B04) / (B08 + B04)', '{WHOLE}', geom_crs := 32632, method := '{method}', "
        "every := 'month', mask := 'SCL IN (3, 8, 9)')"
    )
    with rasteret_sql.connect(workspace_dir=items[0] / "ws") as con:
        con.execute(f"FROM rasteret_build_from_stac('w', '{items[0]}/items.json')").fetchall()
        rows = con.execute(f"SELECT epoch_us(period), scenes, chip FROM {call} ORDER BY 1").fetchall()
    assert [row[0] for row in rows] == months.time.values.astype("datetime64[us]").astype(int).tolist()
    assert len(rows) == 3
    some = (ndvi.resample(time="MS").count() > 0).values
    for (_, scenes, chip), right, there in zip(rows, months.values, some, strict=True):
        pixels, valid = rasteret_sql.to_numpy(chip)
        assert scenes == 3
        assert np.array_equal(valid[0], there | (method == "count"))
        np.testing.assert_allclose(pixels[0][there], right[there], rtol=1e-5, atol=1e-7)
