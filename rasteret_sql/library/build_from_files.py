"""Builds from files that no catalog lists, and tells what their headers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

import shapely

from rasteret_sql.callbacks import Cancelled
from rasteret_sql.catalog.cloud_config import CloudConfig
from rasteret_sql.errors import InvalidArgumentError, RasteretError
from rasteret_sql.files.file_source import FileScenes
from rasteret_sql.files.list_files import checked_paths, list_files
from rasteret_sql.files.scene_names import FileNaming
from rasteret_sql.geo.grid import Bounds
from rasteret_sql.geo.image_region import image_region
from rasteret_sql.geo.lonlat_boxes import box_of_row
from rasteret_sql.geo.small_images import PlacedImage, boxes_of_small_images
from rasteret_sql.index.place.collection_index import CollectionIndex
from rasteret_sql.index.read.file_headers import FileHeader, read_headers
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.io.loop import run
from rasteret_sql.io.redact import plain_text
from rasteret_sql.io.remote_directory import stores_of
from rasteret_sql.io.routed_backend import default_backend
from rasteret_sql.library.build_from_table import default_name, known_bands
from rasteret_sql.library.build_options import BuildOptions
from rasteret_sql.library.run_build import Place, reader, run_build
from rasteret_sql.stac.unreadable_values import clean_text
from rasteret_sql.tiff.header import BandHeader
from rasteret_sql.tiff.tags import COMPRESSION_NAMES

_AT_ONCE = 50


def build_files(place: Place, paths: Any, naming: Mapping[str, Any], options: BuildOptions) -> CollectionIndex:
    """Build or reuse a collection of files, a scene for each, or for those that their names group.

    Args:
        place: Where it works.
        paths: A path, folder, pattern or prefix of an object store, or a list of these.
        naming: `id`, `datetime` and `bands`, as `FileNaming` has them.
        options: Of the build: name, band_map, data_source, and how it is done.

    Raises:
        InvalidArgumentError: an argument cannot be used, or no file is a scene.
        MissingObjectError: a path has no file.
    """
    config = CloudConfig.from_value(options.cloud_config)
    config = config or (CloudConfig.get_config(options.data_source) if options.data_source else None)
    backend = reader(place.backend, options.backend, options.data_source, config)
    known = {
        word: band
        for one in known_bands(options.data_source)
        for band, key in one.band_map.items()
        for word in (key, band)
    }
    texts = checked_paths(paths)
    source = FileScenes(
        texts,
        FileNaming(**naming, band_map=options.band_map, known=known),
        stores_of(options.backend or place.backend),
    )
    named = replace(options, name=options.name or default_name(texts[0]), enrich_cog=True)
    return run_build(place, source, named, backend=backend, config=config)


def file_rows(
    paths: Any, backend: StorageBackend | None, max_concurrent: int | None, cancelled: Cancelled | None
) -> list[dict[str, Any]]:
    """A row for each file, with what its header says; `status` says why where it cannot be read.

    Args:
        paths: as of `build_files`.
        backend: how they are listed and read.
        max_concurrent: headers read at a time; 50 by default.
        cancelled: polled while they are read.

    Raises:
        MissingObjectError: a path has no file.
    """
    number = max_concurrent or _AT_ONCE
    if number < 1:
        raise InvalidArgumentError(f"max_concurrent is a number of files, 1 or more, not {number}")
    listing = list_files(checked_paths(paths), stores_of(backend), cancelled)
    addresses = [file.address for file in listing.files]
    found = run(read_headers(addresses, backend or default_backend(), number), cancelled)
    headers = [found[address] for address in addresses]
    bands = [None if isinstance(one, RasteretError) else one.header.band(0).by_points() for one in headers]
    boxes = _boxes(bands)
    return [_row(*of_file) for of_file in zip(addresses, headers, bands, boxes, strict=True)]


def _boxes(bands: Sequence[BandHeader | None]) -> list[Bounds | None]:
    """The boxes in lon/lat of images; None where nobody can say."""
    images = {
        number: PlacedImage(band.transform, band.levels[0].width, band.levels[0].height, band.crs)
        for number, band in enumerate(bands)
        if band is not None and band.crs is not None and band.transform is not None
    }
    small = dict(zip(images, boxes_of_small_images([*images.values()]), strict=True))
    return [small.get(number) or _box(images.get(number)) for number in range(len(bands))]


def _box(image: PlacedImage | None) -> Bounds | None:
    if image is None:
        return None
    try:
        region = image_region(image.transform, image.width, image.height, image.crs)
    except RasteretError:  # a CRS newer than PROJ's, or points on a line: nobody can say where its place is
        return None
    return None if region is None else box_of_row(shapely.bounds(region))


def _row(
    address: str, found: FileHeader | RasteretError, place: BandHeader | None, box: Bounds | None
) -> dict[str, Any]:
    path = clean_text(plain_text(address))  # a name on Linux may be no Unicode
    if isinstance(found, RasteretError) or place is None:
        return {"path": path, "status": clean_text(plain_text(str(found)))}
    header, facts = found.header, found.facts
    first = header.levels[0]
    return {
        "path": path,
        "status": "ok",
        "size": facts.size,
        "modified": None if facts.modified is None else facts.modified.replace(tzinfo=UTC),
        "width": first.width,
        "height": first.height,
        "bands": header.count,
        "dtype": str(first.dtype),
        "crs": place.map_crs,
        "transform": None if header.transform is None else list(header.transform),
        "nodata": [None if one is None else float(one) for one in header.nodata],
        "overviews": [round(first.width / level.width) for level in header.levels[1:]],
        "compression": COMPRESSION_NAMES.get(first.compression, str(first.compression)),
        "tile": [first.tile_height, first.tile_width],
        "tiled": first.tiled,
        "descriptions": list(header.descriptions),
        "bbox": None if box is None else dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)),
    }
