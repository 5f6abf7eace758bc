"""Lists and finds the collections of a workspace by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from rasteret_sql import schema
from rasteret_sql.errors import (
    IndexFormatError,
    MissingObjectError,
    StorageError,
    UnknownCollectionError,
    did_you_mean,
)
from rasteret_sql.index.format.manifest import name_in
from rasteret_sql.index.place.collection_index import CollectionIndex, open_collection, scene_files
from rasteret_sql.index.place.directory_names import RECORDS_SUFFIX, STAC_SUFFIX, plain_name, slug
from rasteret_sql.index.place.location import Workspace, is_remote, workspace_of
from rasteret_sql.index.place.mirror import collection_urls, remote_manifest
from rasteret_sql.index.place.name_files import Meaning, give_meaning, meaning_of, meanings
from rasteret_sql.io.addresses import safe_address
from rasteret_sql.io.remote_directory import HasStores
from rasteret_sql.warning import warn


def list_collections(workspace: Workspace, stores: HasStores | None = None) -> list[dict[str, Any]]:
    """Describe the collection that each name of a workspace means, ordered by name.

    Returns:
        For each: name, kind (`stac` or `records`), data_source, date_range ((first, last) date of its scenes, or
        None), size (scenes), bands, created (naive UTC), path. What is no collection, or gone, is left out.
    """
    listed = []
    for name, place in collection_names(workspace, stores).items():
        with suppress(IndexFormatError, MissingObjectError):
            listed.append(describe(open_collection(place, name, stores)))
    return sorted(listed, key=lambda entry: (entry["name"], entry["path"]))


def collection_names(workspace: Workspace, stores: HasStores | None = None) -> dict[str, Path | str]:
    """Name → directory or URL of the collection that it means; a name that DuckDB takes for the same stands once."""
    root = workspace_of(workspace)
    found = _newest(root, stores)
    inside = {str(place) for place in collection_urls(root, stores)} if isinstance(root, str) else None
    for meaning in meanings(root, stores):
        key = meaning.name.casefold()
        is_there = meaning.lasts() if inside is None or meaning.is_elsewhere else meaning.place in inside
        # One that is gone is named where its name is not: reading it then says so.
        if is_there or meaning.is_elsewhere or key in found:
            found[key] = (meaning.name, meaning.place if is_remote(meaning.place) else Path(meaning.place))
    return dict(found.values())


def _newest(root: Workspace, stores: HasStores | None) -> dict[str, tuple[str, Path | str]]:
    """Name without case → name and place of the newest collection of the workspace itself that has it."""
    newest: dict[str, tuple[Any, str, Path | str]] = {}
    for name, place, age in _stored(root, stores):
        entry = (age, name, place)
        key = name.casefold()
        if key not in newest or (newest[key][0], str(newest[key][2])) < (age, str(place)):
            newest[key] = entry
    return {key: (name, place) for key, (_, name, place) in newest.items()}


def _stored(root: Workspace, stores: HasStores | None, prefix: str = "") -> Iterator[tuple[str, Path | str, Any]]:
    """Name, place and age of each collection of the workspace itself; what is none is left out.

    Args:
        root: The workspace.
        stores: By which one elsewhere is reached.
        prefix: Of the names of directories that are looked at.
    """
    if isinstance(root, str):
        for url in collection_urls(root, stores):
            if not url.rpartition("/")[2].startswith(prefix):
                continue
            try:
                manifest = remote_manifest(url, stores)
            except IndexFormatError:
                continue
            name = manifest.name if manifest is not None else plain_name(url.rpartition("/")[2])
            yield name, url, manifest.keys.get(schema.KEY_CREATED.decode(), "") if manifest is not None else ""
        return
    for directory in _directories(root):
        stored = _stored_name(directory) if directory.name.startswith(prefix) else None
        if stored is None:
            continue
        try:
            age = directory.stat().st_mtime
        except FileNotFoundError:  # dropped, or replaced, just now
            continue
        yield stored, directory, age


def places_of(name: str, workspace: Workspace, stores: HasStores | None = None) -> list[Path | str]:
    """All collections of the workspace itself that were built under a name, whatever it means now; newest last."""
    key = name.casefold()
    # Names that are alike without regard to case have one slug; beyond ASCII some have not.
    prefix = slug(name, "collection") + "_" if name.isascii() else ""
    stored = _stored(workspace_of(workspace), stores, prefix)
    found = [(age, place) for its_name, place, age in stored if its_name.casefold() == key]
    return [place for _, place in sorted(found, key=lambda entry: (entry[0], str(entry[1])))]


def is_named(name: str, workspace: Workspace, stores: HasStores | None = None) -> bool:
    """True where a name means something in a workspace."""
    root = workspace_of(workspace)
    return meaning_of(root, name, stores) is not None or bool(places_of(name, root, stores))


def let_mean(workspace: Workspace, name: str, place: Path | str, stores: HasStores | None = None) -> str | None:
    """Let a name mean a collection from now on, in every process.

    The only collection of a workspace that has a name needs no file that says so.

    Args:
        workspace: Where the name is looked up.
        name: The user's own name.
        place: Of the collection, which is whole.
        stores: By which a workspace elsewhere is reached; None: as any address.

    Returns:
        Where the collection lies, or lay, that the name meant before; None where it meant this one, or nothing.
    """
    # A workspace may be given relative to where the process runs, and what is open knows where it lies.
    there = [str(place) if _is_same(str(other), place) else str(other) for other in places_of(name, workspace, stores)]
    if there == [str(place)] and meaning_of(workspace, name, stores) is None:
        return None
    said = give_meaning(workspace, name, place, stores)
    others = [other for other in there if other != str(place)]
    # Without a file, as an earlier version and the first build leave it, the newest was meant.
    before = said.place if said is not None else next(reversed(others), None)
    return None if before is None or _is_same(before, place) else before


def _is_same(one: str, other: Path | str) -> bool:
    """True where two places are one, also where one of them is relative."""
    if is_remote(one) or is_remote(other):
        return one == str(other)
    return Path(one).absolute() == Path(other).absolute()


def tell_replaced(name: str, place: Path | str, before: str | None, how: str, stores: HasStores | None = None) -> None:
    """Warn that a name means another collection than before, unless that is gone.

    Args:
        name: The user's own name.
        place: Of what it means now.
        before: What `let_mean` gave.
        how: What was done.
        stores: By which what it meant is reached, where that is elsewhere.
    """
    if before is None or _request_of(before, stores) is None:
        return
    warn(
        f'"{name}" means {safe_address(str(place))} from now on, in every process: {how}. What it meant before is kept '
        f"at {safe_address(before)}; the call that made that, said again, lets it mean that again"
    )


def made_by_same_call(before: str, place: str, stores: HasStores | None = None) -> bool:
    """True where two collections were made by one call, of a table that changed between."""
    old, new = _request_of(before, stores), _request_of(place, stores)
    return bool(old) and bool(new) and _without_content(old or {}) == _without_content(new or {})


def _request_of(place: str, stores: HasStores | None) -> dict[str, Any] | None:
    """The request of a collection's build; None where it is gone, nothing where it cannot be reached."""
    try:
        if not is_remote(place):
            return open_collection(place).request
        manifest = remote_manifest(place, stores)
    except (MissingObjectError, IndexFormatError):
        return None
    except StorageError:  # what a name meant long ago, in a bucket of others, stops nobody
        return {}
    return None if manifest is None else dict(json.loads(manifest.keys.get(schema.KEY_REQUEST.decode(), "{}")))


