"""Recorded answers of real STAC APIs, page by page: each gives exactly its items, and these become scenes.

Earth Search v0 and v1, Planetary Computer, eoapi.dev; next links as POST bodies with `token`, `next` or `page`, and as
addresses.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rasteret_sql.errors import StacError
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.scenes import scene_items
from rasteret_sql.stac.search import iter_items
from rasteret_sql.stac.source import StacSource

RECORDED = Path(__file__).parent / "fixtures" / "recorded"
MARKS = ("token", "next", "page")
WITHOUT_ASSETS = {"earth-search-v1_fields"}


def mark(link):
    """What tells the page that a next link means."""
    body = link.get("body") or {}
    return next((str(body[name]) for name in MARKS if name in body), urlsplit(link["href"]).query)


@contextmanager
def served(pages):
    """An API that gives these pages; the last one is made the end."""
    pages = [dict(page) for page in pages]
    pages[-1]["links"] = []
    following = {mark(page["links"][0]): number + 1 for number, page in enumerate(pages) if page["links"]}
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            if parts.path == "/":
                link = {"rel": "search", "href": f"{url}/search", "method": "POST"}
                return self.answer({"type": "Catalog", "id": "recorded", "links": [link]})
            return self.page(parts.query)

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            return self.page(next((str(body[name]) for name in MARKS if name in body), ""))

        def page(self, wanted):
            number = following.get(wanted, 0)
            asked.append(number)
            page = dict(pages[number])
            page["links"] = [link | {"href": self.here(link["href"])} for link in page["links"]]
            return self.answer(page)

        def here(self, href):
            query = urlsplit(href).query
            return f"{url}/search" + (f"?{query}" if query else "")

        def answer(self, document):
            data = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield url, asked
    finally:
        server.shutdown()
        server.server_close()


def naive(text):
    return text.rstrip("Z").split(".")[0].replace("+00:00", "")


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda path: path.stem)
def test_every_recorded_page_is_read_and_its_items_become_scenes(path):
    pages = json.loads(path.read_text("utf-8"))
    features = [feature for page in pages for feature in page["features"]]
    with served(pages) as (url, asked):
        items = list(iter_items(StacSource(url)))
    assert [(item["collection"], item["id"]) for item in items] == [(one["collection"], one["id"]) for one in features]
    assert set(asked) == set(range(len(pages)))
    if path.stem in WITHOUT_ASSETS:
        with pytest.raises(StacError):
            scene_items(items, BandNaming())
        return
    scenes, _ = scene_items(items, BandNaming())
    assert [scene.id for scene in scenes] == [one["id"] for one in features]
    for scene, one in zip(scenes, features, strict=True):
        when = one["properties"].get("datetime") or one["properties"]["start_datetime"]
        assert scene.datetime.isoformat().split(".")[0] == naive(when)
        assert (scene.geometry is None) == (one.get("geometry") is None)
        hrefs = {asset["href"] for asset in one["assets"].values()}
        assert all(asset.href in hrefs or asset.href.startswith("s3://") for asset in scene.bands.values())
    assert any(scene.bands for scene in scenes)
