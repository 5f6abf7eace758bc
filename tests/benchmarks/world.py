"""The world that is measured: 12 Sentinel-2-like scenes of one place, nine in UTM zone 32 and three in zone 33.

Deterministic: the same pixels and nearly the same bytes on every machine (GDAL's deflate decides the last percent). The
files are written once into a cache directory, some 800 MB, and served from there. Bands are smooth fields plus uniform
noise, whose amplitude sets how well they compress: 1.68 for B04 and 1.53 for B08, as measured scenes do.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from pyproj import Transformer
from rasterio.enums import Resampling
from rasterio.shutil import copy as rasterio_copy
from rasterio.transform import from_origin

VERSION = 1
"""Part of the cache directory's name: raise it with every change that alters a file."""
SIZE = 4096
"""Pixels of B04 and B08 on each side; SCL has half as many."""
TILE = 512
PIXEL = 10.0
"""Metres."""
ORIGINS = {32632: (700_020.0, 5_230_020.0), 32633: (241_140.0, 5_230_620.0)}
"""Upper left corner of all scenes of a zone. Where the zones overlap, about 12° E 47° N, all twelve cover W1's area."""
CENTRE = (ORIGINS[32632][0] + 2048 * PIXEL, ORIGINS[32632][1] - 2304 * PIXEL)
"""Of W1's area in EPSG:32632: on a tile boundary there, inside a tile in the other zone."""
NOISE = {"B04": 46, "B08": 70}
BANDS = ("B04", "B08", "SCL")


@dataclass(frozen=True, slots=True)
class Scene:
    """One scene and where its pixels lie."""

    id: str
    epsg: int
    datetime: str
    cloud_cover: float
    seed: int

    @property
    def crs(self) -> str:
        return f"EPSG:{self.epsg}"

    @property
    def origin(self) -> tuple[float, float]:
        return ORIGINS[self.epsg]

    def path(self, band: str) -> str:
        """Of a band's file, below the world's directory and the server's address."""
        return f"scenes/{self.id}/{band}.tif"


@dataclass(frozen=True, slots=True)
class World:
    """The directory that holds the scenes and the catalog."""

    directory: Path

    @property
    def scenes(self) -> tuple[Scene, ...]:
        return SCENES

    def file(self, scene: Scene, band: str) -> Path:
        return self.directory / scene.path(band)


def _scenes() -> tuple[Scene, ...]:
    zones = [32632] * 9 + [32633] * 3
    return tuple(
        Scene(
            id=f"S2A_T{epsg % 100}UQU_2024{1 + i % 12:02d}05",
            epsg=epsg,
            datetime=f"2024-{1 + i % 12:02d}-05T10:10:31Z",
            cloud_cover=round((i * 37 % 100) * 0.6, 1),
            seed=1000 + i,
        )
        for i, epsg in enumerate(zones)
    )


SCENES = _scenes()


def ensure_world(directory: Path | None = None) -> World:
    """The world, made when it is not there yet; half-made ones are never taken for whole."""
    name = f"rasteret-sql-benchmark-world-{VERSION}"
    target = directory or Path(os.environ.get("RASTERET_BENCHMARK_WORLD", Path(tempfile.gettempdir()) / name))
    if not (target / "catalog.json").exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
        try:
            with ThreadPoolExecutor(2) as threads:
                list(threads.map(lambda task: write_band(making, *task), [(s, b) for s in SCENES for b in BANDS]))
            _write_catalog(making)
            making.rename(target)
        except OSError:
            if not (target / "catalog.json").exists():  # else another process was first
                raise
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return World(target)


