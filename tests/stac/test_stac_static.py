"""Static catalogs: files and URLs, any depth, filtered here."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import rasteret_sql
from rasteret_sql.errors import InterruptedQueryError, MissingObjectError, StacError, StorageError
from rasteret_sql.stac import http_json as documents
from rasteret_sql.stac.address import resolve
from rasteret_sql.stac.search import StacSource
from rasteret_sql.stac.static_catalog import MAX_DEPTH
from tests.sampling import some
from tests.servers.range_server import RangeServer
from tests.stac.stac_items import make_item, search_items


def ids(address, *args, **kwargs):
    return [item["id"] for item in search_items(StacSource(str(address), *args, **kwargs))]


def test_items_come_in_the_order_of_the_documents(tree):
    assert ids(tree) == ["a", "b", "c", "d"]


def test_a_folder_stands_for_its_catalog(tree):
    assert ids(tree.parent) == ["a", "b", "c", "d"]
    assert ids(tree.parent / "north") == ["a", "b"]


def test_one_collection(tree):
    assert ids(tree, "north") == ["a", "b"]
    assert ids(tree, "south") == ["c", "d"]


def test_the_catalog_id_stands_for_all_below(tree):
    assert ids(tree, "world") == ["a", "b", "c", "d"]
    assert ids(tree, "2024") == ["d"]


def test_unknown_collection_says_what_exists(tree):
    with pytest.raises(StacError, match=r'no collection "nort": did you mean "north"\? Known: north, south'):
        ids(tree, "nort")


def test_items_of_other_collections_are_not_read(tree):
    shutil.rmtree(tree.parent / "north" / "a")
    assert ids(tree, "south") == ["c", "d"]


def test_hrefs_are_absolute_and_items_know_their_collection(tree):
    items = list(search_items(StacSource(str(tree))))
    assert items[0]["assets"]["data"]["href"] == str(tree.parent / "north" / "a" / "a.tif")
    assert [item["collection"] for item in items] == ["north", "north", "south", "south"]


def test_dates_include_the_end_day(tree):
    assert ids(tree, date_range=("2024-01-01", "2024-01-31")) == ["a", "b"]
    assert ids(tree, date_range=("2024-02-01", None)) == ["c", "d"]


def test_spans_of_time_meet_the_range(write):
    span = {"datetime": None, "start_datetime": "2024-01-01T00:00:00Z", "end_datetime": "2024-12-31T00:00:00Z"}
    write("never.json", make_item("never", properties={"datetime": None}))
    path = write("span.json", make_item("span", properties=span))
    assert ids(path, date_range="2024-05") == ["span"]
    assert ids(path, date_range="2025") == []
    assert ids(path.parent / "never.json") == ["never"]
    assert ids(path.parent / "never.json", date_range="2024") == []


def test_bbox_and_query(tree):
    assert ids(tree, bbox=(10.5, 50.5, 11.5, 50.6)) == ["a"]
    assert ids(tree, bbox=(0, -90, 180, 0)) == ["c", "d"]
    assert ids(tree, query={"eo:cloud_cover": {"lt": 50}}) == ["a", "b", "d"]


@pytest.mark.parametrize("bbox", [(179.9, -40, 181, -39), (179.9, -40, -179, -39), (-180, -40, -179.6, -39)])
def test_bbox_across_the_antimeridian(tree, bbox):
    # d is written as 179.5 to 180.5.
    assert ids(tree, bbox=bbox) == ["d"]


def test_max_items_stops_the_walk(tree):
    (tree.parent / "south" / "collection.json").unlink()
    assert ids(tree, max_items=2) == ["a", "b"]


def test_items_and_item_collections_are_sources(write):
    features = [make_item("a"), make_item("b", collection="other")]
    path = write("items.json", {"type": "FeatureCollection", "features": features})
    assert ids(path) == ["a", "b"]
    assert ids(path, "other") == ["a", "b"]  # a names no collection, nor does the file
    assert ids(write("a.json", features[0]), "anything") == ["a"]


def test_a_saved_page_is_only_a_file(write):
    links = [{"rel": "next", "href": "http://127.0.0.1:9/never"}]
    assert ids(write("page.json", {"type": "FeatureCollection", "features": [make_item("a")], "links": links})) == ["a"]


def test_circles_end_and_nothing_comes_twice(write):
    links = [{"rel": "child", "href": "b.json"}, {"rel": "item", "href": "i.json"}, {"rel": "item", "href": "./i.json"}]
    path = write("a.json", {"type": "Catalog", "id": "a", "links": links})
    write("b.json", {"type": "Catalog", "id": "b", "links": [{"rel": "child", "href": "./a.json"}, *links[1:]]})
    write("i.json", make_item("i"))
    assert ids(path) == ["i"]


def test_a_catalog_may_be_as_deep_as_it_is(write):
    """Each level has an item of its own."""
    for n in reversed(range(300)):
        links = [{"rel": "item", "href": f"i{n}.json"}, {"rel": "child", "href": f"c{n + 1}.json"}]
        write(f"i{n}.json", make_item(f"i{n}"))
        top = write(f"c{n}.json", {"type": "Catalog", "id": f"c{n}", "links": links[: 2 if n < 299 else 1]})
    assert ids(top) == [f"i{n}" for n in range(300)]


def test_endless_depth_is_an_error(write):
    for n in range(MAX_DEPTH + 3):
        links = [{"rel": "child", "href": f"{n + 1}.json"}]
        write(f"{n}.json", {"type": "Catalog", "id": str(n), "links": links})
    with pytest.raises(StacError, match="catalogs deep"):
        ids(write("start.json", {"type": "Catalog", "id": "s", "links": [{"rel": "child", "href": "0.json"}]}))


def test_stac_0_9_without_types_and_with_common_properties(write):
    item = make_item("old", stac_version="0.9.0")
    collection = {
        "id": "coll", "stac_version": "0.9.0", "extent": {}, "properties": {"eo:gsd": 30, "eo:cloud_cover": 99},
        "links": [{"rel": "item", "href": "old.json"}],
    }  # fmt: skip
    write("old.json", item)
    (found,) = search_items(StacSource(str(write("collection.json", collection))))
    assert found["collection"] == "coll"
    assert found["properties"]["eo:gsd"] == 30
    assert found["properties"]["eo:cloud_cover"] == 5


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<html>", r"bad\.json is not JSON \(Expecting value at character 0\)"),
        ("[1]", "holds a JSON list"),
        ('{"type": "Topology"}', "no STAC document: its type is 'Topology'"),
        ('{"type": "FeatureCollection"}', "without a list of features"),
        ('{"type": "FeatureCollection", "features": [{"a": 1}]}', "expected a GeoJSON Feature with an id"),
        ('{"type": "Catalog", "id": "x", "links": [{"rel": "item"}]}', '"item" link without href'),
        ('{"type": "Catalog", "id": "x", "links": {"rel": "item"}}', "links that are no list"),
    ],
)
def test_malformed_documents_are_named(write, text, says):
    with pytest.raises(StacError, match=says):
        ids(write("bad.json", text))


def test_missing_files_are_named(tree):
    with pytest.raises(MissingObjectError, match=r"no file .*nowhere\.json"):
        ids(tree.parent / "nowhere.json")
    (tree.parent / "north" / "b" / "b.json").unlink()
    with pytest.raises(FileNotFoundError, match=re.escape("north/b/b.json")):
        ids(tree)
    (tree.parent / "south" / "collection.json").unlink()
    with pytest.raises(MissingObjectError, match=r"neither catalog\.json nor collection\.json"):
        ids(tree.parent / "south")


def test_over_http_each_document_is_fetched_once(tree):
    with RangeServer(tree.parent) as server:
        items = list(search_items(StacSource(f"{server.url}/catalog.json")))
        assert [item["id"] for item in items] == ["a", "b", "c", "d"]
        assert items[3]["assets"]["data"]["href"] == f"{server.url}/south/deep/d.tif"
        assert server.counts()["requests"] == 8
        with pytest.raises(MissingObjectError, match="answered 404"):
            ids(f"{server.url}/none.json?token=SECRET")


def test_secrets_in_an_address_are_not_shown(tree):
    with RangeServer(tree.parent) as server, pytest.raises(StacError) as caught:
        ids(f"{server.url}/catalog.json?token=SECRET", "nort")
    assert "SECRET" not in str(caught.value)


def test_a_walk_can_be_interrupted(tree):
    flag = iter([False, False, True])
    with pytest.raises(InterruptedQueryError):
        list(search_items(StacSource(str(tree)), cancelled=lambda: next(flag, True)))


def test_a_stalled_catalog_can_be_interrupted():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # which never answers
        flag = threading.Event()
        threading.Timer(0.2, flag.set).start()
        source = StacSource(f"http://127.0.0.1:{silent.getsockname()[1]}/catalog.json")
        with pytest.raises(InterruptedQueryError):
            list(search_items(source, cancelled=flag.is_set))


def test_a_broken_body_is_asked_for_again(write):
    text = json.dumps(make_item("i")).encode()
    requests = []

    def serve(server):
        for sent in (text[:50], text):
            connection, _ = server.accept()
            with connection:
                requests.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + sent)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        assert ids(f"http://127.0.0.1:{server.getsockname()[1]}/i.json") == ["i"]
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("base", "href", "full"),
    [
        ("/data/c/catalog.json", "./a/b.json", "/data/c/a/b.json"),
        ("/data/c/catalog.json", "../x.tif", "/data/x.tif"),
        ("/data/c/catalog.json", "/abs/x.tif", "/abs/x.tif"),
        ("/data/c/catalog.json", "file:///a%20b.tif", "/a b.tif"),
        ("/data/c/catalog.json", "s3://bucket/x.tif", "s3://bucket/x.tif"),
        ("https://h/c/catalog.json?sig=1", "./a.json", "https://h/c/a.json"),
        ("https://h/c/catalog.json", "../x.tif?sig=2", "https://h/x.tif?sig=2"),
        ("https://h/v1", "/search", "https://h/search"),
        ("https://h", "search", "https://h/search"),
        ("https://h/v1/", "collections/", "https://h/v1/collections/"),
        ("https://h/v1", "//other/x.tif", "https://other/x.tif"),
        ("s3://bucket/c/catalog.json", "../x.tif", "s3://bucket/x.tif"),
    ],
)
def test_relative_hrefs(base, href, full):
    assert resolve(base, href) == full


def test_item_assets_of_the_collection_fill_in(write):
    item = make_item("i")
    item["assets"] = {"image": {"href": "i.bin"}}
    write("i.json", item)
    declared = {"image": {"type": "image/tiff", "eo:bands": [{"name": "r"}, {"name": "g"}]}}
    collection = {
        "type": "Collection",
        "id": "c",
        "item_assets": declared,
        "links": [{"rel": "item", "href": "i.json"}],
    }
    (found,) = search_items(StacSource(str(write("collection.json", json.dumps(collection)))))
    assert found["assets"]["image"]["type"] == "image/tiff"
    assert [band["name"] for band in found["assets"]["image"]["eo:bands"]] == ["r", "g"]


def test_a_url_of_no_text_says_so(tmp_path):
    (tmp_path / "image.tif").write_bytes(b"II*\0\xff\xfe")
    with RangeServer(tmp_path) as server, pytest.raises(StacError, match=r"image\.tif is not text .*expected a STAC"):
        ids(f"{server.url}/image.tif?token=SECRET")


# ---- items in one file

LINES = [make_item(f"line{n}", f"2024-01-0{n + 1}T00:00:00Z", west=n) for n in range(4)]
TEXT = "".join(f"{json.dumps(item)}\n" for item in LINES)
AS_LINES = {
    "items.ndjson": TEXT.encode(),
    "items.jsonl": TEXT.rstrip("\n").encode(),
    "windows.geojsonl": TEXT.replace("\n", "\r\n\r\n").encode(),
    "marked.ndjson": b"\xef\xbb\xbf" + TEXT.encode(),
    "records.geojsonseq": "".join(f"\x1e{json.dumps(item)}\n" for item in LINES).encode(),
    "items.ndjson.gz": gzip.compress(TEXT.encode()),
    "members.jsonl.gz": gzip.compress(TEXT[:100].encode()) + gzip.compress(TEXT[100:].encode()),
    "items.json.gz": gzip.compress(json.dumps({"type": "FeatureCollection", "features": LINES}).encode()),
}


@pytest.mark.parametrize("name", some(AS_LINES, 4))
@pytest.mark.parametrize("remote", [False, True])
def test_items_one_a_line_and_compressed(tmp_path, name, remote):
    (tmp_path / name).write_bytes(AS_LINES[name])
    if not remote:
        assert ids(tmp_path / name) == [item["id"] for item in LINES]
        assert ids(tmp_path / name, None, (1.5, 0, 2.5, 1)) == ["line1", "line2"]
        return
    with RangeServer(tmp_path) as server:
        items = list(search_items(StacSource(f"{server.url}/{name}")))
    assert [item["id"] for item in items] == [item["id"] for item in LINES]
    assert items[0]["assets"]["data"]["href"] == f"{server.url}/line0.tif"


def test_items_one_a_line_in_sql(tmp_path):
    (tmp_path / "items.ndjson").write_bytes(AS_LINES["items.ndjson"])
    with rasteret_sql.connect(workspace_dir=tmp_path / "ws") as con:
        rows = con.execute("SELECT id FROM rasteret_stac_search($1)", [str(tmp_path / "items.ndjson")]).fetchall()
    assert [name for (name,) in rows] == [item["id"] for item in LINES]


@pytest.mark.parametrize(
    ("data", "says"),
    some(
        [
            (TEXT[:-20].encode(), "line 4 of .*is not JSON"),
            (TEXT.encode() + b"[1]\n", "expected a GeoJSON Feature with an id"),
            (b'{"type": "Feature"} {"type": "Feature"}', "Extra data at character 20"),
            (gzip.compress(TEXT.encode())[:-20], "ends too soon"),
            (b"\x1f\x8b" + TEXT.encode(), "is damaged gzip"),
        ],
        9,
    ),
)
@pytest.mark.parametrize("remote", [False, True])
def test_lines_that_cannot_be_read_are_errors(tmp_path, data, says, remote):
    (tmp_path / "items.ndjson").write_bytes(data)
    with RangeServer(tmp_path) as server, pytest.raises(StacError, match=says):
        ids(f"{server.url}/items.ndjson" if remote else tmp_path / "items.ndjson")


def test_a_small_file_that_unpacks_to_much_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MAX_BYTES", 1 << 20)
    (tmp_path / "items.json.gz").write_bytes(gzip.compress(b" " * (1 << 21)))
    with RangeServer(tmp_path) as server:
        for address in (tmp_path / "items.json.gz", f"{server.url}/items.json.gz"):
            with pytest.raises(StacError, match="longer than 1 MiB"):
                ids(address)


def saved(*links, href="./a.tif"):
    item = make_item("a", links=list(links), assets={"data": {"href": href, "type": "image/tiff"}})
    return {"type": "FeatureCollection", "features": [item]}


@pytest.mark.parametrize(
    ("link", "href", "meant"),
    [
        # As pystac: what an API's answer says is relative to the item's own address.
        (
            "https://api.example.com/collections/c/items/a",
            "./a.tif",
            "https://api.example.com/collections/c/items/a.tif",
        ),
        ("https://api.example.com/items/a", "https://cdn.example.com/a.tif", "https://cdn.example.com/a.tif"),
        ("s3://bucket/items/a.json", "a.tif", "s3://bucket/items/a.tif"),
        ("items/a.json", "a.tif", "{here}/items/a.tif"),
        (None, "a.tif", "{here}/a.tif"),
        (5, "a.tif", "{here}/a.tif"),
    ],
)
def test_hrefs_in_a_saved_item_collection_are_relative_to_the_items_own_address(write, link, href, meant):
    links = [] if link is None else [{"rel": "self", "href": link}]
    path = write("saved.json", saved(*links, href=href))
    (item,) = search_items(StacSource(str(path)))
    assert item["assets"]["data"]["href"] == meant.format(here=path.parent)


def test_files_beside_a_saved_item_collection_are_those_meant(write):
    path = write("saved.json", saved({"rel": "self", "href": "https://api.example.com/items/a"}))
    write("a.tif", "")
    (item,) = search_items(StacSource(str(path)))
    assert item["assets"]["data"]["href"] == str(path.parent / "a.tif")


def test_an_item_that_is_a_document_lies_where_it_was_read(write):
    """A copy of a catalog keeps the self links of the original."""
    path = write("a.json", saved({"rel": "self", "href": "https://api.example.com/items/a"})["features"][0])
    (item,) = search_items(StacSource(str(path)))
    assert item["assets"]["data"]["href"] == str(path.parent / "a.tif")


# ---- redirects


@contextmanager
def redirecting(moved, files):
    """A server that sends some paths on, and has JSON at others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            target = moved.get(self.path)
            data = b"" if target else json.dumps(files.get(self.path)).encode()
            self.send_response(302 if target else 200 if self.path in files else 404)
            if target:
                self.send_header("Location", target)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("to_another_host", some([False, True], 2))
