"""The clouds of the authentication guide on this machine: STAC APIs, a token endpoint, Azure, S3, by their own names.

A process started with `Clouds.environment` runs the guide's programs as they are printed: real host names lead here.
"""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

from rasteret_sql import DatasetRegistry
from tests.servers.earthdata import Login
from tests.servers.gate import Answer, Request
from tests.servers.internet import Internet
from tests.servers.s3_gate import Bucket, Key, S3Gate
from tests.servers.secrets import secret

SIZE, STEP = 60, 0.005
BAY, MUNICH = (-122.55, 37.95), (11.25, 48.35)
"""West and north of the scenes."""
GUIDE_KEY, GUIDE_SECRET = "YOUR_KEY", "YOUR_SECRET"
"""As the guide prints them."""


def bands_of(dataset: str) -> dict[str, str]:
    return dict(DatasetRegistry.require(dataset).band_map or {})


S2, LANDSAT = bands_of("pc/sentinel-2-l2a"), bands_of("earthsearch/landsat-c2-l2")
# collection → prefix of its hrefs, assets, days and place of its scenes
PLACES: dict[str, tuple[str, list[str], list[tuple[str, tuple[float, float]]]]] = {
    "sentinel-2-l2a": (
        "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/",
        list(S2.values()),
        [("2024-06-20", BAY), ("2024-06-15", MUNICH)],
    ),
    "landsat-c2-l2": ("https://landsatlook.usgs.gov/data/", list(LANDSAT.values()), [("2024-06-20", BAY)]),
    "HLSS30_2.0": ("s3://lp-prod-protected/", ["B04", "B8A"], [("2024-06-20", BAY)]),
    "my-collection": ("s3://custom-bucket/", ["B1"], [("2024-03-01", MUNICH)]),
    "cdn": ("https://cdn.example.com/", ["B1"], [("2024-03-01", MUNICH)]),
}


def value(collection: str, asset: str) -> int:
    """What every pixel of a file is."""
    names = list(PLACES)
    return 100 * (names.index(collection) + 1) + PLACES[collection][1].index(asset)


