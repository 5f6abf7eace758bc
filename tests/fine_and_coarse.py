"""Makes collections of three days, each with a band of 10 m and one of 20 m of one place."""

from __future__ import annotations

import json

import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

import rasteret_sql

NAMES = ("one", "two", "three")
BANDS = ["fine", "coarse"]


def write_fine_and_coarse(directory, collection, *, apart, properties=lambda _: {}):
    """Write the scenes, whose nodata is 7, and their items.

    Args:
        directory: gets the files.
        collection: of the items.
        apart: by how much the pixels of a day are more than those of the day before.
        properties: those of the scene of a number that it has beside its time.
    """
    features = []
    for number, scene in enumerate(NAMES):
        for band, step in zip(BANDS, (10, 20), strict=True):
            size = 320 // step
            pixels = np.arange(1, size * size + 1, dtype="uint16").reshape(1, size, size) + apart * number
            with rasterio.open(
                directory / f"{scene}_{band}.tif", "w", driver="GTiff", width=size, height=size, count=1,
                dtype="uint16", crs=32632, nodata=7, transform=from_origin(600_000, 5_100_000, step, step),
            ) as file:  # fmt: skip
                file.write(pixels)
        features.append(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": scene, "collection": collection, "links": [],
                "geometry": shapely.geometry.mapping(shapely.box(10.29, 46.03, 10.31, 46.05)),
                "bbox": [10.29, 46.03, 10.31, 46.05],
                "properties": {"datetime": f"2024-05-0{number + 1}T10:00:00Z"} | properties(number),
                "assets": {band: {"href": f"{scene}_{band}.tif", "type": "image/tiff"} for band in BANDS},
            }
        )  # fmt: skip
    (directory / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def build_fine_and_coarse(directory, name, data_source):
    """Build a collection of what was written."""
    return rasteret_sql.build_from_stac(
        name=name, stac_api=directory / "items.json", data_source=data_source, workspace_dir=directory / "ws"
    )
