"""Recorded answers of real STAC APIs, page by page: each gives exactly its items, and these become scenes.

Earth Search v0 and v1, Planetary Computer, eoapi.dev; next links as POST bodies with `token`, `next` or `page`, and as
addresses. What is asked is compared with what the recorded clients asked, request by request.
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
from rasteret_sql.stac.item_to_scene import scene_items
from rasteret_sql.stac.search_request import StacSource
from tests.stac.stac_items import search_items

FIXTURES = Path(__file__).parent / "fixtures"
RECORDED = FIXTURES / "recorded"
REQUESTS = json.loads((FIXTURES / "recorded_requests.json").read_text("utf-8"))
MARKS = ("token", "next", "page")
WITHOUT_ASSETS = {"earth-search-v1_fields"}


def mark(link):
    """What tells the page that a next link means."""
    body = link.get("body") or {}
    return next((str(body[name]) for name in MARKS if name in body), urlsplit(link["href"]).query)


@contextmanager
def served(pages, said=None, *, ends=True):
    """An API that gives these pages.

    Args:
        pages: the answers.
        said: what was recorded beside them: `root`, `conformsTo`, `methods`, `matched`.
        ends: the last page is made the end.

    Yields:
        Its address, and the requests as they come: (method, path, body or query string, number of the page).
    """
    said = said or {}
    root = said.get("root", "")
    pages = [dict(page) for page in pages]
    following = {mark(page["links"][0]): number + 1 for number, page in enumerate(pages) if page["links"]}
    if ends:
        pages[-1]["links"] = []
    for page, matched in zip(pages, said.get("matched", ()), strict=False):
        if matched is not None:
            page["numberMatched"] = matched
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            if parts.path.rstrip("/") == root:
                asked.append(("GET", parts.path.rstrip("/"), parts.query, None))
                methods = said.get("methods", ["POST"])
                links = [
                    {"rel": "search", "href": f"{url}{root}/search"} | ({"method": m} if m else {}) for m in methods
                ]
                conforms = {"conformsTo": said["conformsTo"]} if "conformsTo" in said else {}
                return self.answer({"type": "Catalog", "id": "recorded", "links": links} | conforms)
            return self.page("GET", parts.path, parts.query, parts.query)

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            wanted = next((str(body[name]) for name in MARKS if name in body), "")
            return self.page("POST", self.path, body, wanted)

        def page(self, method, path, sent, wanted):
            number = following.get(wanted, 0)
            asked.append((method, path, sent, number))
            page = dict(pages[number])
            page["links"] = [link | {"href": self.here(link["href"])} for link in page["links"]]
            return self.answer(page)

        def here(self, href):
            query = urlsplit(href).query
            return f"{url}{root}/search" + (f"?{query}" if query else "")

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
        yield url + root, asked
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
        items = list(search_items(StacSource(url)))
    assert [(item["collection"], item["id"]) for item in items] == [(one["collection"], one["id"]) for one in features]
    assert {number for *_, number in asked} - {None} == set(range(len(pages)))
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


FILTER = {"filter": {"op": "lte", "args": [{"property": "eo:cloud_cover"}, 40]}, "filter-lang": "cql2-json"}
"""As it was sent; `lte` is no operator of CQL2, ours are STAC's own where a server has them."""
POINT = {"intersects": {"type": "Point", "coordinates": [-105.1019, 40.1672]}}
FIELDS = {"fields": {"include": [], "exclude": ["geometry", "assets", "links"]}}
DAY = "2023-10-08"
# Recording, our search, and of its first request what is sent beside the recorded, and in place of what.
SAME = [
    ("earth-search-v0_s2", {"collection": "sentinel-s2-l2a-cogs", "page_size": 1}, {}, {}),
    ("pc_naip_bbox_paged_token", {"collection": "naip", "bbox": (-73.21, 43.99, -73.12, 44.05), "page_size": 10}, {},
     {}),
    ("pc_naip_paged_max_items", {"collection": "naip", "page_size": 10}, {}, {}),
    ("rustac_search", {"collection": "sentinel-2-l2a", "page_size": 1}, {}, {}),
    # Ours always says how long a page may be.
    ("earth-search-v1_cop-dem", {"collection": "cop-dem-glo-30"}, {"limit": 100}, {}),
    ("eoapi_dev_search", {}, {"limit": 100}, {}),
    # STAC's query operators, since the server has them.
    ("earth-search-v1_cli_filter_cql2json_paged", {"query": '"eo:cloud_cover" <= 40'},
     {"limit": 100, "query": {"eo:cloud_cover": {"lte": 40}}}, FILTER),
    # Ours has neither points, nor chosen fields, nor several collections.
    ("earth-search-v1_fields", {"collection": "sentinel-2-c1-l2a"}, {"limit": 100}, {**POINT, **FIELDS}),
    # Ours asks for the whole last second of the day.
    ("earth-search-v1_multiple_collections", {"date_range": (DAY, DAY)},
     {"limit": 100, "datetime": f"{DAY}T00:00:00Z/2023-10-09T00:00:00Z"},
     {**POINT, "collections": ["sentinel-2-l2a", "landsat-c2-l2"]}),
]  # fmt: skip


def test_every_recorded_search_is_asked_again():
    assert sorted(name for name, *_ in SAME) == sorted(REQUESTS)


@pytest.mark.parametrize(("name", "search", "more", "instead"), SAME, ids=[row[0] for row in SAME])
def test_what_is_asked_is_what_was_recorded(name, search, more, instead):
    """Method, address and body of each request, in order; further pages exactly as their links say."""
    said = REQUESTS[name]
    pages = json.loads((RECORDED / f"{name}.json").read_text("utf-8"))
    features = [feature for page in pages for feature in page["features"]]
    if "query" in search:  # the recorded server took no notice of its filter, ours decides itself
        features = [one for one in features if one["properties"].get("eo:cloud_cover", 100) <= 40]
    is_whole = not pages[-1]["links"]
    with served(pages, said, ends=False) as (url, asked):
        items = list(search_items(StacSource(url, **search, max_items=None if is_whole else len(features))))
    wanted = [dict(body) for body in said["searches"]]
    for field, value in instead.items():
        assert wanted[0].pop(field) == value
    wanted[0] |= more
    landing, *searches = asked
    assert landing[:3] == ("GET", said["root"], "")
    assert [(method, path, body) for method, path, body, _ in searches] == [
        ("POST", f"{said['root']}/search", body) for body in wanted
    ]
    assert [number for *_, number in searches] == list(range(len(pages)))
    assert [item["id"] for item in items] == [one["id"] for one in features]