def pixels(scene: Scene, band: str) -> npt.NDArray[np.uint16] | npt.NDArray[np.uint8]:
    """The pixels of a band, shape (rows, columns)."""
    rng = np.random.default_rng([scene.seed, BANDS.index(band)])
    if band == "SCL":
        field = _smooth(rng, SIZE // 2, 24)
        return np.clip(np.round(5.5 + 2.5 * field), 0, 11).astype(np.uint8)
    field = 1800 + 500 * _smooth(rng, SIZE, 6) + 150 * _smooth(rng, SIZE, 96)
    field += rng.integers(-NOISE[band], NOISE[band] + 1, (SIZE, SIZE), dtype=np.int16)
    return np.clip(field, 1, 10_000).astype(np.uint16)


def _smooth(rng: np.random.Generator, size: int, cells: int) -> npt.NDArray[np.float32]:
    """Random values of a coarse grid, blended into a field of (size, size)."""
    position = np.linspace(0, cells, size, endpoint=False)
    cell = position.astype(int)
    part = position - cell
    part = part * part * (3 - 2 * part)
    weights = np.zeros((size, cells + 1), np.float32)
    weights[np.arange(size), cell] = 1 - part
    weights[np.arange(size), cell + 1] = part
    return weights @ rng.standard_normal((cells + 1, cells + 1)).astype(np.float32) @ weights.T


def write_band(directory: Path, scene: Scene, band: str, origin: tuple[float, float] | None = None) -> None:
    """Write the COG of a band, at the scene's own origin if no other is said."""
    data = pixels(scene, band)
    target = directory / scene.path(band)
    target.parent.mkdir(parents=True, exist_ok=True)
    pixel = PIXEL * SIZE / data.shape[0]
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=data.shape[1],
            height=data.shape[0],
            count=1,
            dtype=data.dtype,
            crs=scene.crs,
            transform=from_origin(*(origin or scene.origin), pixel, pixel),
            nodata=0,
            tiled=True,
        ) as source:
            source.write(data, 1)
        with memory.open() as source:
            rasterio_copy(
                source,
                target,
                driver="COG",
                blocksize=TILE,
                compress="DEFLATE",
                level=6,
                predictor=2,
                overview_resampling=Resampling.nearest.name if band == "SCL" else Resampling.average.name,
            )


def _write_catalog(directory: Path) -> None:
    """A static STAC catalog: catalog → collection → items, every link relative."""
    links = [{"rel": "item", "href": f"scenes/{s.id}/{s.id}.json", "type": "application/geo+json"} for s in SCENES]
    boxes = [_bbox(scene) for scene in SCENES]
    extent = [min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)]
    for scene in SCENES:
        _write_json(directory / f"scenes/{scene.id}/{scene.id}.json", _item(scene))
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": "benchmark",
        "description": "Twelve scenes like Sentinel-2's",
        "license": "CC0-1.0",
        "extent": {
            "spatial": {"bbox": [extent]},
            "temporal": {"interval": [[min(s.datetime for s in SCENES), max(s.datetime for s in SCENES)]]},
        },
        "links": [{"rel": "parent", "href": "catalog.json"}, {"rel": "root", "href": "catalog.json"}, *links],
    }
    catalog = {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "benchmark-catalog",
        "description": "The world of the benchmarks",
        "links": [{"rel": "child", "href": "collection.json", "type": "application/json"}],
    }
    _write_json(directory / "collection.json", collection)
    _write_json(directory / "catalog.json", catalog)  # last: it says that the world is whole


def _item(scene: Scene) -> dict[str, object]:
    west, south, east, north = _bbox(scene)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    media = "image/tiff; application=geotiff; profile=cloud-optimized"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["https://stac-extensions.github.io/projection/v1.1.0/schema.json"],
        "id": scene.id,
        "collection": "benchmark",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {"datetime": scene.datetime, "proj:epsg": scene.epsg, "eo:cloud_cover": scene.cloud_cover},
        "assets": {band: {"href": f"./{band}.tif", "type": media, "roles": ["data"]} for band in BANDS},
        "links": [
            {"rel": "collection", "href": "../../collection.json"},
            {"rel": "root", "href": "../../catalog.json"},
        ],
    }


def _bbox(scene: Scene) -> tuple[float, float, float, float]:
    left, top = scene.origin
    side = SIZE * PIXEL
    to_lonlat = Transformer.from_crs(scene.crs, "EPSG:4326", always_xy=True)
    box = to_lonlat.transform_bounds(left, top - side, left + side, top)
    return (round(box[0], 6), round(box[1], 6), round(box[2], 6), round(box[3], 6))


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1))