def test_links_of_documents_behind_redirects_are_relative_to_where_they_are(tree, to_another_host):
    """The catalog, a collection and an item each lie elsewhere than where they are linked."""
    with RangeServer(tree.parent) as archive:
        there = archive.url
        files = {
            f"/v2/{path.relative_to(tree.parent)}": json.loads(path.read_text()) for path in tree.parent.rglob("*.json")
        }
        moved = {"/latest": f"{there}/catalog.json" if to_another_host else "/v2/catalog.json"}
        if not to_another_host:
            moved["/v2/south/collection.json"] = "/old/south.json?sig=abc"
            files["/old/south.json?sig=abc"] = files.pop("/v2/south/collection.json")
            files["/old/c.json"] = files["/v2/south/c.json"]
            moved["/old/deep/catalog.json"] = "/v2/south/deep/catalog.json"
        with redirecting(moved, files) as here:
            items = list(search_items(StacSource(f"{here}/latest")))
        base = there if to_another_host else f"{here}/v2"
        old = f"{base}/south/c.tif" if to_another_host else f"{here}/old/c.tif"
    assert [(item["id"], item["assets"]["data"]["href"]) for item in items] == [
        ("a", f"{base}/north/a/a.tif"),
        ("b", f"{base}/north/b/b.tif"),
        ("c", old),
        ("d", f"{base}/south/deep/d.tif"),
    ]


def test_a_loop_of_redirects_is_an_error():
    with redirecting({"/a": "/b", "/b": "/a"}, {}) as here, pytest.raises(StorageError, match="TooManyRedirects"):
        ids(f"{here}/a")
