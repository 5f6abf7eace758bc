"""A small collection with everything that scenes are chosen by: dates, clouds, splits, places and two CRS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds

import rasteret_sql

SIZE = 16
SCENES = 12
START = datetime(2024, 1, 10, 10, 30)


@dataclass(frozen=True)
class Scene:
    id: str
    at: datetime
    cloud: float | None
    split: str
    epsg: int
    bounds: tuple[float, float, float, float]
    pixels: np.ndarray


def make_scenes(directory):
    """Scene n is n days and n kilometres on from scene 0; the last four are in another zone."""
    scenes = []
    for n in range(SCENES):
        epsg = 32632 if n < 8 else 32633
        left, top = (600_000 + 1000 * n, 5_100_000) if n < 8 else (400_000 + 1000 * n, 5_100_000)
        pixels = (np.arange(SIZE * SIZE, dtype="uint16").reshape(SIZE, SIZE) + 1000 * n) + 1
        profile = {"driver": "GTiff", "width": SIZE, "height": SIZE, "count": 1, "dtype": "uint16"}
        with rasterio.open(
            directory / f"s{n:02d}.tif", "w", transform=from_origin(left, top, 10, 10), crs=epsg, **profile
        ) as file:
            file.write(pixels, 1)
            bounds = transform_bounds(epsg, 4326, *file.bounds)
        cloud = None if n == 5 else 8.5 * n
        split = ("train", "val", "test")[n % 3]
        scenes.append(Scene(f"s{n:02d}", START + timedelta(days=n), cloud, split, epsg, bounds, pixels))
    return scenes


def feature(scene):
    properties = {"datetime": f"{scene.at.isoformat()}Z", "split": scene.split, "proj:epsg": scene.epsg}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": scene.id,
        "collection": "demo",
        "links": [],
        "geometry": shapely.geometry.mapping(shapely.box(*scene.bounds)),
        "bbox": list(scene.bounds),
        "properties": properties | ({} if scene.cloud is None else {"eo:cloud_cover": scene.cloud}),
        "assets": {"a": {"href": f"{scene.id}.tif", "type": "image/tiff"}},
    }


def make_world(directory, name="world"):
    scenes = make_scenes(directory)
    items = {"type": "FeatureCollection", "features": [feature(scene) for scene in scenes]}
    (directory / "items.json").write_text(json.dumps(items))
    collection = rasteret_sql.build_from_stac(
        name=name, stac_api=directory / "items.json", data_source="demo/s2-like", workspace_dir=directory / "ws"
    )
    return collection, scenes
