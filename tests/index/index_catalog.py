"""A static STAC item collection over the sample TIFFs, for the tests of builds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from rasteret_sql.index.change.build_request import BuildRequest
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.search_request import StacSource
from rasteret_sql.stac.search_source import StacScenes

TIFFS = Path(__file__).parent / "rasteret_index" / "out" / "tiffs"
BAND_MAP = {"B04": "red", "B08": "nir"}


def item(scene_id: str, when: str, files: dict[str, str], **properties) -> dict:
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": scene_id,
        "collection": "s2",
        "geometry": {"type": "Polygon", "coordinates": [[[9, 48], [10, 48], [10, 49], [9, 49], [9, 48]]]},
        "bbox": [9, 48, 10, 49],
        "properties": {"datetime": when, **properties},
        "links": [],
        "assets": {key: {"href": href, "type": "image/tiff; application=geotiff"} for key, href in files.items()},
    }


def write_catalog(directory: Path, items: list[dict] | None = None) -> Path:
    """The TIFFs and an item collection that names them, in a directory of their own."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in TIFFS.glob("*.tif"):
        shutil.copy(file, directory / file.name)
    if items is None:
        items = [
            item(f"s{n}", f"2024-0{n + 1}-10T10:30:00Z", {"red": f"./s{n}_B04.tif", "nir": f"./s{n}_B08.tif"}, gsd=10)
            for n in range(3)
        ]
    path = directory / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def request(catalog: Path, workspace: Path, name="bay", *, search=None, **changes) -> BuildRequest:
    naming = changes.pop("naming", BandNaming(BAND_MAP))
    patterns = changes.pop("url_patterns", {})
    source = StacScenes(StacSource(str(catalog), **(search or {})), naming, patterns)
    return BuildRequest(name, source, workspace_dir=workspace, **changes)


class CountingBackend:
    """Reads files and counts the requests for each."""

    def __init__(self) -> None:
        self.inner = default_backend()
        self.requests: list[str] = []
        self.in_flight = self.most_in_flight = 0

    async def get_part(self, url, start, length):
        return await self._counted(url, self.inner.get_part(url, start, length))

    async def get_range(self, url, start, length):
        return await self._counted(url, self.inner.get_range(url, start, length))

    async def get_ranges(self, url, ranges):
        return await self._counted(url, self.inner.get_ranges(url, ranges))

    async def _counted(self, url, answer):
        self.requests.append(url)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await answer
        finally:
            self.in_flight -= 1
