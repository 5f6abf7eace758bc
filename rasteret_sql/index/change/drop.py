"""Removes one cached collection, or all that were built under a name."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.errors import InvalidArgumentError, MissingObjectError
from rasteret_sql.index.change.transaction import change
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.place.location import Workspace
from rasteret_sql.index.place.mirror import remove
from rasteret_sql.index.place.name_files import forget_meaning, meaning_of, naming
from rasteret_sql.index.place.workspace import places_of
from rasteret_sql.io.remote_directory import HasStores


def drop_name(
    name: str,
    workspace: Workspace,
    *,
    stores: HasStores | None = None,
    cancelled: Cancelled | None = None,
) -> list[str]:
    """Remove all collections of a workspace that were built under a name, then the name.

    What the name means is left alone where it was loaded: it is its owner's to remove.

    Returns:
        Directories or URLs that are gone.
    """
    with naming(workspace, name, cancelled):
        meaning = meaning_of(workspace, name, stores)
        # What the name means goes last: while older ones are there, it hides them.
        places = sorted(
            map(str, places_of(name, workspace, stores)),
            key=lambda place: meaning is not None and place == meaning.place,
        )
        for place in places:
            with suppress(MissingObjectError):  # by another process, just now
                if isinstance(workspace, str):
                    remove(place, stores)
                else:
                    _remove(Path(place), name, cancelled)
        forget_meaning(workspace, name, stores)
    return places


def drop(index: CollectionIndex, *, cancelled: Cancelled | None = None) -> None:
    """Remove one cached collection; it is gone at once, or not at all.

    Raises:
        InvalidArgumentError: It is not one of a workspace: what was exported or loaded is its owner's to remove.
        MissingObjectError: It is gone already.
    """
    if index.workspace is None:
        raise InvalidArgumentError(
            f'collection "{index.name}" lies at {index.place}, which is no directory of a workspace; remove it there '
            "yourself"
        )
    if index.origin is not None:
        remove(index.origin, index.stores)
    else:
        _remove(index.path, index.name, cancelled)


def _remove(path: Path, name: str, cancelled: Cancelled | None) -> None:
    with change(path, f'the drop of "{name}"', cancelled) as tx:
        tx.drop()
