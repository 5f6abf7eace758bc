"""Serves the functions and collections to stock `duckdb` shells: `rasteret-sql serve`."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rasteret_sql.cli.arguments import workspace
from rasteret_sql.connection import connect, session_for
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.hosts.quack import serve
from rasteret_sql.index.place.location import workspace_of

PORT = 9494
_SHORT = 16
"""A token has at least so many characters."""


def parser() -> argparse.ArgumentParser:
    """The arguments of the command."""
    parsed = argparse.ArgumentParser(
        prog="rasteret-sql serve",
        description="Serve functions and collections over Quack, to duckdb shells of this machine of the same version.",
    )
    parsed.add_argument("--read-only", action="store_true", help="clients may only read")
    parsed.add_argument("--token-file", type=Path, metavar="FILE", help="has the token; made where it is not there")
    parsed.add_argument("--port", type=int, default=PORT, help=f"of localhost ({PORT})")
    parsed.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="PATH",
        help="folder, file or prefix (s3://bucket/, https://host/) that clients may name, beside the workspace",
    )
    parsed.add_argument("--max-seconds", type=float, metavar="N", help="stop statements whose functions take longer")
    parsed.add_argument("-d", "--database", default=":memory:", metavar="FILE", help="a DuckDB database file to serve")
    parsed.add_argument("-w", "--workspace-dir", "--workspace", type=workspace, metavar="DIR", help="of collections")
    return parsed


def main(argv: Sequence[str]) -> int:
    """Serve until Ctrl-C or a signal to end; gives the exit code.

    Raises:
        InvalidArgumentError: the token is too short, or Quack is not installed.
    """
    given = parser().parse_args(argv)
    if given.max_seconds is not None and given.max_seconds <= 0:
        raise InvalidArgumentError(f"--max-seconds is {given.max_seconds}; expected a number above 0")
    token = read_token(given.token_file)
    place = workspace_of(given.workspace_dir)
    is_memory = given.database == ":memory:"
    con = connect(given.database, workspace_dir=place, read_only=given.read_only and not is_memory)
    try:
        server = serve(
            con,
            session_for(con),
            port=given.port,
            token=token,
            is_read_only=given.read_only,
            shows_collections=is_memory,
            allowed=given.allow,
            max_seconds=given.max_seconds,
        )
        shown = token if given.token_file is None else f"(the text of {given.token_file})"
        sys.stdout.write(
            f"serving {server.address}, {'read-only' if given.read_only else 'read and write'}; Ctrl-C ends it\n"
            f"  INSTALL quack; LOAD quack; CREATE SECRET (TYPE quack, TOKEN '{shown}');\n"
            f"  ATTACH '{server.address}' AS remote;\n"
        )
        sys.stdout.flush()
        try:
            wait_for_end()
        finally:
            server.stop()
    finally:
        con.close()
    return 0


def read_token(file: Path | None) -> str:
    """The token of a file, which is made where it is not there; without a file a new one.

    Raises:
        InvalidArgumentError: the file cannot be read, or its token is short.
    """
    if file is None:
        return secrets.token_urlsafe(32)
    try:
        with suppress(FileExistsError):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as made:
                made.write(secrets.token_urlsafe(32) + "\n")
        token = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"the token file {file} cannot be read: {error}") from error
    if len(token) < _SHORT:
        raise InvalidArgumentError(f"the token in {file} has {len(token)} characters; expected {_SHORT} at least")
    return token


def wait_for_end() -> None:
    """Wait for Ctrl-C or a signal to end."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    while not ended.wait(0.2):
        pass
