"""`TileService`: answers requests for tiles and TileJSON, whatever server they come through."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode

from rasteret_sql.errors import (
    InterruptedQueryError,
    InvalidArgumentError,
    RasteretError,
    StorageError,
    UnknownBandError,
    UnknownCollectionError,
    UnknownSceneError,
)
from rasteret_sql.geo.web_mercator import MapTile
from rasteret_sql.hosts.view.map_tiles import CollectionMap, MapTiles
from rasteret_sql.hosts.view.tile_style import TileStyle
from rasteret_sql.receipt import Receipt

_FRESH = "private, max-age=300"
"""Without `v` in the address: the collection may be changed, and the tag of the answer tells."""
_FOREVER = "private, max-age=86400, immutable"
"""With `v`, which changes with the collection."""
_NEVER = "no-store"
_STATUS: Sequence[tuple[type[RasteretError], int]] = (
    (UnknownCollectionError, 404),
    (UnknownSceneError, 404),
    (UnknownBandError, 400),
    (InvalidArgumentError, 400),
    (InterruptedQueryError, 503),
    (StorageError, 502),
)
_ANYWHERE = {
    # A page elsewhere may show tiles: who has no token gets none.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of HTTP."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of HTTP."""

    path: str
    """As it was sent, with %20 and the like."""
    arguments: Mapping[str, Sequence[str]]
    """Of the address, decoded."""
    headers: Mapping[str, str]
    """By their names in lower case."""
    origin: str
    """Scheme, host and port, as the client names them."""


class Token:
    """The token that clients have to know.

    Args:
        value: its text.
    """

    def __init__(self, value: str) -> None:
        self.value = value

    def is_in(self, asked: Asked) -> bool:
        """True where a request has it: in `Authorization: Bearer`, or as the argument `token`."""
        scheme, _, said = asked.headers.get("authorization", "").partition(" ")
        given = [said.strip()] if scheme.lower() == "bearer" else list(asked.arguments.get("token", ()))[-1:]
        return any(secrets.compare_digest(one.encode(), self.value.encode()) for one in given)


class TileService:
    """Answers requests for the tiles of a session's collections.

    Args:
        tiles: makes them.
        token: what clients have to know.
        prefix: path before `/tiles`, where others serve something before it.
    """

    def __init__(self, tiles: MapTiles, token: Token, prefix: str = "") -> None:
        self.tiles = tiles
        self.token = token
        self.prefix = prefix

    def answer(self, asked: Asked, receipt: Receipt | None = None) -> Answer:
        """Answer a request.

        Args:
            asked: of `/tiles/{collection}/{z}/{x}/{y}.png` or `/tiles/{collection}/tilejson.json`.
            receipt: counts what it costs, and stops it.
        """
        if not self.token.is_in(asked):
            return _error(403, "the token is missing or wrong; the address that the server printed has it: ?token=...")
        parts = [unquote(part) for part in asked.path.removeprefix(self.prefix).strip("/").split("/")]
        try:
            match parts:
                case ["tiles", collection, "tilejson.json"]:
                    return self._tile_json(asked, collection)
                case ["tiles", collection, z, x, y] if y.endswith(".png"):
                    return self._tile(asked, collection, (z, x, y.removesuffix(".png")), receipt)
        except RasteretError as error:
            status = next((number for kind, number in _STATUS if isinstance(error, kind)), 500)
            return _error(status, str(error))
        return _error(
            404, "nothing is here; expected /tiles/{collection}/{z}/{x}/{y}.png or /tiles/{collection}/tilejson.json"
        )

    def _tile(self, asked: Asked, collection: str, place: tuple[str, str, str], receipt: Receipt | None) -> Answer:
        shown, style = self.tiles.of(collection), style_of(asked)
        if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in place):
            return _error(404, f"{'/'.join(place)} is no tile; expected whole numbers z/x/y")
        z, x, y = map(int, place)
        try:
            tile = MapTile(z, x, y)
        except InvalidArgumentError as error:
            return _error(404, str(error))
        tag = shown.etag(tile, style)
        is_versioned = asked.arguments.get("v") == [shown.stamp]
        kept = {"ETag": tag, "Cache-Control": _FOREVER if is_versioned else _FRESH, **_ANYWHERE}
        if tag in [one.strip() for one in asked.headers.get("if-none-match", "").split(",")]:
            return Answer(304, headers=kept)
        made = shown.tile(tile, style, receipt)
        headers = {"Content-Type": "image/png", **kept}
        if made.failures:
            # The next time they may be there.
            headers |= {"Cache-Control": _NEVER, "X-Rasteret-Left-Out": str(len(made.failures))}
            del headers["ETag"]
        return Answer(200, made.png, headers)

    def _tile_json(self, asked: Asked, collection: str) -> Answer:
        shown, style = self.tiles.of(collection), style_of(asked)
        said = shown.tile_json(style, self.tile_address(shown, asked))
        body = json.dumps(said).encode()
        return Answer(200, body, {"Content-Type": "application/json", "Cache-Control": _NEVER, **_ANYWHERE})

    def tile_address(self, shown: CollectionMap, asked: Asked) -> str:
        """The address of the tiles of a collection, with {z}, {x} and {y}, and the arguments of a request."""
        given = {name: list(texts) for name, texts in asked.arguments.items() if name not in ("v", "token")}
        said = urlencode([*((name, text) for name, texts in given.items() for text in texts)])
        last = urlencode({"v": shown.stamp, "token": self.token.value})
        name = quote(shown.index.name, safe="")
        return f"{asked.origin}{self.prefix}/tiles/{name}/{{z}}/{{x}}/{{y}}.png?{said}{'&' if said else ''}{last}"


def style_of(asked: Asked) -> TileStyle:
    """The style that a request asks for."""
    return TileStyle.of({name: texts for name, texts in asked.arguments.items() if name not in ("token", "v")})


def _error(status: int, message: str) -> Answer:
    body = json.dumps({"error": message}, ensure_ascii=False).encode()
    return Answer(status, body, {"Content-Type": "application/json", "Cache-Control": _NEVER, **_ANYWHERE})
