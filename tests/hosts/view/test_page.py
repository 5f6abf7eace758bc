"""The page in a browser, and its server: pictures on the screen, scenes and zones, SQL, the keyboard, who may come in.

Needs the extra view, selenium, and Debian's chromium and chromium-driver; skipped where they are not, but for CI.
`RASTERET_TESTS_PICTURES` is a folder for screenshots.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import imagecodecs
import numpy as np
import pytest

import rasteret_sql
from rasteret_sql.geo.web_mercator import from_lonlat
from tests.cli.processes import SHELL, environment
from tests.geo.tiles_of_places import tile_at
from tests.hosts.hosting import build
from tests.hosts.view.browser import Browser, require_browser

ZONE_TITLE = "Zone (or draw one): WKT, GeoJSON, or west, south, east, north"
NEWEST = "S2_L1C_EOPATCH_20171222T100415"
FOCUS = "let one = document.activeElement; while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement; "
TAB, ENTER, RIGHT = "\ue004", "\ue007", "\ue014"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a workspace of two collections."""
    home = tmp_path_factory.mktemp("home")
    with rasteret_sql.connect(workspace_dir=home / "workspace") as con:
        for name, collection in (("meadows", "sentinel2-eopatch-slovenia"), ("bay", "sentinel-s2-l2a-cogs")):
            con.execute(build(name, collection)).fetchall()
    return home


@contextmanager
def serving(home, *words):
    """The address of the page of a process of its own."""
    command = ["view", "meadows", "-w", str(home / "workspace"), "--port", "0", "--no-browser", *words]
    served = subprocess.Popen([*SHELL, *command], env=environment(home), stdout=subprocess.PIPE, text=True)
    try:
        line = served.stdout.readline()
        assert line.startswith("the map: http://127.0.0.1:"), line
        assert "/tiles/meadows/{z}/{x}/{y}.png" in served.stdout.readline()
        assert "tilejson.json" in served.stdout.readline()
        yield line.removeprefix("the map: ").strip()
    finally:
        served.send_signal(signal.SIGTERM)
        assert served.wait(30) == 0
        served.stdout.close()


@pytest.fixture(scope="module")
def address(home):
    """Of the page."""
    require_browser("bokeh")
    with serving(home, "--token-file", str(home / "token")) as address:
        yield address


@pytest.fixture(scope="module")
def window(address):
    with Browser() as window:
        yield window


@pytest.fixture
def page(window, address):
    """The page, opened anew."""
    window.open(address)
    window.says("68 scenes; pictures from zoom 13 on")
    return window


def keep(page, name):
    """Keep a screenshot, to be looked at."""
    folder = os.environ.get("RASTERET_TESTS_PICTURES")
    if folder:
        page.driver.save_screenshot(str(Path(folder, f"{name}.png")))


def on_screen(page, lon, lat):
    (x,), (y,) = from_lonlat(np.array([lon]), np.array([lat]))
    return page.point_on_map(float(x), float(y))


def test_pictures_are_on_the_map_and_follow_the_colours(page):
    left, top = (round(one) for one in on_screen(page, 14.5530, 45.8735))
    right, bottom = (round(one) for one in on_screen(page, 14.5625, 45.8672))

    def colours():
        part = page.screenshot()[top:bottom, left:right].astype(int)
        return part.std(axis=(0, 1)).max(), np.abs(part[..., 0] - part[..., 1]).mean()

    page.until(lambda: colours()[0] > 15, what="a picture with light and dark")
    assert colours()[1] < 3  # grey
    page.model("Select", "Colours", "m.value = 'viridis'")
    page.until(lambda: colours()[1] > 20, what="colours")
    keep(page, "colours")
    assert page.errors() == []


def test_a_scene_that_is_clicked(page):
    page.click(*on_screen(page, 14.5578, 45.8705))
    page.until(lambda: "ndvi: 68 scenes" in page.model("Div", "series", "m.text"), what="a series")
    page.until(lambda: "10,100 pixels" in page.model("Div", "histogram", "m.text"), what="a histogram")
    assert page.model("Select", "Scene (or click one)", "m.value") == NEWEST
    assert re.fullmatch(r"POINT \(14.557\d+ 45.870\d+\)", page.model("TextInput", ZONE_TITLE, "m.value"))
    keep(page, "scene")
    assert page.errors() == []


