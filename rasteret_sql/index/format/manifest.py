"""Reads and writes `_manifest.json`, which names all files of a built collection and is written last."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from rasteret_sql.errors import IndexFormatError
from rasteret_sql.geo.grid import Bounds
from rasteret_sql.schema import INDEX_VERSION, KEY_NAME


@dataclass(frozen=True, slots=True)
class Part:
    """A Parquet file of scenes."""

    path: str
    """Relative to the directory, with `/`."""
    rows: int
    headers: int
    """Number of the file that holds their headers, row by row."""
    start: int
    """The first of its rows there."""
    size: int
    """Bytes."""
    first: str | None = None
    """ISO datetime of the earliest scene; None where no scene has one."""
    last: str | None = None
    bbox: Bounds | None = None
    """Lon/lat box that holds all scenes."""


@dataclass(frozen=True, slots=True)
class HeaderFile:
    """A Parquet file of headers."""

    path: str
    number: int
    """Its name in the id files; never given to another file of the collection."""
    rows: int
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a collection, and what holds for it as a whole."""

    bands: tuple[str, ...]
    parts: tuple[Part, ...]
    headers: tuple[HeaderFile, ...]
    ids: tuple[str, ...]
    """Files of scene ids, oldest first; of an id that is in several, the newest tells where its header is."""
    uniform: bool
    """True where all parts have the same columns."""
    columns: pa.Schema
    """Of the parts, together."""
    keys: Mapping[str, str]
    """Key/value metadata as of every part's footer (schema.KEY_…); these are the newer where they differ."""
    searches: tuple[Mapping[str, Any], ...] = ()
    """The searches: of the build, then of each append."""
    version: int = INDEX_VERSION
    generation: int = field(default=1)
    """Counts changes."""

    @property
    def name(self) -> str:
        """Name of the collection."""
        return self.keys.get(KEY_NAME.decode(), "")

    @property
    def rows(self) -> int:
        """Number of scenes."""
        return sum(part.rows for part in self.parts)

    def files(self) -> list[str]:
        """Relative paths of all files but the manifest itself."""
        return [*(part.path for part in self.parts), *(file.path for file in self.headers), *self.ids]

    def sizes(self) -> dict[str, int]:
        """Bytes of each file of scenes or headers."""
        return {part.path: part.size for part in self.parts} | {file.path: file.size for file in self.headers}

    def text(self) -> str:
        """As it is written."""
        said = {
            "version": self.version,
            "generation": self.generation,
            "keys": dict(self.keys),
            "searches": [dict(search) for search in self.searches],
            "bands": list(self.bands),
            "uniform": self.uniform,
            "columns": base64.b64encode(self.columns.remove_metadata().serialize()).decode(),
            "ids": list(self.ids),
            "headers": [asdict(file) for file in self.headers],
            "parts": [asdict(part) for part in self.parts],
        }
        return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def name_in(text: bytes, where: str) -> str:
    """The name of the collection, without a look at what else its manifest says: a workspace may hold hundreds.

    Raises:
        IndexFormatError: It is damaged; the message names `where`.
    """
    try:
        return str(json.loads(text)["keys"].get(KEY_NAME.decode(), ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(error, where) from error


def read_manifest(text: str | bytes, where: str) -> Manifest:
    """Parse what `Manifest.text` gave.

    Raises:
        IndexFormatError: it is of a later version, or damaged; the message names `where`.
    """
    try:
        said = json.loads(text)
        version = said["version"]
        if version > INDEX_VERSION:
            msg = (
                f"{where} was written by a later program: index version {version}, and this one reads up to"
                f" {INDEX_VERSION}. Update rasteret-sql, or build the collection again"
            )
            raise IndexFormatError(msg)
        return Manifest(
            bands=tuple(said["bands"]),
            parts=tuple(_part(part) for part in said["parts"]),
            headers=tuple(HeaderFile(**file) for file in said["headers"]),
            ids=tuple(said["ids"]),
            uniform=said["uniform"],
            columns=pa.ipc.read_schema(pa.py_buffer(base64.b64decode(said["columns"]))),
            keys=said["keys"],
            searches=tuple(said["searches"]),
            version=version,
            generation=said["generation"],
        )
    except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
        if isinstance(error, IndexFormatError):
            raise
        raise _damaged(error, where) from error


def _damaged(error: Exception, where: str) -> IndexFormatError:
    return IndexFormatError(
        f"{where} has a damaged manifest ({type(error).__name__}: {error}); build the collection again with force"
    )


def _part(said: Mapping[str, Any]) -> Part:
    bbox: Sequence[float] | None = said["bbox"]
    return Part(**{**said, "bbox": None if bbox is None else tuple(bbox)})
