"""The collections cached in a workspace directory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.errors import IndexFormatError, MissingObjectError, UnknownCollectionError, did_you_mean
from rasteret_sql.index.footer import read_key
from rasteret_sql.index.names import RECORDS_SUFFIX, STAC_SUFFIX, plain_name
from rasteret_sql.index.open import CollectionIndex, open_collection, scene_files
from rasteret_sql.index.places import Workspace, workspace_of
from rasteret_sql.index.remote import collection_urls, remote_manifest


def list_collections(workspace: Workspace) -> list[dict[str, Any]]:
    """Describe each collection of a workspace, ordered by name.

    Returns:
        For each: name, kind (`stac` or `records`), data_source, date_range ((first, last) date of its scenes, or
        None), size (scenes), bands, created (naive UTC), path. A directory that is no collection is left out.
    """
    found = [describe(index) for index in _open_all(workspace_of(workspace))]
    return sorted(found, key=lambda entry: (entry["name"], entry["path"]))


def collection_names(workspace: Workspace) -> dict[str, Path | str]:
    """Name → directory or URL of each collection, the newest where several have one name."""
    root = workspace_of(workspace)
    if isinstance(root, str):
        return _remote_names(root)
    newest: dict[str, tuple[float, Path]] = {}
    for directory in _directories(root):
        name = _stored_name(directory)
        if name is not None:
            entry = (directory.stat().st_mtime, directory)
            newest[name] = max(entry, newest.get(name, entry))
    return {name: directory for name, (_, directory) in newest.items()}


def _remote_names(url: str) -> dict[str, Path | str]:
    newest: dict[str, tuple[str, str]] = {}
    for found in collection_urls(url):
        try:
            manifest = remote_manifest(found)
        except IndexFormatError:
            continue
        name = manifest.name if manifest is not None else plain_name(found.rpartition("/")[2])
        entry = (manifest.keys.get(schema.KEY_CREATED.decode(), "") if manifest is not None else "", found)
        newest[name] = max(entry, newest.get(name, entry))
    return {name: found for name, (_, found) in newest.items()}


def find_collection(name: str, workspace: Workspace) -> CollectionIndex:
    """Open a cached collection by the name that its user gave it, or that of its directory.

    Names are compared as DuckDB compares them, without regard to case, where none is spelled just so.

    Raises:
        UnknownCollectionError: There is none; the message says which there are.
    """
    root = workspace_of(workspace)
    for place in collection_urls(root) if isinstance(root, str) else map(str, _directories(root)):
        directory = Path(place).name
        if name in (directory, plain_name(directory)):
            return open_collection(place, name)
    names = collection_names(root)
    spelled = name if name in names else next((n for n in names if n.casefold() == name.casefold()), None)
    if spelled is None:
        msg = f'no collection "{name}" is cached in {root}; {did_you_mean(name, sorted(names))}'
        raise UnknownCollectionError(msg)
    return open_collection(names[spelled], spelled)


def _directories(workspace: Path) -> Iterator[Path]:
    if not workspace.is_dir():
        return
    for entry in sorted(workspace.iterdir()):
        if entry.name.endswith((STAC_SUFFIX, RECORDS_SUFFIX)) and not entry.name.startswith(".") and entry.is_dir():
            yield entry


def _open_all(workspace: Workspace) -> Iterator[CollectionIndex]:
    if isinstance(workspace, str):
        places = [(url, "") for url in collection_urls(workspace)]
    else:
        places = [(str(directory), _stored_name(directory) or "") for directory in _directories(workspace)]
    for place, name in places:
        try:
            yield open_collection(place, name)
        except (IndexFormatError, MissingObjectError):
            continue


def _stored_name(directory: Path) -> str | None:
    """The name in the first file; else that of the directory. None where no Parquet file can be read."""
    try:
        name = read_key(scene_files(directory)[0], schema.KEY_NAME) or b""
    except (OSError, ValueError):
        return None
    return name.decode("utf-8", "replace") or plain_name(directory.name)


def describe(index: CollectionIndex) -> dict[str, Any]:
    """One collection as `list_collections` describes it."""
    return {
        "name": index.name,
        "kind": "records" if index.path.name.endswith(RECORDS_SUFFIX) else "stac",
        "data_source": index.data_source or "unknown",
        "date_range": _dates(index),
        "size": index.count_rows(),
        "bands": list(index.bands),
        "created": datetime.fromtimestamp(index.path.stat().st_mtime, UTC).replace(tzinfo=None),
        "path": index.place,
    }


def _dates(index: CollectionIndex) -> tuple[str, str] | None:
    if index.manifest is not None:
        said = [end for part in index.manifest.parts for end in (part.first, part.last) if end is not None]
        return (min(said)[:10], max(said)[:10]) if said else None
    ends: list[datetime] = []
    for file in index.files:
        limits = pc.min_max(pq.read_table(file, columns=["datetime"], partitioning=None)["datetime"]).as_py()
        ends += [limit for limit in limits.values() if limit is not None]
    return (min(ends).date().isoformat(), max(ends).date().isoformat()) if ends else None
