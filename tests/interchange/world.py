"""Scenes of many kinds, as files and as STAC items: what both packages are asked to read.

Needs rasterio, not this project: `live.py` makes them where rasteret is installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform_bounds

GRIDS = {
    32632: from_origin(500000, 5400000, 10, 10),
    32633: from_origin(400000, 5400000, 20, 20),
    3857: from_origin(1200000, 6200000, 30, 30),
    4326: from_origin(10, 50, 0.0002, 0.0002),
}
HEIGHT, WIDTH = 90, 110
"""No multiple of a tile."""
UNREADABLE = "unreadable"


def _part(west: float, south: float, east: float, north: float) -> tuple[float, float, float, float]:
    width, height = east - west, north - south
    return west + 0.3 * width, south + 0.2 * height, east - 0.25 * width, north - 0.35 * height


@dataclass(frozen=True, slots=True)
class Picture:
    """One GeoTIFF. `rasteret` is false where that would give other pixels than the file holds, or none."""

    dtype: str = "uint16"
    epsg: int = 32632
    bands: int = 1
    nodata: float | None = 0
    options: dict[str, Any] = field(default_factory=dict)
    overviews: bool = False
    mask: bool = False
    tilt: Affine | None = None
    """In place of the CRS's grid."""
    rasteret: bool = True

    def write(self, path: Path, seed: int) -> None:
        values = np.random.default_rng(seed).integers(1, 250, (self.bands, HEIGHT, WIDTH)).astype(self.dtype)
        values[:, :7, :9] = 0 if self.nodata is None else self.nodata
        if np.issubdtype(values.dtype, np.floating):
            values += np.asarray(0.25, values.dtype)
            values[:, :7, :9] = 0 if self.nodata is None else self.nodata
            values[:, 40:44, 50:60] = np.nan
        layout = {"tiled": True, "blockxsize": 32, "blockysize": 48, "compress": "deflate"} | self.options
        with rasterio.open(
            path, "w", driver="GTiff", width=WIDTH, height=HEIGHT, count=self.bands, dtype=self.dtype,
            crs=f"EPSG:{self.epsg}", transform=self.tilt or GRIDS[self.epsg], nodata=self.nodata, **layout,
        ) as file:  # fmt: skip
            file.write(values)
            if self.mask:
                file.write_mask(np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 5 > 0)
        if self.overviews:
            with rasterio.open(path, "r+") as file:
                file.build_overviews([2, 4], Resampling.average)


@dataclass(frozen=True, slots=True)
class Kind:
    """A collection: scenes with the pictures of their assets. A band is an asset, or a sample of one."""

    scenes: dict[str, dict[str, Picture | str]]
    band_map: dict[str, str]
    samples: dict[str, int] | None = None
    undated: tuple[str, ...] = ()


TWO = {"B04": "red", "B08": "nir"}
THREE = {"R": "image", "G": "image", "B": "image"}
_FINE = Picture()
_SOUTH_UP = GRIDS[32632] * Affine.translation(0, HEIGHT) * Affine.scale(1, -1)