def test_a_zone_that_is_drawn(page):
    page.model("Toggle", "Draw a zone", "m.active = true")
    page.says("click the corners of the zone")
    for corner in ((14.555, 45.868), (14.560, 45.868), (14.560, 45.872), (14.555, 45.872)):
        page.click(*on_screen(page, *corner))
        time.sleep(0.4)  # else two are a double click
    page.keys(ENTER)
    page.says("ndvi: 68 scenes, 2015-07-11 to 2017-12-22, from ")
    drawn = page.model("TextInput", ZONE_TITLE, "m.value")
    numbers = [float(one) for one in re.findall(r"[\d.]+", drawn)]
    assert drawn.startswith("POLYGON ((")
    assert (min(numbers[::2]), max(numbers[::2])) == pytest.approx((14.555, 14.560), abs=1e-4)
    assert (min(numbers[1::2]), max(numbers[1::2])) == pytest.approx((45.868, 45.872), abs=1e-4)
    assert page.model("Toggle", "Draw a zone", "m.active") is False
    page.until(lambda: "pixels" in page.texts(), what="a histogram")
    keep(page, "zone")
    assert page.errors() == []


def test_the_time_slider_chooses_scenes(page):
    page.model("DatetimeRangeSlider", "Time", "m.setv({value: [Date.UTC(2017, 6, 1), Date.UTC(2017, 6, 31)]})")
    page.model("DatetimeRangeSlider", "Time", "m.value_throttled = m.value")
    count = page.until(lambda: re.search(r"\b(\d|1\d) scenes; pictures", page.texts()), what="fewer scenes")
    assert 0 < int(count[1]) < 20
    assert page.errors() == []


def test_sql_on_the_map(page):
    page.model(
        "TextAreaInput", "SQL", "m.value = \"SELECT id, read_chip(id, 'B04') AS chip, geometry FROM rasteret.bay\""
    )
    press(page, "Run")
    page.says("1 row")
    page.says("chip · CHIP")
    page.says("chip 1×1098×1098 uint16 EPSG:32629")
    # The map has gone there.
    assert on_screen(page, -11.4, 24.8)[0] > 0
    left, top = (round(one) for one in on_screen(page, -11.7, 25.0))
    right, bottom = (round(one) for one in on_screen(page, -11.2, 24.6))
    page.until(lambda: page.screenshot()[top:bottom, left:right].astype(int).std() > 15, what="the chip")
    keep(page, "sql")
    for text, says in (
        ("FROM rasteret_drop('bay')", "rasteret_drop is refused, since it changes something"),
        ("CREATE TABLE t AS SELECT 1", "CREATE is refused"),
        ("FROM read_text('/etc/passwd')", "disabled by configuration"),
        ("SELECT read_chip('/etc/x.tif', 1)", "may not name"),
        ("SELEC 1", "syntax error"),
    ):
        page.model("TextAreaInput", "SQL", f"m.value = {json.dumps(text)}")
        press(page, "Run")
        page.says(says)
    assert page.errors() == []


def press(page, label):
    page.js(
        "const all = [...Bokeh.documents[0]._all_models.values()]; "
        "const m = all.find(m => m.type == 'Button' && m.label == arguments[0]); "
        "Bokeh.index.find_one(m).el.shadowRoot.querySelector('button').click()",
        label,
    )


def test_mistakes_are_said(page):
    page.model("TextInput", "Mask: where it is true, older scenes show", "m.value = 'nothing = 1'")
    page.says('"nothing"')
    page.model("TextInput", "Mask: where it is true, older scenes show", "m.value = ''")
    page.says("68 scenes")
    page.model("TextInput", "Scenes where", "m.value = 'id IN (SELECT 1)'")
    page.says("has a subquery")
    page.model("TextInput", ZONE_TITLE, "m.value = 'somewhere'")
    page.says("somewhere")
    assert page.errors() == []