class Clouds:
    """All servers.

    Attributes:
        files: below it one file for each asset: `<collection>_<place>_<asset>.tif`.
        s3: what S3 checks, and what it was asked.
        login: NASA Earthdata.
        tokens: account and container of each token that was given.
        blobs: (path, whether its signature was good) of each request to Azure.
        internet: what leads here.
    """

    def __init__(self, directory: Path) -> None:
        self.files = directory
        self.tokens: list[str] = []
        self.blobs: list[tuple[str, bool]] = []
        self.lifetime = timedelta(hours=1)
        self._signatures: dict[str, datetime] = {}
        self._sizes: dict[str, bytes] = {}
        self._items = [item for collection in PLACES for item in self._write(collection)]
        self.s3 = S3Gate("http://127.0.0.1:9")  # asked what it decides; objects are given from here
        self.s3.keys[GUIDE_KEY] = Key(GUIDE_SECRET)
        self.s3.buckets |= {
            "usgs-landsat": Bucket("us-west-2", requester_pays=True),
            "lp-prod-protected": Bucket("us-west-2"),
            "custom-bucket": Bucket("us-west-2", readers={GUIDE_KEY}),
            "open-bucket": Bucket("us-east-1", public=True),
            "my-bucket": Bucket("eu-central-1", requester_pays=True),
        }
        self.login = Login(self.s3.issue)

    @property
    def environment(self) -> dict[str, str]:
        return self.internet.environment

    @contextlib.contextmanager
    def serving(self) -> Iterator[Clouds]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        try:
            with self.login, self.s3:
                login = dict.fromkeys(("urs.earthdata.nasa.gov", "data.lpdaac.*"), self.login.url)
                with Internet({**login, "*": here}) as self.internet:
                    yield self
        finally:
            server.shutdown()
            server.server_close()

    def _write(self, collection: str) -> Iterator[dict[str, Any]]:
        prefix, assets, scenes = PLACES[collection]
        for day, (west, north) in scenes:
            bounds = (west, north - SIZE * STEP, west + SIZE * STEP, north)
            name = f"{collection.replace('.', '-')}_{day}"
            for asset in assets:
                profile = {"driver": "GTiff", "width": SIZE, "height": SIZE, "count": 1, "dtype": "uint16", "crs": 4326}
                corner = from_origin(west, north, STEP, STEP)
                file = self.files / f"{name}_{asset}.tif"
                with rasterio.open(file, "w", transform=corner, compress="deflate", **profile) as out:
                    out.write(np.full((1, SIZE, SIZE), value(collection, asset), "uint16"))
            yield {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": name,
                "collection": collection,
                "links": [],
                "geometry": shapely.geometry.mapping(shapely.box(*bounds)),
                "bbox": list(bounds),
                "properties": {"datetime": f"{day}T10:00:00Z", "eo:cloud_cover": 5.0},
                "assets": {one: {"href": f"{prefix}{name}_{one}.tif", "type": "image/tiff"} for one in assets},
            }

    def answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        host, path = request.host, request.path
        if host.endswith(".amazonaws.com"):
            decided = self.s3.decide(request)
            if isinstance(decided, Answer):
                return decided.status, dict(decided.headers), decided.body.encode()
            return self._file(unquote(decided.target).rpartition("/")[2], request)
        if host.endswith(".blob.core.windows.net"):
            end = self._signatures.get(request.query.get("sig", ""))
            is_good = end is not None and datetime.now(UTC) < end
            self.blobs.append((path, is_good))
            if not is_good:
                return 403, {}, b"<Error><Code>AuthenticationFailed</Code><Message>Server failed</Message></Error>"
            return self._file(path.rpartition("/")[2], request)
        if path.startswith("/api/sas/v1/token/"):
            return self._token(path.removeprefix("/api/sas/v1/token/"))
        if path.endswith("/search") and request.method == "POST":
            return _json(self._search(json.loads(request.body)))
        if host.startswith(("planetarycomputer", "earth-search", "stac.", "cmr.")):
            here = f"https://{host}{path.rstrip('/')}"
            conforms = [f"https://api.stacspec.org/v1.0.0/{one}" for one in ("core", "item-search")]
            links = [{"rel": "search", "href": f"{here}/search", "method": "POST"}]
            return _json({"type": "Catalog", "id": host, "description": "", "conformsTo": conforms, "links": links})
        return 404, {}, b""

    def _token(self, container: str) -> tuple[int, dict[str, str], bytes]:
        self.tokens.append(container)
        signature, end = secret(uuid.uuid4().hex), datetime.now(UTC) + self.lifetime
        self._signatures[signature] = end
        token = f"st=2024-01-01&se={end:%Y-%m-%dT%H%%3A%M%%3A%SZ}&sp=rl&sv=2024-05-04&sr=c&sig={signature}"
        return _json({"msft:expiry": f"{end:%Y-%m-%dT%H:%M:%SZ}", "token": token})

    def _search(self, asked: dict[str, Any]) -> dict[str, Any]:
        start, end = asked["datetime"].split("/")
        area = shapely.box(*asked["bbox"])
        found = [
            item
            for item in self._items
            if item["collection"] in asked["collections"]
            and start <= item["properties"]["datetime"] <= end
            and shapely.box(*item["bbox"]).intersects(area)
        ]
        return {"type": "FeatureCollection", "features": found, "links": [], "numberMatched": len(found)}

    def _file(self, name: str, request: Request) -> tuple[int, dict[str, str], bytes]:
        file = self.files / name
        if not file.is_file():
            return 404, {}, b""
        data = self._sizes.setdefault(name, file.read_bytes())
        first, _, last = request.range.removeprefix("bytes=").partition("-")
        start, stop = int(first or 0), min(int(last or len(data)), len(data) - 1) + 1
        headers = {
            "ETag": f'"{name}"',
            "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
            "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}",
        }
        return 206 if request.range else 200, headers, data[start:stop]


def _json(document: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(document).encode()


def _handler(clouds: Clouds) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            headers = {name.lower(): text for name, text in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            status, said, body = clouds.answer(Request(self.command, self.path, headers, body))
            self.send_response(status)
            for name, text in said.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self.do_GET()

    return Handler
