"""Scenes of several tiles for chips: two bands in files of their own, holes, two zones, labels and splits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

import rasteret_sql

SIDE = 96
START = datetime(2024, 5, 1, 10, 0)
ORIGINS = {
    "s0": (32632, 600_000, 5_100_000),
    "s1": (32632, 600_960, 5_100_000),  # beside s0
    "s2": (32632, 600_480, 5_100_000),  # over both
    "s3": (32633, 400_000, 5_100_000),
}
HOURS = {"s0": 0, "s1": 0, "s2": 24, "s3": 48}


@dataclass(frozen=True)
class World:
    collection: rasteret_sql.Collection
    directory: Path
    items: Path

    def file(self, scene, band="a"):
        return self.directory / f"{scene}_{band}.tif"

    def at(self, scene):
        return START + timedelta(hours=HOURS[scene])


def write(path, data, place, resolution=10, *, nodata=0, tile=32, **more):
    epsg, left, top = place
    height, width = data.shape
    profile = {
        "driver": "GTiff", "count": 1, "dtype": data.dtype, "nodata": nodata, "crs": epsg, "width": width,
        "height": height, "tiled": True, "blockxsize": tile, "blockysize": tile, "compress": "deflate",
        "transform": from_origin(left, top, resolution, resolution),
    } | more  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(data, 1)
        return transform_bounds(epsg, 4326, *file.bounds)


def make_world(directory, name="chips", workspace=None, base=""):
    rng = np.random.default_rng(7)
    features = []
    for number, (scene, place) in enumerate(ORIGINS.items()):
        bands = {}
        for band, dtype in (("a", "uint16"), ("b", "int16"), ("c", "float32")):
            side, resolution = (SIDE // 2, 20) if band == "c" else (SIDE, 10)
            data = rng.integers(1, 900, (side, side)).astype(dtype)
            data[rng.random(data.shape) < 0.1] = 0
            bounds = write(directory / f"{scene}_{band}.tif", data, place, resolution)
            bands[band] = {"href": f"{base}{scene}_{band}.tif", "type": "image/tiff"}
        west, south, east, north = bounds
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        properties = {
            "datetime": f"{(START + timedelta(hours=HOURS[scene])).isoformat()}Z",
            "split": ("train", "train", "val", "test")[number],
            "label": number * 10,
            "share": number / 4,
            "kind": f"kind {number}",
            "eo:cloud_cover": 20.0 * number,
        }
        features.append(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": scene, "collection": "chips", "links": [],
                "geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": list(bounds),
                "properties": properties, "assets": bands,
            }
        )  # fmt: skip
    items = directory / "items.json"
    items.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    collection = rasteret_sql.build_from_stac(
        name=name, stac_api=items, collection="chips", workspace_dir=workspace or directory / "ws"
    )
    return World(collection, directory, items)