def test_all_is_reached_by_the_keyboard(page):
    """Tab goes through all inputs; the map is moved, a scene chosen and SQL run without a mouse."""
    seen = []
    for _ in range(40):
        page.keys(TAB)
        seen.append(page.js(FOCUS + "return one ? `${one.tagName} ${one.textContent.slice(0, 20).trim()}` : ''"))
    # Buttons of the map, tabs, inputs, both ends of the time, SQL, Run
    for wanted in ("BUTTON →", "BUTTON Fit", "BUTTON Draw a zone", "SELECT", "INPUT", "TEXTAREA", "BUTTON Run"):
        assert any(one.startswith(wanted) for one in seen), (wanted, seen)
    assert sum(one.startswith("DIV") for one in seen) >= 2
    before = on_screen(page, 14.5578, 45.8705)
    page.js("document.activeElement?.blur()")
    while "→" not in str(focus(page)):
        page.keys(TAB)
    page.keys(ENTER)
    page.until(lambda: on_screen(page, 14.5578, 45.8705)[0] < before[0] - 50, what="a map that moved")
    while "Run" not in str(focus(page)):
        page.keys(TAB)
    page.keys(ENTER)
    page.says("1 row")
    assert page.errors() == []


def focus(page):
    return page.js(f"{FOCUS} return one?.textContent")


def test_nothing_is_fetched_from_elsewhere(page, address):
    asked = page.js("return performance.getEntriesByType('resource').map(one => one.name)")
    origin = address.partition("/?")[0]
    assert len(asked) > 5
    assert [one for one in asked if not one.startswith((origin, "data:", "blob:"))] == []


