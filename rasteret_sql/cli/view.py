"""Shows collections on a map in a browser: `rasteret-sql view`."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rasteret_sql.cli.arguments import workspace
from rasteret_sql.cli.serve import read_token, wait_for_end
from rasteret_sql.connection import connect, session_for
from rasteret_sql.hosts.view.extra import require_bokeh
from rasteret_sql.index.place.location import workspace_of
from rasteret_sql.lazy import lazy_module

if TYPE_CHECKING:
    from rasteret_sql.hosts.view import page_server
else:
    page_server = lazy_module("rasteret_sql.hosts.view.page_server")

PORT = 9595


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    parsed = argparse.ArgumentParser(
        prog="rasteret-sql view",
        description="Show collections on a map in a browser, and give their tiles to map clients of this machine, such "
        "as QGIS.",
    )
    parsed.add_argument("collection", nargs="?", help="the one that is shown first; the first of the workspace")
    parsed.add_argument("--port", type=int, default=PORT, help=f"of localhost; 0: any ({PORT})")
    parsed.add_argument("--token-file", type=Path, metavar="FILE", help="has the token; made where it is not there")
    parsed.add_argument("--no-browser", action="store_true", help="print the address and open no browser")
    parsed.add_argument("--writes", action="store_true", help="the SQL box may change the workspace and the database")
    parsed.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="PATH",
        help="folder, file or prefix (s3://bucket/, https://host/) that SQL may name, beside the workspace",
    )
    parsed.add_argument(
        "--basemap", metavar="URL", help="tiles below, such as https://tile.example.org/{z}/{x}/{y}.png"
    )
    parsed.add_argument("-d", "--database", default=":memory:", metavar="FILE", help="a DuckDB database file for SQL")
    parsed.add_argument("-w", "--workspace-dir", "--workspace", type=workspace, metavar="DIR", help="of collections")
    return parsed


def main(argv: Sequence[str]) -> int:
    """Serve until Ctrl-C or a signal to end; gives the exit code.

    Raises:
        InvalidArgumentError: Bokeh is not installed, the port is taken, or the token is too short.
        UnknownCollectionError: there is no such collection.
    """
    given = parser().parse_args(argv)
    require_bokeh()
    token = read_token(given.token_file)
    is_memory = given.database == ":memory:"
    con = connect(
        given.database,
        workspace_dir=workspace_of(given.workspace_dir),
        read_only=not given.writes and not is_memory,
    )
    try:
        server = page_server.serve_page(
            con,
            session_for(con),
            collection=given.collection,
            port=given.port,
            token=token,
            writes=given.writes,
            allowed=given.allow,
            basemap=given.basemap,
        )
        try:
            sys.stdout.write(f"the map: {server.address()}\n{server.said_of_tiles()}Ctrl-C ends it\n")
            sys.stdout.flush()
            if not given.no_browser:
                webbrowser.open(server.address())
            wait_for_end()
        finally:
            server.stop()
    finally:
        con.close()
    return 0
