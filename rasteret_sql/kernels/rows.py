"""From the arguments of many rows to what each row reads: its bands' files and its geometry in their CRS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import shapely

from rasteret_sql.errors import InvalidArgumentError, InvalidCrsError, RasteretError, UnknownBandError, did_you_mean
from rasteret_sql.geo.crs import transform_geometries
from rasteret_sql.geo.geometry import geometry_kind_crs, parse_geometries, srid_crs
from rasteret_sql.index.lookup import BandSource
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.kernels.options import WHOLE_IMAGE, PixelOptions, band_request, pixel_options

DEFAULT_CRS = "EPSG:4326"


class Scenes(Protocol):
    """Where kernels find scenes; a session."""

    @property
    def backend(self) -> StorageBackend:
        """How bytes are read."""

    @property
    def max_call_bytes(self) -> int:
        """Most bytes of pixels that one call may hold."""

    @property
    def progress(self) -> Callable[[int, int | None, str], None]:
        """Told how far a call is."""

    def band_sources(
        self, requests: Sequence[tuple[str, tuple[str | int, ...]]], collection: str | None
    ) -> dict[tuple[str, tuple[str | int, ...]], tuple[BandSource, ...] | RasteretError]:
        """The files of each distinct (scene id, bands), or the error that says why there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class PixelArguments:
    """The columns of a call, one entry a row; None is NULL."""

    scene_ids: Sequence[str | None]
    bands: Sequence[str | None]
    """JSON: a name, a 1-based integer, or a list."""
    geom_kinds: Sequence[str | None]
    """DuckDB's type of the geometry argument."""
    geom_wkbs: Sequence[bytes | None]
    geom_texts: Sequence[str | None]
    options: Sequence[str]
    """JSON object of the named arguments."""

    def __len__(self) -> int:
        return len(self.scene_ids)


@dataclass(frozen=True, slots=True, eq=False)
class RowRead:
    """What one row reads."""

    row: int
    scene_id: str
    sources: tuple[BandSource, ...]
    geometry: shapely.Geometry | None
    """In the CRS of the image; None for the whole image."""
    options: PixelOptions

    def describe(self) -> str:
        """Scene and bands, for messages."""
        return f'scene "{self.scene_id}", band {", ".join(source.band for source in self.sources)}'


def resolve(args: PixelArguments, scenes: Scenes) -> list[RowRead]:
    """Find what each row reads. Rows with a NULL scene, band or geometry, or an empty geometry, are left out.

    Raises:
        RasteretError: of the first row that cannot be read, unless its `on_error` is 'null'.
    """
    options = [pixel_options(text) for text in args.options]
    geometries, geometry_errors = _geometries(args, options)
    carried = srid_crs(np.array([None, *geometries], dtype=object)[1:])
    rows = [
        row
        for row in range(len(args))
        if args.scene_ids[row] is not None
        and args.bands[row] is not None
        and (args.geom_texts[row] is not None or args.geom_wkbs[row] is not None)
    ]
    sources = _sources(args, options, rows, scenes)
    reads: list[RowRead] = []
    todo: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        found = geometry_errors.get(row) or sources[row]
        if isinstance(found, RasteretError):
            if options[row].on_error == "raise":
                raise found
            continue
        geometry = geometries[row]
        if geometry is not None:
            if geometry.is_empty:
                continue
            native = found[0].header.crs
            if native is None or found[0].header.transform is None:
                msg = (
                    f'scene "{args.scene_ids[row]}", band {found[0].band}: the file has no georeference, so a geometry '
                    "cannot be placed on it; leave geom out to read the whole image"
                )
                raise InvalidCrsError(msg)
            given = (
                options[row].geom_crs or geometry_kind_crs(args.geom_kinds[row] or "") or carried[row] or DEFAULT_CRS
            )
            todo[given, native].append(len(reads))
        reads.append(RowRead(row, args.scene_ids[row] or "", found, geometry, options[row]))
    for (given, native), places in todo.items():
        if given != native:
            _reproject(reads, places, given, native)
    return reads


def _reproject(reads: list[RowRead], places: list[int], given: str, native: str) -> None:
    """Transform the geometries at `places`, each distinct one once."""
    distinct: dict[int, int] = {}
    objects: list[shapely.Geometry | None] = []
    for place in places:
        geometry = reads[place].geometry
        if id(geometry) not in distinct:
            distinct[id(geometry)] = len(objects)
            objects.append(geometry)
    moved = transform_geometries(np.array(objects, dtype=object), given, native)
    for place in places:
        read = reads[place]
        geometry = moved[distinct[id(read.geometry)]]
        reads[place] = RowRead(read.row, read.scene_id, read.sources, geometry, read.options)


