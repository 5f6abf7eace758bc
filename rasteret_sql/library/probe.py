"""Probes one file as a user would reach it: can it be read, by which credentials, how fast, and where is it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from rasteret_sql.byte_ranges import ByteRange
from rasteret_sql.callbacks import Cancelled
from rasteret_sql.catalog.registry import DatasetRegistry
from rasteret_sql.errors import RasteretError, UnknownCollectionError, UnknownDatasetError, did_you_mean
from rasteret_sql.index.place.collection_index import open_collection
from rasteret_sql.index.place.location import DEFAULT_WORKSPACE, Workspace
from rasteret_sql.index.place.workspace import collection_names, find_collection
from rasteret_sql.index.read.file_headers import FileHeader, read_header
from rasteret_sql.io.addresses import Kind, safe_address
from rasteret_sql.io.backend import SigningBackend
from rasteret_sql.io.clouds.cloud import BrokenCredentialsError
from rasteret_sql.io.clouds.registry import route
from rasteret_sql.io.clouds.s3_region import bucket_region
from rasteret_sql.io.fetch import fetch, fetch_prefix
from rasteret_sql.io.loop import run
from rasteret_sql.io.redact import plain_text
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.library.example_scene import Example, example_of_collection, example_of_dataset

_SMALL_BYTES = 512
_SMALL_REQUESTS = 5
_LARGE_BYTES = 4 << 20


@dataclass(slots=True)
class Probe:
    """The facts found of one file; None and empty where it did not come that far."""

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


def probe(target: str, workspace: Workspace = DEFAULT_WORKSPACE, cancelled: Cancelled | None = None) -> Probe:
    """Look at the example scene of a dataset, at the first one of a collection, or at a file.

    Args:
        target: Id of a registered dataset, name or directory of a collection, or address or path of a file.
        workspace: Where collections are known by name.
        cancelled: Polled; stops the looking.

    Raises:
        UnknownDatasetError: It is none of these.
    """
    found = Probe(plain_text(safe_address(target)))
    try:
        begun = time.monotonic()
        example = _example(target, workspace, cancelled)
        if example.scene:
            found.search_seconds = time.monotonic() - begun
        found.scene, found.band = example.scene, example.band
        _name(found, example)
        if example.is_table:
            _table(found, example, cancelled)
        else:
            _file(found, example, cancelled)
    except UnknownDatasetError:
        raise
    except RasteretError as error:
        found.error = str(error)
    return found


def _example(target: str, workspace: Workspace, cancelled: Cancelled | None) -> Example:
    descriptor = DatasetRegistry.get(target)
    if descriptor is not None:
        return example_of_dataset(descriptor, cancelled)
    is_parquet = route(target).path.lower().endswith(".parquet") if target else False
    if "://" in target or (Path(target).is_file() and not is_parquet):
        return Example(target, default_backend(), is_table=is_parquet)
    if target and Path(target).exists():
        return example_of_collection(open_collection(target))
    try:
        return example_of_collection(find_collection(target, workspace))
    except UnknownCollectionError:
        known = [one.id for one in DatasetRegistry.list()] + sorted(collection_names(workspace))
        raise UnknownDatasetError(
            f'"{target}" is no dataset, no collection of {workspace}, and no file: {did_you_mean(target, known)}'
        ) from None


def _file(found: Probe, example: Example, cancelled: Cancelled | None) -> None:
    begun = time.monotonic()
    header: FileHeader = run(read_header(example.address, example.backend), cancelled)
    found.header_seconds = time.monotonic() - begun
    level = header.header.levels[0]
    found.header = f"{level.width} × {level.height} pixels, {header.header.count} × {level.dtype}"
    _measure(found, example, header.facts.size, cancelled)


def _table(found: Probe, example: Example, cancelled: Cancelled | None) -> None:
    """A table: its first bytes tell whether it can be reached. A directory of tables is only looked for."""
    place = route(example.address)
    if place.kind == Kind.FILE and Path(place.path).is_dir():
        found.latency_seconds = 0.0
        return
    _, facts = run(fetch_prefix(example.backend, example.address, _SMALL_BYTES), cancelled)
    _measure(found, example, facts.size, cancelled)


def _name(found: Probe, example: Example) -> None:
    found.address = plain_text(safe_address(example.address))
    found.credential = _credential(example)
    place = route(example.address)
    if place.kind == Kind.S3:
        endpoint = getattr(example.backend, "endpoint_of", lambda _: None)(example.address)
        said = place.region or bucket_region(place.root, endpoint)
        found.region = said or (example.config.region if example.config else "")


def _credential(example: Example) -> str:
    if not isinstance(example.backend, SigningBackend):
        return ""
    try:
        return example.backend.credential(example.address)
    except BrokenCredentialsError as error:
        return f"not made: {error}"


def _measure(found: Probe, example: Example, size: int | None, cancelled: Cancelled | None) -> None:
    """Ask a few times for little, and once for more, one after the other."""

    def seconds(start: int, length: int) -> float:
        begun = time.monotonic()
        run(fetch(example.backend, example.address, ByteRange(start, length), expected=example.facts), cancelled)
        return time.monotonic() - begun

    found.credential = _credential(example)  # only now boto3's chain tells what it found
    length = _SMALL_BYTES if size is None else min(size, _SMALL_BYTES)
    starts = [0 if size is None else (size - length) * number // _SMALL_REQUESTS for number in range(_SMALL_REQUESTS)]
    found.latency_seconds = statistics.median(seconds(start, length) for start in starts)
    if size is not None:
        large = min(size, _LARGE_BYTES)
        took = seconds(0, large)
        found.throughput = large / took if took else None