def _without_content(request: dict[str, Any]) -> dict[str, Any]:
    source = request.get("source")
    return request | {"source": {**source, "content": None}} if isinstance(source, dict) else request


def find_collection(name: str, workspace: Workspace, stores: HasStores | None = None) -> CollectionIndex:
    """Open a cached collection by the name that its user gave it, or that of its directory.

    Names are compared as DuckDB compares them, without regard to case.

    Raises:
        UnknownCollectionError: There is none; the message says which there are.
        MissingObjectError: What the name means is gone.
    """
    root = workspace_of(workspace)
    meaning = meaning_of(root, name, stores)
    if meaning is not None and (meaning.is_elsewhere or meaning.lasts()):
        return _opened(meaning, stores)
    for place in collection_urls(root, stores) if isinstance(root, str) else map(str, _directories(root)):
        directory = Path(place).name
        if name in (directory, plain_name(directory)):
            return open_collection(place, name, stores)
    if meaning is not None and places_of(name, root, stores):
        return _opened(meaning, stores)  # which says that it is gone: an older one would be other scenes
    names = collection_names(root, stores)
    spelled = next((known for known in names if known.casefold() == name.casefold()), None)
    if spelled is None:
        msg = f'no collection "{name}" is cached in {root}; {did_you_mean(name, sorted(names))}'
        raise UnknownCollectionError(msg)
    return open_collection(names[spelled], spelled, stores)


def _opened(meaning: Meaning, stores: HasStores | None) -> CollectionIndex:
    try:
        return open_collection(meaning.place, meaning.name, stores)
    except MissingObjectError as error:
        raise MissingObjectError(
            f'"{meaning.name}" means the collection at {safe_address(meaning.place)}, and there is none any more; '
            f"build or load it again, or drop the name with rasteret_drop('{meaning.name}')"
        ) from error


def _directories(workspace: Path) -> Iterator[Path]:
    if not workspace.is_dir():
        return
    for entry in sorted(workspace.iterdir()):
        if entry.name.endswith((STAC_SUFFIX, RECORDS_SUFFIX)) and not entry.name.startswith(".") and entry.is_dir():
            yield entry


def _stored_name(directory: Path) -> str | None:
    """The name in the manifest, else in the first file; else that of the directory. None where neither can be read."""
    with suppress(OSError, IndexFormatError):  # an export, or one of rasteret
        return name_in((directory / schema.MANIFEST).read_bytes(), str(directory)) or plain_name(directory.name)
    try:
        keys = pq.read_metadata(scene_files(directory)[0]).metadata or {}
    except (OSError, ValueError):
        return None
    return keys.get(schema.KEY_NAME, b"").decode("utf-8", "replace") or plain_name(directory.name)


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
