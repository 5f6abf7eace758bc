"""A browser without a screen, driven by selenium: Debian's chromium, whose network is this machine alone."""

from __future__ import annotations

import logging
import os
import shutil
import time
from importlib.util import find_spec
from typing import Self

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
"""Programs of the packages chromium and chromium-driver."""


def require_browser(*modules: str) -> None:
    """Skip where a browser or a module is missing; where servers are required, fail.

    Args:
        modules: beside selenium.
    """
    missing = [
        *(name for name in (*modules, "selenium") if find_spec(name) is None),
        *(name for name, path in (("chromium", CHROMIUM), ("chromedriver", DRIVER)) if path is None),
    ]
    if not missing:
        return
    text = (
        f"pages are not looked at in a browser: {', '.join(missing)} missing; apt-get install chromium "
        "chromium-driver, pip install -e '.[test,view]' selenium jupysql marimo nbconvert"
    )
    if os.environ.get("RASTERET_TESTS_REQUIRE_BROWSER"):
        pytest.fail(text)
    pytest.skip(text)


class Browser:
    """A window."""

    def __init__(self, width: int = 1400, height: int = 1000) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        for name in ("selenium", "urllib3"):  # they log all that is sent, addresses with tokens too
            logging.getLogger(name).propagate = False

        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for word in (
            "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={width},{height}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--force-device-scale-factor=1",
        ):  # fmt: skip
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.driver.set_script_timeout(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()

    def open(self, address: str) -> None:
        self.driver.get(address)
        self.until(lambda: self.js("return !!(window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle)"))

    def js(self, text: str, *given: object) -> object:
        return self.driver.execute_script(text, *given)

    def model(self, kind: str, title: str, expression: str) -> object:
        """A value of the model of a kind whose title, label or type is that: `m` in the expression."""
        found = (
            "const m = [...Bokeh.documents[0]._all_models.values()].find(m => m.type == arguments[0] && "
            "[m.title, m.label, m.name].includes(arguments[1])); "
        )
        return self.js(f"{found} return {expression}", kind, title)

    def texts(self) -> str:
        """All that is written on the page, also in the roots of widgets."""
        return str(
            self.js(
                "const all = []; const walk = node => { if (node.shadowRoot) walk(node.shadowRoot); "
                "for (const child of node.childNodes ?? []) { if (child.nodeType == 3) all.push(child.textContent); "
                "else if (!['STYLE', 'SCRIPT'].includes(child.nodeName)) walk(child) } }; walk(document.body); "
                "return all.join('\\n')"
            )
        )

    def until(self, condition, seconds: float = 40, what: str = "") -> object:
        """Wait until a condition holds; gives its value."""
        deadline = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not within {seconds} s: {what or condition}; the page says {self.texts()[:2000]}"
                )
            time.sleep(0.1)

    def says(self, text: str, seconds: float = 40) -> None:
        self.until(lambda: text in self.texts(), seconds, text)

    def errors(self) -> list[str]:
        return [one["message"] for one in self.driver.get_log("browser") if one["level"] == "SEVERE"]

    def screenshot(self):
        """The window as an array, shape (height, width, 3)."""
        import imagecodecs

        return imagecodecs.png_decode(self.driver.get_screenshot_as_png())[..., :3]

    def keys(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def point_on_map(self, x: float, y: float) -> tuple[float, float]:
        """The place of a point of EPSG:3857 in the window."""
        found = self.js(
            "const map = [...Bokeh.documents[0]._all_models.values()].find(m => m.type == 'Figure' && m.match_aspect); "
            "const plot = Bokeh.index.find_one(map); const box = plot.el.getBoundingClientRect(); "
            "const at = plot.frame; "
            "return [box.left + at.x_scale.compute(arguments[0]), box.top + at.y_scale.compute(arguments[1])]",
            x, y,
        )  # fmt: skip
        return float(found[0]), float(found[1])

    def click(self, x: float, y: float, *, twice: bool = False) -> None:
        """Click at a place of the window."""
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        actions = ActionBuilder(self.driver)
        actions.pointer_action.move_to_location(round(x), round(y))
        if twice:
            actions.pointer_action.double_click()
        else:
            actions.pointer_action.click()
        actions.perform()