def status(address, **headers):
    """Status, headers and body of an answer; a redirection is not followed."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_who_may_come_in(address):
    origin = address.partition("/?")[0]
    assert status(address)[0] == 302
    for path in ("/", "/map", "/map?bokeh-session-id=x", "/map/autoload.js", "/tiles/meadows/tilejson.json"):
        assert status(f"{origin}{path}")[0] == 403, path
    assert status(f"{origin}/?token=wrong")[0] == 403
    assert status(f"{origin}/static/../../../etc/passwd")[0] in (403, 404)
    handshake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    handshake["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    assert status(f"{origin}/map/ws", Origin="http://elsewhere.example", **handshake)[0] == 403


def test_tiles_over_http(address):
    origin, _, token = address.partition("/?token=")
    code, headers, body = status(f"{origin}/tiles/meadows/tilejson.json?expr=ndvi&token={token}")
    assert (code, headers["Content-Type"]) == (200, "application/json")
    tile = tile_at(14.5578, 45.8705, 14)
    (template,) = json.loads(body)["tiles"]
    one = template.format(z=14, x=tile.x, y=tile.y)
    assert one.startswith(origin)
    code, headers, body = status(one)
    assert (code, body[:8]) == (200, b"\x89PNG\r\n\x1a\n")
    assert status(one, **{"If-None-Match": headers["Etag"]})[0] == 304
    by_header = status(f"{origin}/tiles/meadows/14/{tile.x}/{tile.y}.png", Authorization=f"Bearer {token}")
    assert by_header[0] == 200
    assert status(f"{origin}/tiles/none/1/0/0.png?token={token}")[0] == 404


class Basemap(http.server.ThreadingHTTPServer):
    """Gives a red tile for every path, and keeps what was asked for."""

    def __init__(self) -> None:
        asked = self.asked = []
        red = imagecodecs.png_encode(np.full((256, 256, 3), (255, 0, 0), np.uint8))

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append((self.path, dict(self.headers)))
                self.send_response(200)
                self.send_header("Content-Type", "image/png")
                self.send_header("Access-Control-Allow-Origin", "*")  # as servers of tiles have it
                self.send_header("Content-Length", str(len(red)))
                self.end_headers()
                self.wfile.write(red)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def test_a_basemap_lies_below(window, home):
    """Tiles of another server are asked for where the map is, and learn nothing of the token."""
    with Basemap() as basemap:
        template = f"http://127.0.0.1:{basemap.server_port}/base/{{z}}/{{x}}/{{y}}.png"
        with serving(home, "--basemap", template) as address:
            window.open(address)
            window.says("68 scenes; pictures from zoom 13 on")
            x, y = (round(one) for one in on_screen(window, 14.5505, 45.8705))  # beside the images
            window.until(lambda: tuple(window.screenshot()[y, x]) == (255, 0, 0), what="the basemap")
            x, y = (round(one) for one in on_screen(window, 14.5578, 45.8705))
            window.until(lambda: np.ptp(window.screenshot()[y, x].astype(int)) == 0, what="a grey picture above it")
            keep(window, "basemap")
            assert window.errors() == []
    token = address.partition("token=")[2]
    tiles = [tuple(map(int, re.fullmatch(r"/base/(\d+)/(\d+)/(\d+)\.png", path).groups())) for path, _ in basemap.asked]
    for z in {z for z, _, _ in tiles}:
        there = tile_at(14.5578, 45.8705, z)
        assert (z, there.x, there.y) in tiles
    assert len(token) > 20
    assert [one for one in basemap.asked if token in str(one) or "/map" in str(one)] == []


@pytest.mark.parametrize("basemap", ["http://127.0.0.1/tiles.png", "http://127.0.0.1/{z}/{x}.png", ""])
def test_a_basemap_that_is_no_address_of_tiles_is_refused(home, basemap):
    pytest.importorskip("bokeh", reason="the map needs Bokeh (extra `view`)")
    words = ["view", "meadows", "-w", str(home / "workspace"), "--port", "0", "--no-browser", "--basemap", basemap]
    done = subprocess.run(
        [*SHELL, *words], env=environment(home), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert f'the basemap "{basemap}" has no {{z}}, {{x}} and {{y}}' in done.stderr


@pytest.fixture
def served(tmp_path):
    """A server of pages, as that of notebooks is."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_explore_in_a_cell(window, tmp_path, served):
    """A part of a collection, in the frame that a notebook shows."""
    collection = rasteret_sql.build_from_stac(
        name="cell",
        stac_api=str(build.__defaults__[1]),
        collection="sentinel2-eopatch-slovenia",
        workspace_dir=tmp_path,
    )
    shown = collection.where("year = 2016").explore(height=600)
    try:
        frame = shown._repr_html_()
        assert 'height="600"' in frame
        (tmp_path / "cell.html").write_text(f"<!DOCTYPE html><body>{frame}</body>")
        window.driver.get(f"{served}/cell.html")
        window.driver.switch_to.frame(0)
        window.says("scenes; pictures from zoom 13 on")
        assert f"{len(collection.where('year = 2016'))} scenes" in window.texts()
        time.sleep(2 if os.environ.get("RASTERET_TESTS_PICTURES") else 0)
        keep(window, "cell")
    finally:
        window.driver.switch_to.default_content()
        shown.stop()
    with pytest.raises(OSError):
        status(shown.address())


def test_explore_at_a_port(home):
    """The port is the one that was asked for, is taken while the map is there, and free again afterwards."""
    pytest.importorskip("bokeh", reason="the map needs Bokeh (extra `view`)")
    meadows = rasteret_sql.load("meadows", workspace_dir=home / "workspace")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} of 127.0.0.1 cannot be served"):
            meadows.explore(port=port)
    for _ in range(2):
        shown = meadows.explore(port=port)
        try:
            assert shown.address().startswith(f"http://127.0.0.1:{port}/?")
            assert f":{port}/?" in shown._repr_html_()
            assert status(shown.address())[0] == 302
            assert status(f"http://127.0.0.1:{port}/?token=wrong")[0] == 403
        finally:
            shown.stop()
        with pytest.raises(OSError):
            status(shown.address())
    for no_port in (-1, 65_536):
        with pytest.raises(ValueError, match=f"port {no_port} is none: expected 1 to 65535"):
            meadows.explore(port=no_port)
