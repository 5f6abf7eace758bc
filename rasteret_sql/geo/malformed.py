"""Finds why a text or bytes are no geometry, and where: for messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import shapely
from shapely.errors import ShapelyError

READERS: dict[str, Callable[..., Any]] = {
    "WKB": shapely.from_wkb,
    "WKT": shapely.from_wkt,
    "GeoJSON": shapely.from_geojson,
}
"""Form → how GEOS reads it."""

_KIND = re.compile(r"^\w*Exception: ")
_JSON_FAULT = re.compile(r"Error parsing JSON: '\[json\.exception\.[\w.]+\] (.*)'$", re.DOTALL)
_ENDS = ("end of stream", "EOF or EOL")
_TOKEN = re.compile(r"[\w.+-]+|\S")
_GROUP = re.compile(r"\(([^()]*)\)")
_OPEN_RING = "do not form a closed linestring"


def why_malformed(form: str, value: str | bytes, before: int = 0) -> str:
    """Say what GEOS has against a value, with the place in WKT; empty where it says nothing.

    Args:
        form: a key of `READERS`.
        value: what could not be read.
        before: characters that the caller's text has before it.
    """
    said = _fault(form, value)
    if form != "WKT" or not isinstance(value, str) or not said:
        return f"{form}: {said}" if said else ""
    found = _open_ring(value) if _OPEN_RING in said else None
    what, place = found or (said, _place(value, said))
    return f"WKT: {what}, at character {before + place}"


def _fault(form: str, value: str | bytes) -> str:
    try:
        READERS[form](value, on_invalid="raise")
    except (ShapelyError, NotImplementedError) as error:
        text = _KIND.sub("", str(error).strip())
        match = _JSON_FAULT.search(text)
        return match[1] if match else text
    return ""


def _place(text: str, said: str) -> int:
    """Number of the character, from 1, at which WKT goes wrong: what stands before it can still be gone on with.

    GEOS does not tell. But of a beginning that is right so far it says that the text ends too soon.
    """
    if said.endswith(_ENDS):
        return len(text) + 1
    tokens = list(_TOKEN.finditer(text))
    low, high = -1, len(tokens) - 1  # up to token `low` the text is right, up to `high` it is not
    while high - low > 1:
        middle = (low + high) // 2
        fault = _fault("WKT", text[: tokens[middle].end()])
        if not fault or fault.endswith(_ENDS):
            low = middle
        else:
            high = middle
    return tokens[high].start() + 1 if tokens else 1


def _open_ring(text: str) -> tuple[str, int] | None:
    """Find the ring that does not end where it begins, and the number of the character at which it ends."""
    for group in _GROUP.finditer(text):
        points = [" ".join(point.split()) for point in group[1].split(",")]
        if points[0] != points[-1]:
            return f"the ring from {points[0]} to {points[-1]} is not closed", group.end()
    return None
