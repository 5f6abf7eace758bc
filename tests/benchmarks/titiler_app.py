"""titiler over the items of the benchmark of tiles, for uvicorn: `titiler_app:app`, their file being `TILES_ITEMS`.

Workers read the items when they start, as an index that is warm. Settings of GDAL are those that titiler's docs advise.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import attr
from fastapi import FastAPI
from rasterio.crs import CRS
from rio_tiler.constants import WEB_MERCATOR_TMS
from rio_tiler.io import Reader
from rio_tiler.mosaic.backend import BaseBackend
from titiler.mosaic.factory import MosaicTilerFactory

ITEMS = json.loads(Path(os.environ["TILES_ITEMS"]).read_text())
"""Of each scene, the newest first: its box in lon/lat, and band → address."""
GDAL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "CPL_VSIL_CURL_CACHE_SIZE": "200000000",
    "VSI_CACHE": "TRUE",
    "VSI_CACHE_SIZE": "5000000",
    "GDAL_CACHEMAX": 200,
}


@attr.s
class Items(BaseBackend):
    """The scenes that meet a box."""

    input: Any = attr.ib()
    tms: Any = attr.ib(default=WEB_MERCATOR_TMS)
    reader: Any = attr.ib(default=Reader)
    reader_options: dict = attr.ib(factory=dict)
    minzoom: int = attr.ib(default=0)
    maxzoom: int = attr.ib(default=24)

    def __attrs_post_init__(self) -> None:
        boxes = [one["bbox"] for one in ITEMS]
        self.bounds = (
            min(box[0] for box in boxes),
            min(box[1] for box in boxes),
            max(box[2] for box in boxes),
            max(box[3] for box in boxes),
        )
        self.crs = CRS.from_epsg(4326)

    def assets_for_tile(self, x: int, y: int, z: int, **_: Any) -> list[str]:
        return self.assets_for_bbox(*self.tms.bounds(x, y, z))

    def assets_for_point(self, lng: float, lat: float, coord_crs: Any = None, **_: Any) -> list[str]:
        return self.assets_for_bbox(lng, lat, lng, lat)

    def assets_for_bbox(
        self, xmin: float, ymin: float, xmax: float, ymax: float, coord_crs: Any = None, **_: Any
    ) -> list[str]:
        return [
            one["assets"][self.input]
            for one in ITEMS
            if one["bbox"][0] <= xmax and one["bbox"][2] >= xmin and one["bbox"][1] <= ymax and one["bbox"][3] >= ymin
        ]


app = FastAPI()
app.include_router(
    MosaicTilerFactory(backend=Items, environment_dependency=lambda: GDAL, add_viewer=False).router, prefix="/mosaic"
)
