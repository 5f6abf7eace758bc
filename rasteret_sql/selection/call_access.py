"""Chooses access to files and names of bands for one reading call, over what the collection says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.dataset_backend import backend_for
from rasteret_sql.errors import ArgumentTypeError, name_meant
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.library.build_from_table import known_bands
from rasteret_sql.session.session import Session


def call_backend(
    session: Session,
    given: StorageBackend | None,
    cloud_config: CloudConfig | Mapping[str, Any] | None,
    data_source: str | None,
    of_index: str,
) -> StorageBackend | None:
    """Choose who reads the files of one call: its backend, else its config's, else that registered for its source.

    None: as the session reads the collection.

    Args:
        session: whose backend serves calls that say none of these.
        given: backend of the call.
        cloud_config: in place of what is registered.
        data_source: dataset in place of the collection's, by whose config and login files are reached.
        of_index: source that the collection says.

    Raises:
        InvalidArgumentError: the config cannot be used, or the login of the source needs an extra.
    """
    if data_source is not None and not isinstance(data_source, str):
        raise ArgumentTypeError(f"data_source is the id of a dataset, as text, not {data_source!r}")
    config = CloudConfig.from_value(cloud_config)
    if given is not None:
        return given
    # A backend that the collection was opened with is as explicit as can be, but for a config of the call itself.
    if config is None and (data_source is None or session.backend is not None):
        return session.backend
    return backend_for(data_source or of_index, config, build=False) or default_backend()


def own_bands(bands: Sequence[str], names: Sequence[str], data_source: str | None) -> list[str]:
    """The collection's names of bands that are asked for by its own, by those of a dataset, or by those of its assets.

    Args:
        bands: what the collection has.
        names: what is asked for, each found without regard to case where that is unambiguous; a name of the collection
            wins, and one that nobody knows stays.
        data_source: the dataset; None leaves all names.
    """
    maps = [dict(known.band_map) for known in known_bands(data_source or "")]
    return [name_meant(str(name), bands) or _translated(str(name), bands, maps) for name in names]


def _translated(name: str, bands: Sequence[str], maps: Sequence[Mapping[str, str]]) -> str:
    for assets in maps:
        key, asked = name_meant(name, assets), name_meant(name, assets.values())
        others = [assets.get(key or ""), *(band for band, asset in assets.items() if asset == asked)]
        found = next((other for other in others if other in bands), None)
        if found is not None:
            return found
    return name
