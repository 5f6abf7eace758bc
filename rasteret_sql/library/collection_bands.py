"""Says by which names the bands of a collection can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.library.build_from_table import known_bands
from rasteret_sql.reading.band_names import BandNames


def names_of(index: CollectionIndex, of_items: Callable[[], Mapping[str, str]]) -> BandNames:
    """The names of a collection's bands: its own, common names, those of indices.

    Args:
        index: the collection.
        of_items: gives band → common name that its items say; asked where the dataset is not known.
    """
    source = index.data_source or ""
    return BandNames(index.bands, f'collection "{index.name}"', source, lambda: _assets(source) or of_items())


def _assets(data_source: str) -> Mapping[str, str]:
    """Band → key of its asset in the dataset; empty where it is not known."""
    known = known_bands(data_source)
    return dict(known[0].band_map or {}) if known else {}
