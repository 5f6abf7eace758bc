"""Plays back recorded answers of a real STAC API, with the recorded host replaced by its own address.

A request that was not recorded is answered by 404, so that a test sees when something else is asked for. Page sizes
are not compared: recordings were made with their own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@contextmanager
def replay(recording: Path, conforms: list[str] | None = None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Serve a recording: a JSON list of request and response.

    Yields:
        Address of the landing page, and the bodies of the searches as they come.
    """
    pairs = json.loads(recording.read_text())
    host = "{0.scheme}://{0.netloc}".format(urlsplit(pairs[0]["request"]["url"]))
    root = pairs[0]["request"]["url"].removesuffix("/search")
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def do_GET(self) -> None:
            landing = {"type": "Catalog", "id": "recorded", "links": [{"rel": "search", "href": f"{root}/search"}]}
            self.answer(landing | ({"conformsTo": conforms} if conforms else {}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append(body)
            for pair in pairs:
                if {**pair["request"]["json"], "limit": 0} == {**body, "limit": 0}:
                    return self.answer(pair["response"]["json"])
            return self.answer({"description": f"not recorded: {body}"}, 404)

        def answer(self, document: dict[str, Any], status: int = 200) -> None:
            data = json.dumps(document).replace(host, url).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield url + urlsplit(root).path, seen
    finally:
        server.shutdown()
        server.server_close()
