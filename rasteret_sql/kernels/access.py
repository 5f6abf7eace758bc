"""Which backend a build reads with: the one given, else the session's, else what the dataset asks for."""

from __future__ import annotations

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.index.open import CollectionIndex
from rasteret_sql.io.automatic import AutomaticBackend, backend_for
from rasteret_sql.io.backend import StorageBackend


def reader(
    session: StorageBackend,
    given: StorageBackend | None,
    data_source: str,
    config: CloudConfig | None = None,
    stac_collection: str | None = None,
) -> StorageBackend:
    """The backend for headers and tables.

    Args:
        session: the session's; automatic where it was given none.
        given: of the call.
        data_source: what is built.
        config: of the call, in place of the registered one.
        stac_collection: a further name of what is built.

    Raises:
        InvalidArgumentError: a login is needed and none is found.
    """
    if given is not None:
        return given
    if not isinstance(session, AutomaticBackend):
        return session
    return backend_for(data_source, config, stac_collection, build=True) or session


def keep_config(session: StorageBackend, index: CollectionIndex, config: CloudConfig | None) -> None:
    """Read a collection in this session as it was built."""
    if isinstance(session, AutomaticBackend):
        session.keep(str(index.path), config)
