"""Tells local directories from URLs of collections elsewhere."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

Workspace = Path | str
"""A directory of this machine, or the URL of one in an object store."""


DEFAULT_WORKSPACE = Path("~/rasteret_workspace")


def is_remote(path: str | os.PathLike[str]) -> bool:
    """True where a path is the URL of something elsewhere."""
    text = os.fspath(path)
    return "://" in text and not text.startswith("file://")


def may_hold_collections(workspace: Workspace) -> bool:
    """False where a directory is empty or not there, which is known without any of what reads an index."""
    if isinstance(workspace, str):
        return True
    with suppress(OSError), os.scandir(workspace) as entries:
        return any(True for _ in entries)
    return False


def workspace_of(value: str | os.PathLike[str] | None = None) -> Workspace:
    """The workspace that an argument means; without one the default."""
    value = value or DEFAULT_WORKSPACE
    if is_remote(value):
        return os.fspath(value).rstrip("/")
    return Path(os.fspath(value).removeprefix("file://")).expanduser()