def _geometries(
    args: PixelArguments, options: Sequence[PixelOptions]
) -> tuple[list[shapely.Geometry | None], dict[int, RasteretError]]:
    """Geometry of each row (None: NULL or whole image), distinct inputs parsed once; errors of rows that want NULL."""
    distinct: dict[tuple[str | None, bytes | str | None], int] = {}
    numbers: list[int] = []
    for row in range(len(args)):
        wkb, text = args.geom_wkbs[row], args.geom_texts[row]
        value = wkb if wkb is not None else (None if text == WHOLE_IMAGE else text)
        kind = args.geom_kinds[row]
        numbers.append(distinct.setdefault((kind, value), len(distinct)))
    keys = list(distinct)
    errors: dict[int, RasteretError] = {}
    try:
        parsed = _parse(keys)
    except InvalidArgumentError:
        tolerant = {number for number, option in zip(numbers, options, strict=True) if option.on_error == "null"}
        parsed = np.empty(len(keys), dtype=object)
        for number, key in enumerate(keys):
            try:
                parsed[number] = _parse([key])[0]
            except InvalidArgumentError as error:
                if number not in tolerant:
                    raise
                errors[number] = error
    by_row = {row: errors[number] for row, number in enumerate(numbers) if number in errors}
    return [parsed[number] for number in numbers], by_row


def _parse(keys: Sequence[tuple[str | None, bytes | str | None]]) -> np.ndarray:
    return parse_geometries(
        [kind for kind, _ in keys],
        [value if isinstance(value, bytes) else None for _, value in keys],
        [value if isinstance(value, str) else None for _, value in keys],
    )


def _sources(
    args: PixelArguments, options: Sequence[PixelOptions], rows: Sequence[int], scenes: Scenes
) -> dict[int, tuple[BandSource, ...] | RasteretError]:
    """Files of each row, looked up once for each distinct (collection, scene, bands)."""
    wanted: dict[str | None, dict[tuple[str, tuple[str | int, ...]], list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        request = (args.scene_ids[row] or "", band_request(args.bands[row] or ""))
        wanted[options[row].collection][request].append(row)
    found: dict[int, tuple[BandSource, ...] | RasteretError] = {}
    for collection, requests in wanted.items():
        results = scenes.band_sources(list(requests), collection)
        for request, its_rows in requests.items():
            found.update(dict.fromkeys(its_rows, results[request]))
    return found


def one_band(read: RowRead) -> BandSource:
    """The band of a function that takes one."""
    if len(read.sources) != 1:
        names = ", ".join(source.band for source in read.sources)
        raise InvalidArgumentError(
            f"one band is read at a time, not {len(read.sources)} ({names}); call it for each band"
        )
    return read.sources[0]


def check_level(source: BandSource, level: int) -> None:
    """Raise if a file has no such overview."""
    levels = len(source.header.levels)
    if level >= levels:
        has = "no overviews" if levels == 1 else f"overviews 1 to {levels - 1}"
        msg = f'overview := {level} does not exist: scene "{source.scene_id}", band {source.band} has {has}; use 0'
        raise InvalidArgumentError(msg)
    if source.header.internal_mask and source.header.masks[level] is None:
        msg = (
            f'overview := {level} of scene "{source.scene_id}", band {source.band} has no mask, though the image has '
            "one, so nothing tells which of its pixels are valid; use another overview, or 0"
        )
        raise InvalidArgumentError(msg)


def one_of_bands(part: str | int, known: Sequence[str], where: str) -> str:
    """Name of the band asked for: a name as it is, an integer n the n-th of `known`, from 1.

    Raises:
        UnknownBandError: names what was asked and what exists.
    """
    if isinstance(part, int):
        if not 1 <= part <= len(known):
            raise UnknownBandError(
                f"band {part} does not exist in {where}: bands are numbered 1 to {len(known)} ({', '.join(known)})"
            )
        return known[part - 1]
    if part not in known:
        raise UnknownBandError(f'unknown band "{part}" in {where}; {did_you_mean(part, known)}')
    return part


Cancelled = Callable[[], bool]
"""The call's flag, polled by every wait."""
