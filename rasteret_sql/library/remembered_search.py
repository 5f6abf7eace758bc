"""Repeats the searches that a collection remembers: for newer scenes, another area, or a refresh."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.files.file_source import files_again
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.scenes.source import SceneSource
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.search_request import StacSource
from rasteret_sql.stac.search_source import StacScenes
from rasteret_sql.tables.remembered_table import table_again

CHANGEABLE = ("address", "bbox", "date_range", "query")


def sources_of(index: CollectionIndex, *, address: str | os.PathLike[str] | None = None) -> list[SceneSource]:
    """All that the collection was made of: the source of its build, then that of each append.

    Args:
        index: A built collection.
        address: Where the source is today, in place of the address that is kept (without its query string).

    Raises:
        InvalidArgumentError: The collection does not say, or its source was no address.
    """
    searches = index.manifest.searches if index.manifest is not None else ()
    if not searches:
        raise InvalidArgumentError(
            f'collection "{index.name}" does not say where its scenes come from: exports and collections of rasteret '
            "do not; build it again with the source"
        )
    return [_source(index, search, {"address": address}) for search in searches]


def changed_source(index: CollectionIndex, changes: Mapping[str, Any]) -> SceneSource:
    """The source of the build with some of its arguments changed.

    Args:
        index: A built collection.
        changes: Values by name, of `CHANGEABLE`; None leaves an argument as it was.

    Raises:
        InvalidArgumentError: as `sources_of`, or an argument cannot be used.
    """
    sources_of(index)
    assert index.manifest is not None
    return _source(index, index.manifest.searches[0], changes)


def _source(index: CollectionIndex, search: Mapping[str, Any], changes: Mapping[str, Any]) -> SceneSource:
    given = {name: value for name, value in changes.items() if value is not None}
    if search.get("kind") == "stac":
        return _stac(search, given)
    if search.get("kind") == "files":
        try:
            return files_again(search, given)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f'collection "{index.name}" was made of files: {error}') from error
    try:
        return table_again(search, given)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f'collection "{index.name}" was made of a table: {error}') from error


def _stac(said: Mapping[str, Any], given: Mapping[str, Any]) -> StacScenes:
    search = said["search"]
    bands, places = said["band_map"], said["band_index_map"]
    return StacScenes(
        StacSource(
            os.fspath(given.get("address", search["address"])),
            search["collection"],
            given.get("bbox", search["bbox"]),
            given.get("date_range", search["dates"]),
            given.get("query", search["query"]),
            search["max_items"],
        ),
        BandNaming(
            None if bands is None else dict(bands), None if places is None else dict(places), strict=said["strict"]
        ),
        dict(said["url_patterns"]),
        prefer_s3=said.get("prefer_s3", False),
    )
