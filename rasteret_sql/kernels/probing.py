"""One file looked at as a user would reach it: can it be read, by which credentials, how fast, and where is it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from obstore.exceptions import BaseError

from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.catalog.descriptor import DatasetDescriptor
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import InvalidArgumentError, RasteretError, UnknownDatasetError
from rasteret_sql.index.headers import FileHeader, read_header
from rasteret_sql.io.addresses import Kind, route, safe_address
from rasteret_sql.io.automatic import AutomaticBackend, backend_for
from rasteret_sql.io.backend import SigningBackend, StorageBackend
from rasteret_sql.io.fetch import fetch, fetch_prefix
from rasteret_sql.io.loop import run
from rasteret_sql.io.plain import plain_text
from rasteret_sql.io.regions import bucket_region
from rasteret_sql.stac.bands import BandNaming
from rasteret_sql.stac.scene_source import StacScenes
from rasteret_sql.stac.source import StacSource
from rasteret_sql.types import ByteRange

_SMALL_BYTES = 512
_SMALL_REQUESTS = 5
_LARGE_BYTES = 4 << 20


@dataclass(slots=True)
class Probe:
    """What was found of one file; None and empty where it did not come that far."""

    target: str
    """What was asked for."""
    scene: str = ""
    band: str = ""
    address: str = ""
    """Of the file, without what may be secret."""
    credential: str = ""
    """What requests carry, and where that is from, in words."""
    region: str = ""
    """Of the bucket, as its address, its dataset or S3 says."""
    header: str = ""
    """Size, bands and type of the image, in words."""
    search_seconds: float | None = None
    header_seconds: float | None = None
    latency_seconds: float | None = None
    """Of a small request, the median of a few."""
    throughput: float | None = None
    """Bytes a second of one larger request."""
    error: str = ""
    """Why it cannot be read, and what to do; empty where it can."""

    @property
    def is_reached(self) -> bool:
        """True where pixels can be read."""
        return not self.error and self.latency_seconds is not None


def probe(target: str, cancelled: Callable[[], bool] | None = None) -> Probe:
    """Look at the example scene of a dataset, or at a file.

    Args:
        target: Id of a registered dataset, or address or path of a file.
        cancelled: Polled; stops the looking.

    Raises:
        UnknownDatasetError: It is neither.
    """
    found = Probe(plain_text(safe_address(target)))
    try:
        descriptor = DatasetRegistry.get(target)
        if descriptor is not None:
            _dataset(found, descriptor, cancelled)
        elif "://" in target or Path(target).is_file():
            backend = AutomaticBackend()
            _file(found, target, backend, None, cancelled)
        else:
            DatasetRegistry.require(target)
    except UnknownDatasetError:
        raise
    except RasteretError as error:
        found.error = str(error)
    return found


def _dataset(found: Probe, descriptor: DatasetDescriptor, cancelled: Callable[[], bool] | None) -> None:
    config = CloudConfig.get_config(descriptor.id, descriptor.stac_collection)
    backend = backend_for(descriptor.id, config, descriptor.stac_collection, build=True) or AutomaticBackend()
    if descriptor.stac_api:
        search = StacSource(
            descriptor.stac_api,
            descriptor.stac_collection,
            descriptor.example_bbox,
            descriptor.example_date_range or descriptor.temporal_range,
            max_items=1,
        )
        naming = BandNaming(descriptor.band_map, descriptor.band_index_map, strict=False)
        patterns = config.url_patterns if config else {}
        begun = time.monotonic()
        scenes = StacScenes(search, naming, patterns, prefer_s3=not isinstance(backend, AutomaticBackend)).find(
            lambda *_: None, cancelled
        )
        found.search_seconds = time.monotonic() - begun
        scene = next((scene for scene in scenes.scenes if scene.bands), None)
        if scene is None:
            raise InvalidArgumentError(
                f'the search of "{descriptor.id}" for its example area and dates finds no scene with files; '
                "see rasteret-sql datasets info"
            )
        found.scene = scene.id
        found.band, asset = next(iter(scene.bands.items()))
        _file(found, asset.href, backend, config, cancelled)
        return
    address = descriptor.build_source_uri or descriptor.collection_uri
    if not address:
        raise InvalidArgumentError(f'dataset "{descriptor.id}" names neither a STAC API nor a table')
    _reach(found, address, backend, config, cancelled)


def _file(
    found: Probe,
    address: str,
    backend: StorageBackend,
    config: CloudConfig | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    _name(found, address, backend, config)
    begun = time.monotonic()
    header: FileHeader = run(read_header(address, backend), cancelled)
    found.header_seconds = time.monotonic() - begun
    found.credential = _credential(backend, address)  # only now boto3's chain tells what it found
    level = header.header.levels[0]
    found.header = f"{level.width} × {level.height} pixels, {header.header.count} × {level.dtype}"
    _measure(found, address, backend, header.facts.size, cancelled)


def _reach(
    found: Probe,
    address: str,
    backend: StorageBackend,
    config: CloudConfig | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    """A table: its first bytes tell whether it can be reached. A directory of tables is only listed."""
    if route(address).kind is Kind.FILE and Path(address).is_dir():
        found.address, found.latency_seconds = address, 0.0
        return
    _name(found, address, backend, config)
    _, facts = run(fetch_prefix(backend, address, _SMALL_BYTES), cancelled)
    _measure(found, address, backend, facts.size, cancelled)


def _name(found: Probe, address: str, backend: StorageBackend, config: CloudConfig | None) -> None:
    found.address = plain_text(safe_address(address))
    place = route(address)
    found.credential = _credential(backend, address)
    if place.kind is Kind.S3:
        endpoint = getattr(backend, "endpoint_of", lambda _: None)(address)
        found.region = place.region or bucket_region(place.root, endpoint) or (config.region if config else "") or ""


def _credential(backend: StorageBackend, address: str) -> str:
    if not isinstance(backend, SigningBackend):
        return ""
    try:
        return backend.credential(address)
    except BaseError:  # its text may hold a key
        return "not made: a store cannot be opened with the credentials of the environment"


def _measure(
    found: Probe, address: str, backend: StorageBackend, size: int | None, cancelled: Callable[[], bool] | None
) -> None:
    """Ask a few times for little, and once for more, one after the other."""
    length = _SMALL_BYTES if size is None else min(size, _SMALL_BYTES)
    times = []
    for number in range(_SMALL_REQUESTS):
        start = 0 if size is None else (size - length) * number // _SMALL_REQUESTS
        times.append(_seconds(partial(fetch, backend, address, ByteRange(start, length)), cancelled))
    found.latency_seconds = statistics.median(times)
    if size is not None:
        large = min(size, _LARGE_BYTES)
        seconds = _seconds(partial(fetch, backend, address, ByteRange(0, large)), cancelled)
        found.throughput = large / seconds if seconds else None


def _seconds(make: Callable[[], Any], cancelled: Callable[[], bool] | None) -> float:
    begun = time.monotonic()
    run(make(), cancelled)
    return time.monotonic() - begun
