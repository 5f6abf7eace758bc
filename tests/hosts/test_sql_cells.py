"""SQL cells of notebooks, as docs/hosts.md has them, looked at in a browser: `%sql` of jupysql, and marimo.

Needs jupysql, nbconvert, marimo, selenium, and Debian's chromium and chromium-driver; skipped where they are not, but
for CI. `RASTERET_TESTS_PICTURES` is a folder for screenshots.
"""

from __future__ import annotations

import http.server
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

import rasteret_sql
from tests.cli.processes import environment
from tests.hosts.hosting import ROOT, build
from tests.hosts.view.browser import Browser, require_browser

PAGE = (ROOT / "docs" / "hosts.md").read_text("utf-8")
YEARS = [("2015", "11"), ("2016", "21"), ("2017", "36")]


def blocks(name):
    return re.findall(rf"<!-- test: {name} -->\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(tmp_path):
    """A folder with a workspace."""
    with rasteret_sql.connect(workspace_dir=tmp_path / "workspace") as con:
        con.execute(build("meadows", "sentinel2-eopatch-slovenia")).fetchall()
    return tmp_path


def means(place):
    """NDVI of each year, in two digits, as DuckDB alone has them."""
    with rasteret_sql.connect(workspace_dir=place / "workspace") as con:
        plain, masked = (
            [
                f"{value:.2f}"
                for _, value in con.execute(
                    f"SELECT year(datetime), avg(zonal_stats(id, 'ndvi', geometry{more}).mean) FROM rasteret.meadows "
                    "GROUP BY ALL ORDER BY ALL"
                ).fetchall()
            ]
            for more in ("", ", mask := 'clm = 1'")
        )
    return plain, masked


def look(window, name, pictures):
    """Wait for pictures of chips that have arrived, keep a screenshot, and give the texts of all cells of tables."""
    chips = "[...document.querySelectorAll('img[title^=\"chip 1×101×100 float32\"]')]"
    window.until(
        lambda: window.js(f"return {chips}.filter(i => i.naturalWidth == 100 && i.width > 50).length") == pictures,
        what="pictures",
    )
    folder = os.environ.get("RASTERET_TESTS_PICTURES")
    if folder:
        time.sleep(1)
        window.driver.save_screenshot(str(Path(folder, f"{name}.png")))
    box = window.js(f"const b = {chips}[0].getBoundingClientRect(); return [b.left, b.top, b.width, b.height]")
    left, top, width, height = (round(one) for one in box)
    assert window.screenshot()[top : top + height, left : left + width].std() > 15
    return window.texts()


def test_sql_of_jupysql(place):
    require_browser("sql", "nbconvert", "nbclient")
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import HTMLExporter

    cells = [*blocks("jupysql"), "%sql SELECT {'a': max(year(datetime))} AS s FROM rasteret.meadows"]
    assert len(cells) == 4
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(place)}}).execute()
    outputs = [one for cell in notebook.cells for one in cell.outputs]
    assert [one for one in outputs if one.output_type == "error" or one.get("name") == "stderr"] == []
    (place / "page.html").write_text(HTMLExporter().from_notebook_node(notebook)[0])
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=place)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, Browser(1100, 900) as window:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            window.driver.get(f"http://127.0.0.1:{server.server_port}/page.html")
            texts = look(window, "jupysql", 3)
            tables = window.js(
                "return [...document.querySelectorAll('table')].map(t => [...t.rows].map(r => [...r.cells].map("
                "c => c.textContent.trim())))"
            )
        finally:
            server.shutdown()
    _, masked = means(place)
    assert tables[0] == [["year", "scenes", "ndvi"], *([*one, mean] for one, mean in zip(YEARS, masked, strict=True))]
    assert "POLYGON ((" in texts
    assert tables[-1] == [["s"], ["{'a': 2017}"]]


@contextmanager
def marimo_app(place, program):
    """The address of an app that marimo serves."""
    (place / "app.py").write_text(program)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "-q", "run", "app.py", "--headless", "--no-token", "--host", "127.0.0.1"]
    served = subprocess.Popen(
        [*command, "-p", str(port)], cwd=place, env=environment(place) | {"PYTHONWARNINGS": ""},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        served.terminate()
        served.wait(30)


def test_sql_cells_of_marimo(place):
    require_browser("marimo")
    (program,) = blocks("marimo")
    with marimo_app(place, program) as address, Browser(1200, 800) as window:
        window.driver.get(address)
        plain, _ = means(place)
        window.until(lambda: all(f"{mean[:4]}" in window.texts() for mean in plain), what="a table of years")
        texts = look(window, "marimo", 3)
        for _, scenes in YEARS:
            assert scenes in texts
        assert "POLYGON ((" in texts
        assert "Traceback" not in texts
