"""A STAC API in this process: landing page, collections, item search with paging, query, filter, and faults.

    items, collections = load_catalog("examples/data/catalog/catalog.json", base="http://127.0.0.1:8000")
    with StacApiServer(items, collections) as api:
        search(api.url)
        assert api.count("/search") == 2

It answers as real servers do: `next` links carry a token in a POST body, or in the href of a GET.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

ITEM_SEARCH = "https://api.stacspec.org/v1.0.0/item-search"
QUERY = "https://api.stacspec.org/v1.0.0/item-search#query"
_CQL2 = "http://www.opengis.net/spec/cql2/1.0/conf"
FILTER = (
    "https://api.stacspec.org/v1.0.0-rc.2/item-search#filter",
    "http://www.opengis.net/spec/ogcapi-features-3/1.0/conf/filter",
    f"{_CQL2}/basic-cql2",
    f"{_CQL2}/cql2-json",
    f"{_CQL2}/cql2-text",
)
"""As stac-fastapi, and so Planetary Computer, declares it."""
ADVANCED = (f"{_CQL2}/advanced-comparison-operators", f"{_CQL2}/case-insensitive-comparison")
COMPARISONS = ("eq", "ne", "neq", "lt", "le", "lte", "gt", "ge", "gte")
"""Operators of the query extension that stac-fastapi takes; it refuses the others by 400."""
Item = Mapping[str, Any]


@dataclass(slots=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    parameters: dict[str, Any]
    headers: dict[str, str]


@dataclass(slots=True)
class Faults:
    """What goes wrong; all off by default."""

    status: int = 200
    """Status given instead of an answer..."""
    times: int = 0
    """...that many times."""
    body: str = "{}"
    """Body of such an answer."""
    retry_after: str | None = None
    stop_after: int | None = None
    """Number of pages after which `next` links are left out."""
    cap: int | None = None
    """Most items given, and no `next` link: a server that does not page."""
    circle: bool = False
    """`next` links lead to the first page."""
    malformed: str | None = None
    """Sent as it is in place of each search answer."""
    stall: bool = False
    """No search is answered before this is False again, or the server ends."""
    empty_pages: int = 0
    """Pages without items, but with a `next` link, before the first item."""
    endless: bool = False
    """Every page has a `next` link, also those after the last item."""
    repeat: bool = False
    """Every page holds the items of the first, though tokens go on."""
    overlap: int = 0
    """Items of the page before that each page begins with, as when items are added while a search is paged."""
    next_link: Mapping[str, Any] | None = None
    """In place of each `next` link, as it is."""
    overstated: int = 0
    """`numberReturned` is so much more than the items of a page."""
    ignores: bool = False
    """Takes `query` and `filter`, and gives all items."""
    ignored: tuple[str, ...] = ()
    """Parameters of a search of which no notice is taken, such as `bbox`."""
    swaps_bbox: bool = False
    """Reads a bbox with west > east as the box between them: the rest of the globe."""
    refuses: int = 0
    """Status given to a search with `query` or `filter`."""
    search_status: int = 0
    """Status given, with `body`, to each search..."""
    search_method: str | None = None
    """...by this method; None: by any."""
    estimate: int | None = None
    """Said to be the number of items that match."""
    says_post: bool = False
    """`next` links say POST, whatever the first page came by."""
    mark: bool = False
    """Search answers begin with a byte order mark."""
    redirect: int = 0
    """Status by which a search is sent on, once, to `redirect_to`."""
    redirect_to: str = "/search/"


@dataclass(slots=True)
class StacApiServer:
    """Serves items and collections on a free port of 127.0.0.1 while the context is open."""

    items: Iterable[Item]
    collections: Iterable[Mapping[str, Any]] = ()
    counted: bool = True
    """Say `numberMatched`; Planetary Computer does not."""
    context: bool = False
    """Say it as STAC API 0.9 did, in `context`."""
    conforms: tuple[str, ...] = (ITEM_SEARCH, QUERY)
    operators: tuple[str, ...] | None = None
    """Operators that `query` may have; others are refused by 400. None: all."""
    methods: tuple[str, ...] = ("GET", "POST")
    """Methods that the landing page's search links name."""
    required: dict[str, str] = field(default_factory=dict)
    """Headers without which every request is answered by 401."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Other names of collections."""
    latency: float = 0
    """Seconds before each answer."""
    faults: Faults = field(default_factory=Faults)
    seen: list[Seen] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _server: ThreadingHTTPServer | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        self.items = [dict(item) for item in self.items]
        self.collections = [dict(one) for one in self.collections]
        if not self.collections:
            names = dict.fromkeys(item["collection"] for item in self.items if item.get("collection"))
            self.collections = [_collection(name) for name in names]
        api = self

        class Handler(_Handler):
            server_api = api

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, the landing page."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def count(self, path: str | None = None) -> int:
        """Requests so far, of one path or of all."""
        with self._lock:
            return sum(path is None or one.path == path for one in self.seen)

    def reset(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self.seen.clear()

    def note(self, request: Seen) -> bool:
        """Record a request; True where it is to fail."""
        with self._lock:
            self.seen.append(request)
            if self.faults.times > 0:
                self.faults.times -= 1
                return True
            return False

    def landing(self) -> dict[str, Any]:
        links = [{"rel": "self", "href": self.url}, {"rel": "root", "href": self.url}]
        links.append({"rel": "data", "href": f"{self.url}/collections", "type": "application/json"})
        links += [{"rel": "search", "href": f"{self.url}/search", "method": method} for method in self.methods]
        return {
            "type": "Catalog",
            "id": "test-api",
            "stac_version": "1.0.0",
            "description": "STAC API for tests",
            "conformsTo": list(self.conforms),
            "links": links,
        }

    def search(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """One page, with the link to the next."""
        faults = self.faults
        limit = int(parameters.get("limit") or 10)
        token = int(parameters.get("token") or 0)
        found = [item for item in self.items if self._wanted(item, parameters)]
        page_number = token // limit
        start = max(0, token - faults.empty_pages * limit)
        page = [] if page_number < faults.empty_pages else found[start : start + limit]
        if faults.cap is not None:
            page = found[: min(faults.cap, limit)]
        if faults.repeat:
            page = found[:limit]
        if faults.overlap and token:
            page = found[max(0, token - faults.overlap) : token - faults.overlap + limit]
        end = token + limit - (faults.overlap if token else 0)
        answer: dict[str, Any] = {"type": "FeatureCollection", "features": page, "links": []}
        more = end < len(found) + faults.empty_pages * limit and faults.cap is None
        if faults.stop_after is not None and page_number + 1 >= faults.stop_after:
            more = False
        if more or faults.circle or faults.endless or faults.repeat:
            link = self._next("POST" if faults.says_post else method, parameters, 0 if faults.circle else end)
            answer["links"].append(link if faults.next_link is None else {"rel": "next", **faults.next_link})
        if self.context:
            answer["context"] = {"returned": len(page), "limit": limit, "matched": len(found)}
        elif self.counted:
            answer |= {"numberMatched": len(found), "numberReturned": len(page) + faults.overstated}
        elif faults.overstated:
            answer["numberReturned"] = len(page) + faults.overstated
        if faults.estimate is not None:
            answer["numberMatched"] = faults.estimate
        return answer

    def _next(self, method: str, parameters: dict[str, Any], token: int) -> dict[str, Any]:
        if method == "POST":
            body = {**parameters, "token": str(token)}
            return {"rel": "next", "method": "POST", "href": f"{self.url}/search", "body": body}
        sent = {name: value for name, value in parameters.items() if name != "sent filter"}
        if "sent filter" in parameters:
            sent["filter"] = parameters["sent filter"]
        query = {name: _query_text(value) for name, value in sent.items()} | {"token": str(token)}
        return {"rel": "next", "method": "GET", "href": f"{self.url}/search?{urlencode(query)}"}

    def refuses(self, parameters: dict[str, Any]) -> str | None:
        """Why a search is no search for this server, in its words."""
        used = {op for conditions in (parameters.get("query") or {}).values() for op in conditions}
        unknown = used - set(self.operators) if self.operators is not None else set()
        return f"Input should be one of {self.operators}, not {unknown}" if unknown else None

    def _wanted(self, item: Item, parameters: dict[str, Any]) -> bool:
        parameters = {name: value for name, value in parameters.items() if name not in self.faults.ignored}
        if self.faults.swaps_bbox and "bbox" in parameters:
            west, south, east, north = parameters["bbox"]
            parameters["bbox"] = [min(west, east), south, max(west, east), north]
        collections = parameters.get("collections")
        if collections and item.get("collection") not in collections:
            return False
        if parameters.get("bbox") and not _boxes_meet(item["bbox"], parameters["bbox"]):
            return False
        if parameters.get("datetime") and not _in_interval(item["properties"], parameters["datetime"]):
            return False
        # A server without the query extension ignores the member, as the specification lets it.
        query = parameters.get("query") if QUERY in self.conforms and not self.faults.ignores else None
        wanted = parameters.get("filter") if FILTER[0] in self.conforms and not self.faults.ignores else None
        if wanted is not None and _cql2(item, wanted) is not True:
            return False
        return all(
            _compare(item["properties"].get(name), operator, value)
            for name, conditions in (query or {}).items()
            for operator, value in conditions.items()
        )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    """Buffered, so that head and body leave together and no answer waits for an acknowledgement."""
    disable_nagle_algorithm = True
    server_api: StacApiServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        parameters: dict[str, Any] = {name: values[0] for name, values in parse_qs(parts.query).items()}
        for name in ("collections", "ids"):
            if name in parameters:
                parameters[name] = parameters[name].split(",")
        if "bbox" in parameters:
            parameters["bbox"] = [float(number) for number in parameters["bbox"].split(",")]
        if "query" in parameters:
            parameters["query"] = json.loads(parameters["query"])
        if "filter" in parameters:
            is_text = parameters.get("filter-lang", "cql2-text") == "cql2-text"
            parameters["sent filter"] = parameters["filter"]
            import cql2

            parse = cql2.parse_text if is_text else cql2.parse_json
            parameters["filter"] = parse(parameters["filter"]).to_json()
        self._answer("GET", parts.path, parameters)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer("POST", urlsplit(self.path).path, json.loads(body or b"{}"))

    def _answer(self, method: str, path: str, parameters: dict[str, Any]) -> None:
        api = self.server_api
        time.sleep(api.latency)
        if api.note(Seen(method, path, parameters, dict(self.headers))):
            return self._send(api.faults.status, api.faults.body)
        if any(self.headers.get(name) != value for name, value in api.required.items()):
            return self._send(401, '{"description": "sign in first"}')
        if path == "/":
            return self._send(200, json.dumps(api.landing()))
        if path == "/search" and api.faults.redirect:
            return self._send(api.faults.redirect, "", location=api.faults.redirect_to)
        path = "/search" if path == "/search/" else path
        if path == "/search" and api.faults.search_status and api.faults.search_method in (None, method):
            return self._send(api.faults.search_status, api.faults.body)
        if path == "/search" and method in api.methods:
            while api.faults.stall and not api.ended.wait(0.02):
                pass
            if api.faults.refuses and (parameters.get("query") or parameters.get("filter")):
                return self._send(api.faults.refuses, '{"description": "no filters here"}')
            if (why := api.refuses(parameters)) is not None:
                return self._send(400, json.dumps({"description": why}))
            if api.faults.malformed is not None:
                return self._send(200, api.faults.malformed)
            mark = "\ufeff" if api.faults.mark else ""
            return self._send(200, mark + json.dumps(api.search(method, parameters)), "application/geo+json")
        if path == "/search":
            return self._send(405, '{"code": "MethodNotAllowed", "description": "method not allowed"}')
        if path == "/collections":
            return self._send(200, json.dumps({"collections": api.collections, "links": []}))
        name = path.removeprefix("/collections/")
        path = f"/collections/{api.aliases.get(name, name)}" if name != path else path
        for collection in api.collections:
            if path == f"/collections/{collection['id']}":
                return self._send(200, json.dumps(collection))
        return self._send(404, json.dumps({"code": "NotFoundError", "description": f"{path} does not exist"}))

    def _send(self, status: int, body: str, media: str = "application/json", location: str | None = None) -> None:
        data = body.encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(data)))
            if location is not None:
                self.send_header("Location", location)
            if status in (429, 503) and self.server_api.faults.retry_after:
                self.send_header("Retry-After", self.server_api.faults.retry_after)
            self.end_headers()
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has gone, as after Ctrl-C

    def log_message(self, *args: Any) -> None:
        """Tests count requests; a log would only be in the way."""


