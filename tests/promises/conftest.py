"""The places of the reference documents, small: a STAC API and a file server in front of made scenes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import from_origin

from rasteret_sql import DatasetRegistry
from tests.servers.fixtures import s3_server
from tests.servers.range_server import RangeServer
from tests.servers.stac_api import StacApiServer

__all__ = ["s3_server"]
SEVEN = ("coastal", "blue", "green", "red", "nir", "swir1", "swir2")
FOUR = ("red", "green", "blue", "nir")
TWELVE = tuple((DatasetRegistry.require("earthsearch/sentinel-2-l2a").band_map or {}).values())
"""All that the built-in band map names; a missing one would be told by a warning."""
SCENES = (
    # collection, id, longitude, latitude, datetime, cloud, assets
    ("sentinel-2-l2a", "sf-jan", -122.4, 37.8, "2024-01-15T18:30:00Z", 5.0, TWELVE),
    ("sentinel-2-l2a", "sf-mar", -122.4, 37.8, "2024-03-31T23:30:00Z", 50.0, TWELVE),
    ("sentinel-2-l2a", "sf-jun", -122.4, 37.8, "2024-06-20T18:30:00Z", 5.0, TWELVE),
    ("sentinel-2-l2a", "madrid", -3.7, 40.43, "2024-06-30T11:00:00Z", 10.0, TWELVE),
    ("sentinel-2-l2a", "munich", 11.4, 48.2, "2024-06-15T10:00:00Z", 10.0, TWELVE),
    ("field-survey-2024", "field", 11.4, 48.2, "2024-07-01T10:00:00Z", 0.0, FOUR),
    ("internal-2024", "inside", -77.0, 38.9, "2024-07-01T10:00:00Z", 0.0, FOUR),
    ("landsat-custom", "landsat", -119.75, 35.25, "2024-05-01T10:00:00Z", 0.0, SEVEN),
    ("naip", "iowa", -93.7, 42.0, "2022-07-01T10:00:00Z", 0.0, ("image",)),
)
SIZE = 16
STEP = 0.0001


def _write(file: Path, longitude: float, latitude: float, count: int, first: int) -> list[float]:
    corner = from_origin(longitude - SIZE / 2 * STEP, latitude + SIZE / 2 * STEP, STEP, STEP)
    profile = {"driver": "GTiff", "width": SIZE, "height": SIZE, "dtype": "uint16", "crs": 4326}
    with rasterio.open(file, "w", count=count, transform=corner, **profile) as out:
        out.write(np.stack([np.full((SIZE, SIZE), first + band, "uint16") for band in range(count)]))
        return list(out.bounds)


@dataclass(frozen=True)
class Site:
    """Both servers; every band of a scene is filled with one number, see `value`."""

    api: StacApiServer
    files: RangeServer

    @property
    def url(self) -> str:
        return self.api.url

    def value(self, scene: str, asset: str, sample: int = 0) -> int:
        row = next(n for n, one in enumerate(SCENES) if one[1] == scene)
        return 1000 * (row + 1) + 10 * SCENES[row][6].index(asset) + sample

    def requests(self) -> tuple[int, int]:
        """Searches and file requests so far."""
        return self.api.count(), self.files.counts()["requests"]


def area(scene: str, margin: float = 0.00049) -> tuple[float, float, float, float]:
    """A box within that scene, its edges beyond the centres of the pixels that they cut."""
    _, _, x, y, *_ = next(one for one in SCENES if one[1] == scene)
    return (x - margin, y - margin, x + margin, y + margin)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    with RangeServer(directory) as files:
        items = []
        for row, (collection, name, x, y, when, cloud, assets) in enumerate(SCENES):
            hrefs = {}
            bounds: list[float] = []
            for number, asset in enumerate(assets):
                count = 4 if asset == "image" else 1
                bounds = _write(directory / f"{name}_{asset}.tif", x, y, count, 1000 * (row + 1) + 10 * number)
                href = f"{files.url}/{name}_{asset}.tif"
                hrefs[asset] = {"href": href, "type": "image/tiff; application=geotiff; profile=cloud-optimized"}
            items.append(
                {
                    "type": "Feature",
                    "stac_version": "1.0.0",
                    "id": name,
                    "collection": collection,
                    "links": [],
                    "geometry": shapely.geometry.mapping(shapely.box(*bounds)),
                    "bbox": bounds,
                    "properties": {"datetime": when, "eo:cloud_cover": cloud, "proj:epsg": 4326, "year": int(when[:4])},
                    "assets": hrefs,
                }
            )
        with StacApiServer(items) as api:
            yield Site(api, files)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of the test's own: what documents write without `workspace_dir` goes there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path
