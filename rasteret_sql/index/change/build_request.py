"""Defines a build request, and the key under which its result is cached."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.place.directory_names import directory_name, require_name
from rasteret_sql.index.place.location import DEFAULT_WORKSPACE, Workspace, workspace_of
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.remote_directory import HasStores
from rasteret_sql.io.settings import DEFAULT_MAX_CONCURRENT
from rasteret_sql.scenes.source import SceneSource

_DIGEST_LENGTH = 10


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """A build of a collection."""

    name: str
    """The user's own name, any text."""
    source: SceneSource
    """The source of its scenes."""
    data_source: str = ""
    """Id of the dataset in the catalog; by default what the source calls itself."""
    description: str = ""
    workspace_dir: str | Path = DEFAULT_WORKSPACE
    force: bool = False
    """Build anew although the same build is cached."""
    max_concurrent: int = DEFAULT_MAX_CONCURRENT
    """Files whose headers are read at a time."""
    backend: StorageBackend | None = field(default=None, repr=False)
    """Reads the files; by default any address is routed to its store."""
    stores: HasStores | None = field(default=None, repr=False)
    """By whose stores a workspace elsewhere is reached; None: the process's own."""
    enrich: bool = True
    """False: no file is read, and no pixel can be."""

    def __post_init__(self) -> None:
        require_name(self.name)
        require_concurrency(self.max_concurrent)
        workspace = self.workspace
        if isinstance(workspace, Path) and workspace.exists() and not workspace.is_dir():
            raise InvalidArgumentError(f"workspace_dir {workspace} is a file; give a directory, or one to make")

    @property
    def source_key(self) -> str:
        """The source that the collection names."""
        return self.data_source or self.source.key

    @property
    def workspace(self) -> Workspace:
        """Absolute directory of cached collections, or its URL."""
        place = workspace_of(self.workspace_dir)
        return place.absolute() if isinstance(place, Path) else place

    def identity(self) -> dict[str, Any]:
        """All that changes the result, as JSON values; without credentials, whatever the address holds."""
        return self._identity(secrets=False)

    def _identity(self, *, secrets: bool) -> dict[str, Any]:
        return {
            "name": self.name,
            "data_source": self.data_source,
            "source": self.source.identity(secrets=secrets),
            "enrich": self.enrich,
        }

    def digest(self) -> str:
        """A short hash that differs where the results may."""
        text = json.dumps(self._identity(secrets=True), sort_keys=True, ensure_ascii=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]

    def directory_name(self) -> str:
        """Name of the collection's directory in its workspace."""
        source = self.source_key or self.source.kind
        return directory_name(self.name, self.source.dates, source, self.digest(), kind=self.source.kind)

    def directory(self) -> Path:
        """The directory in which the collection is cached, in a workspace of this machine."""
        workspace = self.workspace
        assert isinstance(workspace, Path)
        return workspace / self.directory_name()


def require_concurrency(value: object) -> int:
    """The number of files to read at a time, 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        msg = f"max_concurrent is a number of requests, 1 or more, not {value!r}"
        raise InvalidArgumentError(msg)
    return value
