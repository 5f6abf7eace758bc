"""Makes the tiny images beside it, small enough to check by hand: `python tests/sql/data/make_tiny.py`.

Each is 4 × 3 pixels of 10 m with its top left corner at (600000, 5100000) in EPSG:32632, values 1 to 12 row by row, but
for what its name says. tiny.json are the common ones, kinds.json rarer kinds.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

HERE = Path(__file__).parent
VALUES = np.arange(1, 13, dtype="uint16").reshape(3, 4)
CORNER = [9.0, 46.0]


def write(name, data=VALUES, *, mask=None, overviews=(), **options):
    data = data if data.ndim == 3 else data[None]
    profile = {
        "driver": "GTiff", "width": data.shape[2], "height": data.shape[1], "count": data.shape[0],
        "dtype": data.dtype, "crs": "EPSG:32632", "transform": from_origin(600_000, 5_100_000, 10, 10), **options,
    }  # fmt: skip
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(HERE / f"{name}.tif", "w", **profile) as dataset:
        dataset.write(data)
        if mask is not None:
            dataset.write_mask(mask)
        if overviews:
            dataset.build_overviews(overviews, rasterio.enums.Resampling.nearest)


def main():
    write("plain")
    write("nodata", nodata=6)
    write("masked", mask=(VALUES % 2 == 0))
    write("floats", np.where(VALUES == 5, np.nan, VALUES / 2).astype("float32"), nodata=float("nan"))
    write("south_up", transform=rasterio.Affine(10, 0, 600_000, 0, 10, 5_099_970))
    write("two", np.stack([VALUES, VALUES * 100]), interleave="pixel", nodata=1)
    write("levels", np.arange(64, dtype="uint8").reshape(8, 8), overviews=[2])
    write("lonlat", crs="EPSG:4326", transform=from_origin(9, 46, 0.5, 0.5))
    names = ["plain", "nodata", "masked", "floats", "south_up", "levels", "lonlat"]
    bands = [{"name": "one"}, {"name": "hundred"}]
    features = [
        feature(n, name, {"b": {"href": f"./{name}.tif", "type": "image/tiff"}}) for n, name in enumerate(names)
    ]
    two = {"both": {"href": "./two.tif", "type": "image/tiff", "eo:bands": bands}}
    features.append(feature(len(names), "two", two))
    collect("tiny", features)
    kinds()
    optics()
    planet()
    dates()


def kinds():
    turned = (
        rasterio.Affine.translation(600_000, 5_100_000) * rasterio.Affine.rotation(90) * rasterio.Affine.scale(10, -10)
    )
    write("turned", transform=turned)
    write("zone33", crs="EPSG:32633")
    write("signed", (VALUES.astype("int16") - 7).astype("int8"))
    write("wide", VALUES.astype("uint64") + 2**53)
    write("infinite", np.where(VALUES == 5, np.inf, VALUES).astype("float64"))
    write("single", np.array([[42]], dtype="uint8"))
    write("masked_pair", np.stack([VALUES, VALUES * 100]), mask=(VALUES > 4), photometric="minisblack")
    write(
        "masked_levels",
        np.arange(64, dtype="uint8").reshape(8, 8),
        mask=np.arange(64).reshape(8, 8) >= 32,
        overviews=[2],
    )
    write("byte", VALUES.astype("uint8"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        write("nowhere", crs=None, transform=None)
    names = ["turned", "zone33", "signed", "wide", "infinite", "single", "masked_levels", "nowhere"]
    features = [
        feature(n, name, {"b": {"href": f"./{name}.tif", "type": "image/tiff"}}) for n, name in enumerate(names)
    ]
    features[3]["assets"]["signed"] = {"href": "./signed.tif", "type": "image/tiff"}
    bands = [{"name": "x"}, {"name": "y"}]
    pair = {"pair": {"href": "./masked_pair.tif", "type": "image/tiff", "eo:bands": bands}}
    features.append(feature(len(features), "masked_pair", pair))
    mixed = {name: {"href": f"./{name}.tif", "type": "image/tiff"} for name in ("byte", "signed", "floats")}
    features.append(feature(len(features), "mixed", mixed))
    collect("kinds", features)


def optics():
    """A scene of Sentinel-2: red and near infrared of 10 m, classes of 20 m, as Earth Search lists them."""
    write("red", VALUES * 100, nodata=0)
    near = VALUES * 300
    near[0, 0] = 0  # not valid
    write("near", near.astype("uint16"), nodata=0)
    classes = np.array([[4, 9], [3, 0]], dtype="uint8")
    write("classes", classes, nodata=0, transform=from_origin(600_000, 5_100_000, 20, 20))
    reflectance = {"raster:bands": [{"nodata": 0, "scale": 0.0001, "offset": -0.1, "unit": "1"}], "type": "image/tiff"}
    assets = {
        "red": {"href": "./red.tif", "eo:bands": [{"common_name": "red"}], **reflectance},
        "nir": {"href": "./near.tif", "eo:bands": [{"common_name": "nir"}], **reflectance},
        "scl": {"href": "./classes.tif", "type": "image/tiff"},
    }
    shifted, plain = feature(0, "shifted", assets), feature(1, "plain", assets)
    plain["properties"]["earthsearch:boa_offset_applied"] = True
    for item in (shifted, plain):
        item["collection"] = "sentinel-2-l2a"
    collect("optics", [shifted, plain])


def planet():
    """A scene of PlanetScope as Planet names it: four bands of reflectance, and the eight of the usable data mask.

    Row by row: clear, snow, shadow, light haze; heavy haze, cloud, clear, clear; nothing, then clear.
    """
    names = ["clear", "snow", "shadow", "haze_light", "haze_heavy", "cloud"]
    classes = np.array([[0, 1, 2, 3], [4, 5, 0, 0], [-1, 0, 0, 0]])
    usable = [(classes == number) for number in range(len(names))]
    confidence = np.where(classes < 0, 0, 90)
    values = np.stack([VALUES * 100 * band for band in (1, 2, 3, 9)]) * (classes >= 0)
    write("planet_sr", values.astype("uint16"), nodata=0)
    write("planet_udm2", np.stack([*usable, confidence, classes < 0]).astype("uint8"))
    assets = {
        "ortho_analytic_4b_sr": {"href": "./planet_sr.tif", "type": "image/tiff", "roles": ["data"]},
        "ortho_udm2": {"href": "./planet_udm2.tif", "type": "image/tiff", "roles": ["data"]},
    }
    item = feature(0, "20240101_101500_12_2440", assets)
    item["collection"] = "PSScene"
    item["properties"] |= {"constellation": "planetscope", "pl:item_type": "PSScene"}
    collect("planet", [item])


def dates():
    """Three dates of one place, 4 × 4 pixels of 10 m, with a value (0: none) and a quality, as files of two bands."""
    first = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0], [9, 9, 9, 9]])
    second = np.full((4, 4), 10)
    second[:, 0] = 0
    third = np.full((4, 4), 20)
    third[3] = 0
    quality = [np.full((4, 4), 1), np.repeat([0, 1, 2, 3], 4).reshape(4, 4), np.full((4, 4), 2)]
    features = []
    for name, values, its_quality, day in zip(
        ("first", "second", "third"), (first, second, third), quality, ("01-05", "01-20", "02-10"), strict=True
    ):
        write(f"date_{name}", values.astype("uint8"), nodata=0)
        write(f"date_{name}_quality", its_quality.astype("uint8"))
        files = {"v": f"./date_{name}.tif", "q": f"./date_{name}_quality.tif"}
        one = feature(0, name, {band: {"href": href, "type": "image/tiff"} for band, href in files.items()})
        cover = {"first": 50, "second": 10}.get(name)
        one["properties"] |= {"datetime": f"2024-{day}T10:00:00Z", "eo:cloud_cover": cover}
        features.append(one)
    collect("dates", features)


def collect(name, features):
    document = {"type": "FeatureCollection", "features": features}
    (HERE / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


def feature(n, name, assets):
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": name,
        "geometry": {"type": "Point", "coordinates": CORNER},
        "bbox": [*CORNER, *CORNER],
        "properties": {"datetime": f"2024-01-{n + 1:02}T00:00:00Z", "eo:cloud_cover": n * 10},
        "links": [],
        "assets": assets,
    }


if __name__ == "__main__":
    main()