KINDS = {
    "plain": Kind(
        {
            "utm32": {"red": Picture(options={"predictor": 2}, overviews=True), "nir": Picture(nodata=None)},
            "utm33": {
                "red": Picture("int16", 32633, nodata=-9999, options={"compress": "lzw", "predictor": 2}),
                "nir": Picture("uint8", 32633, nodata=255, options={"compress": "none"}, mask=True, overviews=True),
            },
            "mercator": {"red": Picture("int32", 3857, options={"compress": "zstd"}), "nir": Picture("uint32", 3857)},
            "no-nir": {"red": _FINE},
            "bad-nir": {"red": _FINE, "nir": UNREADABLE},
            "undated": {"red": _FINE, "nir": Picture("int8", nodata=-1)},
        },
        TWO,
        undated=("undated",),
    ),
    "floats": Kind(
        {
            "degrees": {
                "red": Picture("float32", 4326, nodata=-9999, options={"predictor": 3}),
                "nir": Picture("float64", 4326, nodata=float("nan"), options={"compress": "zstd"}),
            },
            "metres": {
                "red": Picture("float32", nodata=None, options={"compress": "none"}),
                "nir": Picture("float64", nodata=-1.5, options={"predictor": 3}),
            },
        },
        TWO,
    ),
    "chunky": Kind(
        {
            "three": {"image": Picture("uint8", bands=3, options={"interleave": "pixel", "predictor": 2})},
            "lzw": {"image": Picture("int16", 32633, 3, -5, {"interleave": "pixel", "compress": "lzw"}, mask=True)},
        },
        THREE,
        {"R": 0, "G": 1, "B": 2},
    ),
    "planar": Kind(
        {
            "three": {"image": Picture("uint16", bands=3, options={"interleave": "band", "predictor": 2})},
            "zstd": {"image": Picture("float32", 3857, 3, -9999, {"interleave": "band", "compress": "zstd"})},
        },
        THREE,
        {"R": 0, "G": 1, "B": 2},
    ),
    "refused": Kind(
        {
            "strips": {"red": _FINE, "nir": Picture(options={"tiled": False, "blockysize": 16}, rasteret=False)},
            "big-endian": {"red": _FINE, "nir": Picture(options={"ENDIANNESS": "BIG"}, rasteret=False)},
            "jpeg": {"red": _FINE, "nir": Picture("uint8", nodata=None, options={"compress": "jpeg"}, rasteret=False)},
            "bits": {"red": _FINE, "nir": Picture(options={"NBITS": 12}, rasteret=False)},
            "rotated": {"red": _FINE, "nir": Picture(tilt=GRIDS[32632] * Affine.rotation(20), rasteret=False)},
            "south-up": {"red": _FINE, "nir": Picture(tilt=_SOUTH_UP, rasteret=False)},
        },
        TWO,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Band:
    """A band of a scene: where its pixels are, and who can read them."""

    kind: str
    scene: str
    name: str
    file: str
    sample: int
    picture: Picture | None
    """None: the file is no TIFF."""

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.scene}/{self.name}"

    def pixels(self) -> np.ndarray:
        with rasterio.open(self.file) as file:
            return file.read(self.sample + 1)

    def areas(self) -> dict[str, tuple[tuple[float, float, float, float], int]]:
        """Bounds with their EPSG code: of the whole image, of a part in its own CRS, and of a part in lon/lat."""
        with rasterio.open(self.file) as file:
            left, bottom, right, top = file.bounds
            whole = (left, min(bottom, top), right, max(bottom, top))
            west, south, east, north = transform_bounds(file.crs, "EPSG:4326", *whole)
            epsg = file.crs.to_epsg()
        return {
            "whole": (whole, epsg),
            "part": (_part(*whole), epsg),
            "lon/lat part": (_part(west, south, east, north), 4326),
        }


@dataclass(frozen=True, slots=True)
class World:
    """The files and items on disk."""

    folder: Path

    def items(self, kind: str, scenes: tuple[str, ...] | None = None) -> list[dict[str, Any]]:
        return [self._item(kind, scene) for scene in scenes or KINDS[kind].scenes]

    def write_items(self, kind: str) -> Path:
        path = self.folder / f"{kind}.json"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": self.items(kind)}))
        return path

    def file(self, kind: str, scene: str, asset: str) -> Path:
        return self.folder / f"{kind}-{scene}-{asset}.tif"

    def bands(self) -> Iterator[Band]:
        for name, kind in KINDS.items():
            for scene, assets in kind.scenes.items():
                for band, asset in kind.band_map.items():
                    if asset in assets:
                        picture = assets[asset]
                        yield Band(
                            name, scene, band, str(self.file(name, scene, asset)), (kind.samples or {}).get(band, 0),
                            picture if isinstance(picture, Picture) else None,
                        )  # fmt: skip

    def _item(self, kind: str, scene: str) -> dict[str, Any]:
        assets = KINDS[kind].scenes[scene]
        with rasterio.open(self.file(kind, scene, next(iter(assets)))) as file:
            x0, y0, x1, y1 = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
            epsg = file.crs.to_epsg()
        number = list(KINDS[kind].scenes).index(scene)
        when = None if scene in KINDS[kind].undated else f"2024-{number % 3 + 4:02d}-1{number}T10:30:00Z"
        return {
            "type": "Feature",
            "stac_version": "1.0.0",
            "stac_extensions": [],
            "id": scene,
            "collection": f"world-{kind}",
            "geometry": {"type": "Polygon", "coordinates": [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]]},
            "bbox": [x0, y0, x1, y1],
            "properties": {"datetime": when, "proj:epsg": epsg, "eo:cloud_cover": 2.5 * number, "platform": "test"},
            "links": [],
            "assets": {
                asset: {"href": self.file(kind, scene, asset).as_posix(), "type": "image/tiff; application=geotiff"}
                for asset in assets
            },
        }


def make_world(folder: Path) -> World:
    """Write every file; the same pixels each time."""
    folder.mkdir(parents=True, exist_ok=True)
    world = World(folder)
    seed = 0
    for name, kind in KINDS.items():
        for scene, assets in kind.scenes.items():
            for asset, picture in assets.items():
                seed += 1
                path = world.file(name, scene, asset)
                if isinstance(picture, Picture):
                    picture.write(path, seed)
                else:
                    path.write_text("this is no TIFF")
    return world
