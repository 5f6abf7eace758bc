"""Finds one scene as an example of a dataset or collection, and the backend that reads it."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import pyarrow.parquet as pq

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.dataset_backend import backend_for
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.errors import InvalidArgumentError
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.read.scene_lookup import BandSource, SceneLookup
from rasteret_sql.io.backend import FileFacts, StorageBackend
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.library.build_from_table import table_of_dataset
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.library.register import local_collection
from rasteret_sql.scenes.source import SceneSource
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.search_request import StacSource
from rasteret_sql.stac.search_source import StacScenes

_ROWS = 16
"""Rows of a collection among which one is looked for whose file could be read when it was built."""


@dataclass(frozen=True, slots=True)
class Example:
    """A file of a scene."""

    address: str
    backend: StorageBackend
    scene: str = ""
    band: str = ""
    config: CloudConfig | None = None
    """Of its dataset."""
    facts: FileFacts | None = None
    """What was known of it when it was indexed."""
    is_table: bool = False
    """True where it is the table of a dataset that says no example: reading all of it would take long."""


def example_of_dataset(descriptor: DatasetDescriptor, cancelled: Cancelled | None = None) -> Example:
    """Find a scene at the example place and time of a dataset.

    Raises:
        InvalidArgumentError: It has none there, nothing to look in, or needs a login that is not found.
        RasteretError: The search, table or collection cannot be read.
    """
    config = CloudConfig.get_config(descriptor.id, descriptor.stac_collection)
    backend = backend_for(descriptor.id, config, descriptor.stac_collection, build=True) or default_backend()
    source: SceneSource
    if descriptor.stac_api:
        source = StacScenes(
            StacSource(
                descriptor.stac_api,
                descriptor.stac_collection,
                descriptor.example_bbox,
                descriptor.example_date_range,
                max_items=1,
                page_size=1,
            ),
            BandNaming(descriptor.band_map, descriptor.band_index_map, strict=False),
            config.url_patterns if config else {},
            prefer_s3=backend is not default_backend(),
        )
    elif (ready := local_collection(descriptor, descriptor.id.replace("/", "-"))) is not None:
        return example_of_collection(ready)
    elif descriptor.build_source_uri is None:
        if not descriptor.collection_uri:
            raise InvalidArgumentError(f'dataset "{descriptor.id}" names neither a STAC API nor a table')
        return Example(descriptor.collection_uri, backend, config=config, is_table=True)
    elif descriptor.example_bbox is None and descriptor.example_date_range is None:
        return Example(descriptor.build_source_uri, backend, config=config, is_table=True)
    else:
        asked = BuildOptions(bbox=descriptor.example_bbox, date_range=descriptor.example_date_range)
        source = table_of_dataset(descriptor, asked, config, backend)
    scene = next((scene for scene in source.find(_untold, cancelled).scenes if scene.bands), None)
    if scene is None:
        raise InvalidArgumentError(
            f'the search of "{descriptor.id}" for its example area and dates finds no scene with files; '
            "see rasteret-sql datasets info"
        )
    band, asset = next(iter(scene.bands.items()))
    return Example(asset.href, backend, scene.id, band, config)


def example_of_collection(index: CollectionIndex) -> Example:
    """The first scene of a collection whose file could be read when it was built.

    Raises:
        InvalidArgumentError: It has none.
    """
    ids: list[str] = []
    for file in index.files:
        with pq.ParquetFile(file) as opened:
            batch = next(opened.iter_batches(_ROWS, columns=["id"]), None)
        ids += [] if batch is None else batch.column("id").to_pylist()
        if len(ids) >= _ROWS:
            break
    with duckdb.connect() as connection:
        found = SceneLookup(connection).bands(index, ids, index.bands) if ids and index.bands else {}
    for scene in ids:
        for band in index.bands:
            source = found.get((scene, band))
            if isinstance(source, BandSource):
                backend = backend_for(index.data_source, build=False) or default_backend()
                config = CloudConfig.get_config(index.data_source) if index.data_source else None
                return Example(source.address, backend, scene, band, config, source.facts)
    raise InvalidArgumentError(
        f'collection "{index.name}" has no scene whose file could be read when it was built; '
        "its column `status` says why"
    )


def _untold(_done: int, _total: int | None, _what: str) -> None:
    """Nobody is shown the progress of one scene."""
