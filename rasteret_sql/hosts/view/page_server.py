"""Serves the page of a connection: `serve_page` for a process of its own, `explore` for a cell of a notebook."""

from __future__ import annotations

import html
import secrets
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import duckdb
from bokeh.document import Document

from rasteret_sql.errors import InvalidArgumentError, UnknownCollectionError
from rasteret_sql.hosts.quack_guard import Guard
from rasteret_sql.hosts.restricted import restrict
from rasteret_sql.hosts.view.map_tiles import MapTiles
from rasteret_sql.hosts.view.page import MapPage, PageWorld
from rasteret_sql.hosts.view.server import ViewServer
from rasteret_sql.hosts.view.tile_service import TileService, Token
from rasteret_sql.index.place.workspace import collection_names
from rasteret_sql.selection.selection import Selection
from rasteret_sql.session.session import Session

_READS_AT_ONCE = 8
"""Reads of all pages that run at a time."""


class PageServer(ViewServer):
    """A server of the page and of tiles, until `stop`."""

    def __init__(self, world: PageWorld, *, port: int, scratch: str | None, height: int = 760) -> None:
        self._world = world
        self._scratch = scratch
        self._height = height
        super().__init__(world.service, self._page, port=port)

    def _page(self, document: Document) -> None:
        MapPage(self._world, document).show()

    def said_of_tiles(self) -> str:
        """Lines that tell the addresses of tiles."""
        name = self._world.collection
        last = f"?token={self._world.service.token.value}"
        return (
            f"  XYZ tiles: {self.origin}/tiles/{name}/{{z}}/{{x}}/{{y}}.png{last}\n"
            f"  TileJSON: {self.origin}/tiles/{name}/tilejson.json{last}\n"
        )

    def stop(self) -> None:
        super().stop()
        self._world.pool.shutdown(wait=False, cancel_futures=True)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _repr_html_(self) -> str:
        address = html.escape(self.address(), quote=True)
        return (
            f'<iframe src="{address}" title="map of {html.escape(self._world.collection, quote=True)}" '
            f'width="100%" height="{self._height}" style="border:1px solid #ccc"></iframe>'
        )

    def __repr__(self) -> str:
        return f"the map: {self.address()}"


def serve_page(
    con: duckdb.DuckDBPyConnection,
    session: Session,
    *,
    collection: str | None = None,
    port: int = 0,
    token: str | None = None,
    writes: bool = False,
    allowed: Iterable[str] = (),
    basemap: str | None = None,
) -> PageServer:
    """Serve the page to this machine. What SQL of the page may read is the workspace and what is allowed.

    Args:
        con: a connection with the functions.
        session: its session.
        collection: the one that is shown first; None: the first of the workspace.
        port: of this machine; 0: any.
        token: that clients have to know; None: a new one.
        writes: True: SQL may change the workspace and the database.
        allowed: local paths, and addresses of files and prefixes.
        basemap: address of tiles below, with {z}, {x} and {y}.

    Raises:
        UnknownCollectionError: there is no such collection.
        InvalidArgumentError: the port is taken, or `basemap` is no address of tiles.
    """
    if basemap is not None and not all(part in basemap for part in ("{z}", "{x}", "{y}")):
        raise InvalidArgumentError(
            f'the basemap "{basemap}" has no {{z}}, {{x}} and {{y}}; expected an address of tiles, such as '
            "https://tile.example.org/{z}/{x}/{y}.png"
        )
    names = sorted(collection_names(session.workspace_dir, session.stores))
    if collection is not None:
        session.open(collection)
    elif not names:
        raise UnknownCollectionError(
            f"there is no collection in {session.workspace_dir} to show; build one, such as with `rasteret-sql "
            "collections build`, or name another workspace with --workspace"
        )
    scratch = restrict(con, session, allowed)
    con.execute("SET lock_configuration = true")
    world = PageWorld(
        TileService(MapTiles(session), Token(token or secrets.token_urlsafe(32))),
        con,
        Guard(is_read_only=not writes),
        ThreadPoolExecutor(_READS_AT_ONCE, "rasteret-page"),
        collection or names[0],
        basemap,
    )
    return PageServer(world, port=port, scratch=scratch)


def explore_collection(
    con: duckdb.DuckDBPyConnection, session: Session, scenes: Selection, *, height: int, port: int
) -> PageServer:
    """Show a collection in a cell of a notebook: its user may read what the notebook may.

    Args:
        con: a connection of its own with the functions.
        session: its session.
        scenes: of the collection.
        height: of the cell, in pixels.
        port: of this machine; 0: any.
    """
    world = PageWorld(
        TileService(MapTiles(session, scenes), Token(secrets.token_urlsafe(32))),
        con,
        Guard(is_read_only=True),
        ThreadPoolExecutor(_READS_AT_ONCE, "rasteret-page"),
        scenes.index.name,
        None,
    )
    return PageServer(world, port=port, scratch=None, height=height)
