"""From the arguments of many rows to what each row reads: its bands' files and its geometry in their CRS."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import shapely

from rasteret_sql.errors import (
    FileChangedError,
    InvalidArgumentError,
    InvalidCrsError,
    RasteretError,
    UnknownBandError,
    did_you_mean,
)
from rasteret_sql.geo.crs import LONLAT, lies_elsewhere, no_place, normalize_crs, transform_where_possible
from rasteret_sql.geo.geometry import geometry_kind_crs, parse_geometries, srid_crs
from rasteret_sql.index.lookup import BandSource
from rasteret_sql.io.backend import StorageBackend
from rasteret_sql.kernels.options import WHOLE_IMAGE, PixelOptions, band_request, pixel_options
from rasteret_sql.types import Bounds


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

    @property
    def report(self) -> Callable[[FailedRow], None]:
        """Told of each row that gives NULL because it could not be read."""

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
    changed: list[RowRead] = field(default_factory=list, init=False)
    """Filled while they are read: rows to be read again, since a file of theirs was changed."""

    def __len__(self) -> int:
        return len(self.scene_ids)

    def at(self, rows: Sequence[int]) -> PixelArguments:
        """Some of the rows."""
        columns = (self.scene_ids, self.bands, self.geom_kinds, self.geom_wkbs, self.geom_texts, self.options)
        return PixelArguments(*([column[row] for row in rows] for column in columns))  # type: ignore[arg-type]

    def with_defaults(self, values: Mapping[str, str]) -> PixelArguments:
        """All rows, with named arguments set where a row does not say them."""
        if not values:
            return self
        changed = {}
        for text in set(self.options):
            said = {name: value for name, value in json.loads(text).items() if value is not None}
            changed[text] = json.dumps({**values, **said})
        return replace(self, options=[changed[text] for text in self.options])

    def with_option(self, name: str, value: object) -> PixelArguments:
        """All rows, with one named argument set."""
        changed = {text: json.dumps({**json.loads(text), name: value}) for text in set(self.options)}
        return replace(self, options=[changed[text] for text in self.options])


@dataclass(frozen=True, slots=True, eq=False)
class FailedRow:
    """A row that gave NULL because it could not be read."""

    collection: str | None
    """As the call named it."""
    scene_id: str
    bands: str
    error: Exception


@dataclass(frozen=True, slots=True, eq=False)
class RowRead:
    """What one row reads."""

    row: int
    scene_id: str
    sources: tuple[BandSource, ...]
    geometry: shapely.Geometry | None
    """In the CRS of the image; None for the whole image."""
    options: PixelOptions
    report: Callable[[FailedRow], None]
    changed: list[RowRead]
    """Where the row puts itself to be read again."""
    changed_file: str = ""
    """Address of the file on whose account it does."""

    def tolerates(self, error: Exception) -> bool:
        """True where the row gives NULL for that error, which is reported, or is to be read again."""
        if isinstance(error, FileChangedError) and self.options.refreshes(error):
            self.changed.append(replace(self, changed_file=error.address))
            return True
        if not self.options.tolerates(error):
            return False
        self.tell(error)
        return True

    def tell(self, error: Exception) -> None:
        """Report that the row gives NULL."""
        bands = ", ".join(source.band for source in self.sources)
        self.report(FailedRow(self.options.collection, self.scene_id, bands, error))

    def describe(self) -> str:
        """Scene and bands, for messages."""
        return f'scene "{self.scene_id}", band {", ".join(source.band for source in self.sources)}'


def resolve(args: PixelArguments, scenes: Scenes) -> list[RowRead]:
    """Find what each row reads. Rows with a NULL scene, band or geometry, or an empty geometry, are left out.

    Raises:
        RasteretError: of the first row that cannot be read, unless its `on_error` is 'null'.
    """
    options = [pixel_options(text) for text in args.options]
    tolerant = any(option.on_error == "null" for option in options)
    geometries = _geometries(args, tolerant)
    given = _given_crs(args, options, geometries, tolerant)
    rows = [
        row
        for row in range(len(args))
        if args.scene_ids[row] is not None
        and args.bands[row] is not None
        and (args.geom_texts[row] is not None or args.geom_wkbs[row] is not None)
    ]
    sources = _sources(args, options, rows, scenes, tolerant)
    reads: list[RowRead] = []
    todo: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        geometry, crs, found = geometries[row], given[row], sources[row]
        failed = next((part for part in (geometry, crs, found) if isinstance(part, RasteretError)), None)
        if failed is None and geometry is not None:
            failed = _unplaced(found)
        if failed is not None:
            if options[row].on_error == "raise":
                raise failed
            bands = ", ".join(map(str, band_request(args.bands[row] or "[]")))
            scenes.report(FailedRow(options[row].collection, args.scene_ids[row] or "", bands, failed))
            continue
        if geometry is not None:
            if geometry.is_empty:
                continue
            todo[crs, found[0].header.crs].append(len(reads))
        reads.append(
            RowRead(row, args.scene_ids[row] or "", found, geometry, options[row], scenes.report, args.changed)
        )
    lost: set[int] = set()
    for (crs, native), places in todo.items():
        if crs != native:
            lost |= _reproject(reads, places, crs, native)
    return [read for place, read in enumerate(reads) if place not in lost] if lost else reads


def _unplaced(sources: tuple[BandSource, ...]) -> InvalidCrsError | None:
    """The error for a geometry on files that do not say where they lie."""
    source = sources[0]
    if source.header.crs is not None and source.header.transform is not None:
        return None
    return InvalidCrsError(
        f'scene "{source.scene_id}", band {source.band}: the file has no georeference, so a geometry cannot be placed '
        "on it; leave geom out to read the whole image"
    )


def _each(
    work: Callable[[Sequence[Any]], Iterable[Any]], values: Sequence[Any], tolerant: bool
) -> list[Any | RasteretError]:
    """Results of `work` for all values at once.

    Args:
        work: takes some of the values, gives a result for each.
        values: what to work on.
        tolerant: True: where it fails, each value is tried alone, and has its own result or error.
    """
    try:
        return list(work(values))
    except RasteretError:
        if not tolerant:
            raise
    results: list[Any | RasteretError] = []
    for number in range(len(values)):
        try:
            results.extend(work(values[number : number + 1]))
        except RasteretError as error:
            results.append(error)
    return results


def _reproject(reads: list[RowRead], places: list[int], given: str, native: str) -> set[int]:
    """Transform the geometries at `places`, each distinct one once; gives the places that are NULL instead."""
    distinct: dict[int, int] = {}
    objects: list[shapely.Geometry | None] = []
    for place in places:
        geometry = reads[place].geometry
        if id(geometry) not in distinct:
            distinct[id(geometry)] = len(objects)
            objects.append(geometry)
    moved = transform_where_possible(_column(objects), given, native)
    lost = set()
    for place in places:
        read = reads[place]
        geometry = moved[distinct[id(read.geometry)]]
        if geometry is not None:
            reads[place] = replace(read, geometry=geometry)
            continue
        assert read.geometry is not None
        if not lies_elsewhere(read.geometry, given, _extent(read), native):
            error = InvalidCrsError(f"{read.describe()}: {no_place(read.geometry, given, native)}")
            if not read.tolerates(error):
                raise error
        lost.add(place)
    return lost


def _extent(read: RowRead) -> Bounds:
    """Bounds of the image that a row reads, in its CRS."""
    header = read.sources[0].header
    assert header.transform is not None  # a geometry is placed on georeferenced files only
    corners = [header.transform.apply(col, row) for col in (0, header.width) for row in (0, header.height)]
    xs, ys = zip(*corners, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _column(geometries: Sequence[shapely.Geometry | None]) -> np.ndarray:
    """Geometries as the array of objects that shapely takes."""
    column = np.empty(len(geometries), dtype=object)
    column[:] = geometries
    return column


def _geometries(args: PixelArguments, tolerant: bool) -> list[Any]:
    """Geometry of each row (None: NULL or whole image), or what is wrong with it; distinct inputs parsed once."""
    distinct: dict[tuple[str | None, bytes | str | None], int] = {}
    numbers: list[int] = []
    for row in range(len(args)):
        wkb, text = args.geom_wkbs[row], args.geom_texts[row]
        value = wkb if wkb is not None else (None if text == WHOLE_IMAGE else text)
        numbers.append(distinct.setdefault((args.geom_kinds[row], value), len(distinct)))
    parsed = _each(_parse, list(distinct), tolerant)
    return [parsed[number] for number in numbers]


def _parse(keys: Sequence[tuple[str | None, bytes | str | None]]) -> np.ndarray:
    return parse_geometries(
        [kind for kind, _ in keys],
        [value if isinstance(value, bytes) else None for _, value in keys],
        [value if isinstance(value, str) else None for _, value in keys],
    )


def _given_crs(
    args: PixelArguments, options: Sequence[PixelOptions], geometries: Sequence[Any], tolerant: bool
) -> list[Any]:
    """CRS of each row's geometry, or what is wrong with it: the argument's, else its type's, its own, or lon/lat."""
    shapes = [geometry if isinstance(geometry, shapely.Geometry) else None for geometry in geometries]
    srids = shapely.get_srid(_column(shapes)).tolist()
    distinct: dict[tuple[str | None, str | None, int], int] = {}
    numbers = [
        distinct.setdefault((option.geom_crs, kind, srid), len(distinct))
        for option, kind, srid in zip(options, args.geom_kinds, srids, strict=True)
    ]
    known = _each(lambda some: [_one_crs(*each) for each in some], list(distinct), tolerant)
    return [known[number] for number in numbers]


def _one_crs(asked: str | None, kind: str | None, srid: int) -> str:
    if asked is not None:
        return normalize_crs(asked)
    return geometry_kind_crs(kind or "") or srid_crs(srid) or LONLAT


def _sources(
    args: PixelArguments,
    options: Sequence[PixelOptions],
    rows: Sequence[int],
    scenes: Scenes,
    tolerant: bool,
) -> dict[int, Any]:
    """Files of each row, or the error, looked up once for each distinct (collection, scene, bands)."""
    wanted: dict[str | None, dict[tuple[str, tuple[str | int, ...]], list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        request = (args.scene_ids[row] or "", band_request(args.bands[row] or ""))
        wanted[options[row].collection][request].append(row)
    found: dict[int, Any] = {}
    for collection, requests in wanted.items():

        def look_up(some: Sequence[Any], place: str | None = collection) -> list[Any]:
            answers = scenes.band_sources(some, place)
            return [answers[request] for request in some]

        for result, its_rows in zip(_each(look_up, list(requests), tolerant), requests.values(), strict=True):
            found.update(dict.fromkeys(its_rows, result))
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
        has = {1: "no overviews", 2: "overview 1"}.get(levels, f"overviews 1 to {levels - 1}")
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
