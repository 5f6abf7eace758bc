"""Where collections are: a directory here, or one elsewhere that has a URL."""

from __future__ import annotations

import os
from pathlib import Path

Workspace = Path | str
"""A directory of this machine, or the URL of one in an object store."""


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a path is the URL of something elsewhere."""
    text = os.fspath(path)
    return "://" in text and not text.startswith("file://")


def workspace_of(value: str | os.PathLike[str]) -> Workspace:
    """The workspace that an argument means."""
    if is_remote(value):
        return os.fspath(value).rstrip("/")
    return Path(os.fspath(value).removeprefix("file://")).expanduser()
