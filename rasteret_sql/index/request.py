"""What a build is asked for, and the key under which its result is cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.names import directory_name, require_name
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.source import StacSource

DEFAULT_WORKSPACE = Path("~/rasteret_workspace")
_DIGEST_LENGTH = 10


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """A build of a collection from a STAC search."""

    name: str
    """The user's own name, any text."""
    source: StacSource
    naming: BandNaming = field(default_factory=BandNaming)
    data_source: str = ""
    """Id of the dataset in the catalog; by default the id of the STAC collection."""
    description: str = ""
    url_patterns: Mapping[str, str] = field(default_factory=dict)
    """Prefix of asset hrefs → what replaces it."""
    workspace_dir: str | Path = DEFAULT_WORKSPACE
    force: bool = False
    """Build anew although the same build is cached."""
    max_concurrent: int = 50
    """Files whose headers are read at a time."""
    backend: StorageBackend | None = field(default=None, repr=False)
    """How the files are read; by default any address is routed to its store."""

    def __post_init__(self) -> None:
        require_name(self.name)
        if isinstance(self.max_concurrent, bool) or not isinstance(self.max_concurrent, int) or self.max_concurrent < 1:
            msg = f"max_concurrent is a number of requests, 1 or more, not {self.max_concurrent!r}"
            raise InvalidArgumentError(msg)
        if not isinstance(self.workspace_dir, str | Path) or "://" in str(self.workspace_dir):
            msg = f"workspace_dir is a directory of this machine, not {self.workspace_dir!r}"
            raise InvalidArgumentError(msg)
        if self.workspace.exists() and not self.workspace.is_dir():
            raise InvalidArgumentError(f"workspace_dir {self.workspace} is a file; give a directory, or one to make")

    @property
    def source_key(self) -> str:
        """What the collection says of where it comes from."""
        return self.data_source or self.source.collection or ""

    @property
    def workspace(self) -> Path:
        """Absolute directory of cached collections."""
        return Path(self.workspace_dir).expanduser().absolute()

    def identity(self) -> dict[str, Any]:
        """All that changes the result, as JSON values; without credentials, whatever the address holds."""
        return self._identity(safe_address(self.source.address))

    def _identity(self, address: str) -> dict[str, Any]:
        bands, places = self.naming.band_map, self.naming.band_index_map
        return {
            "name": self.name,
            "data_source": self.data_source,
            "search": self.source.identity() | {"address": address},
            # Lists of pairs: the order of bands is part of the result.
            "band_map": None if bands is None else [list(pair) for pair in bands.items()],
            "band_index_map": None if places is None else sorted(list(pair) for pair in places.items()),
            "strict": self.naming.strict,
            "url_patterns": sorted(list(pair) for pair in self.url_patterns.items()),
        }

    def digest(self) -> str:
        """A short hash that differs where the results may."""
        text = json.dumps(self._identity(self.source.address), sort_keys=True, ensure_ascii=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]

    def directory(self) -> Path:
        """Where the collection is cached."""
        source = self.source_key or "stac"
        return self.workspace / directory_name(self.name, self.source.dates, source, self.digest())
