"""A cached collection out of the way."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable

from rasteret_sql.errors import InvalidArgumentError, MissingObjectError
from rasteret_sql.index.journal import Journal, writing
from rasteret_sql.index.names import RECORDS_SUFFIX, STAC_SUFFIX
from rasteret_sql.index.open import CollectionIndex


def drop(index: CollectionIndex, *, cancelled: Callable[[], bool] | None = None) -> None:
    """Remove the files of a cached collection; it is gone at once, or not at all.

    Raises:
        InvalidArgumentError: It is not one of a workspace: what was exported or loaded is its owner's to remove.
        MissingObjectError: It is gone already.
    """
    path = index.path
    if not path.name.endswith((STAC_SUFFIX, RECORDS_SUFFIX)) or (index.manifest is None and path.is_file()):
        raise InvalidArgumentError(
            f'collection "{index.name}" lies at {path}, which is no directory of a workspace; remove it there yourself'
        )
    with writing(path, f'the drop of "{index.name}"', cancelled):
        Journal(path, "dropped").remove()
        # A name that nothing reads, and that the next build of the collection clears away if we die now.
        aside = path.with_name(f".{path.name[:180]}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            path.rename(aside)
        except FileNotFoundError:
            raise MissingObjectError(f'collection "{index.name}" is not at {path} any more') from None
        shutil.rmtree(aside, ignore_errors=True)