def load_catalog(
    path: str | os.PathLike[str], base: str | None = None, root: str | os.PathLike[str] | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Items and collections of a static catalog on disk, asset hrefs made absolute.

    Args:
        path: The catalog's file.
        base: URL that stands for `root`; None gives file URIs.
        root: Directory that `base` serves; by default the one that holds the catalog's directory.

    Returns:
        Items and collections, in the order of their links.
    """
    start = Path(path).resolve()
    top = Path(root).resolve() if root else start.parent.parent
    items: list[dict[str, Any]] = []
    collections: list[dict[str, Any]] = []
    todo = [start]
    while todo:
        file = todo.pop(0)
        document = json.loads(file.read_text())
        if document["type"] == "Feature":
            for asset in document["assets"].values():
                target = (file.parent / asset["href"]).resolve()
                asset["href"] = target.as_uri() if base is None else f"{base}/{target.relative_to(top).as_posix()}"
            items.append({**document, "links": []})
            continue
        if document["type"] == "Collection":
            collections.append({**document, "links": []})
        todo[:0] = [file.parent / link["href"] for link in document["links"] if link["rel"] in ("child", "item")]
    return items, collections


def _query_text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _collection(name: str) -> dict[str, Any]:
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    return {
        "type": "Collection",
        "id": name,
        "stac_version": "1.0.0",
        "description": name,
        "license": "other",
        "extent": extent,
        "links": [],
    }


def _boxes_meet(item: list[float], asked: list[float]) -> bool:
    def halves(box: list[float]) -> list[tuple[float, float]]:
        return [(box[0], box[2])] if box[0] <= box[2] else [(box[0], 180.0), (-180.0, box[2])]

    across = any(a[0] <= b[1] and b[0] <= a[1] for a in halves(item) for b in halves(asked))
    return across and item[1] <= asked[3] and asked[1] <= item[3]


def _in_interval(properties: Mapping[str, Any], interval: str) -> bool:
    start, _, end = interval.partition("/")
    if properties.get("datetime") is None:
        return False
    at = _instant(properties["datetime"])
    return (start in ("", "..") or at >= _instant(start)) and (end in ("", "..") or at <= _instant(end or start))


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _compare(have: Any, operator: str, value: Any) -> bool:
    if have is None:
        return False
    return bool(
        {
            "eq": lambda: have == value,
            "neq": lambda: have != value,
            "lt": lambda: have < value,
            "lte": lambda: have <= value,
            "gt": lambda: have > value,
            "gte": lambda: have >= value,
            "in": lambda: have in value,
            "startsWith": lambda: have.startswith(value),
            "endsWith": lambda: have.endswith(value),
            "contains": lambda: value in have,
        }[operator]()
    )


def _cql2(item: Item, node: Any) -> Any:
    """Value of a filter in CQL2-JSON, None for NULL, as PostgreSQL has it."""
    if not isinstance(node, dict):
        return node
    if "property" in node:
        name = node["property"]
        return item.get(name) if name in ("id", "collection") else item["properties"].get(name)
    if "timestamp" in node:
        return _instant(node["timestamp"])
    op, arguments = node["op"], node["args"]
    if op in ("and", "or"):
        truths = [_cql2(item, one) for one in arguments]
        decisive = op == "or"
        return decisive if decisive in truths else None if None in truths else not decisive
    if op == "isNull":
        return _cql2(item, arguments[0]) is None
    values = [_cql2(item, one) for one in arguments]
    if values[0] is None:
        return None
    if op == "not":
        return not values[0]
    if op == "casei":
        return values[0].lower()
    if op == "in":
        return values[0] in values[1]
    if op == "like":
        parts = re.findall(r"\\.|.", values[1])
        pattern = "".join({"%": ".*", "_": "."}.get(part) or re.escape(part[-1]) for part in parts)
        return re.fullmatch(pattern, values[0], re.DOTALL) is not None
    have = _instant(values[0]) if isinstance(values[1], datetime) else values[0]
    return _compare(have, {"=": "eq", "<>": "neq", "<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}[op], values[1])
