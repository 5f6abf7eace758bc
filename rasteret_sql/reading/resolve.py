"""Resolves a request to what each row reads: the files of its bands, and its geometry in their CRS."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import shapely

from rasteret_sql.errors import (
    InvalidArgumentError,
    InvalidCrsError,
    RasteretError,
    UnknownBandError,
    did_you_mean,
    name_meant,
)
from rasteret_sql.geo.crs import no_place
from rasteret_sql.geo.grid import Grid
from rasteret_sql.geo.placement import is_place, place
from rasteret_sql.index.read.band_source import BandSource
from rasteret_sql.reading.context import FailedRow, ReadContext, SceneBands
from rasteret_sql.reading.lack_of_place import lack_of_place, remedy
from rasteret_sql.reading.options import SaidCollection, Whole
from rasteret_sql.reading.request import Request, RowRead, each_or_error
from rasteret_sql.reading.swapped_axes import Missed, some_meet, warn_if_swapped
from rasteret_sql.reading.target_grids import place_on_targets


def resolve(request: Request, context: ReadContext, *, on_map: bool = False) -> list[RowRead]:
    """Find what each row reads. Rows with a NULL scene, band or geometry, or an empty geometry, are left out.

    Args:
        request: the rows.
        context: what they are looked up with.
        on_map: True: pixels that ground control points place are wanted on a grid, also where none is asked for; False:
            as they lie in the file. A whole image is wanted so only where the call says how they are placed.

    Raises:
        RasteretError: of the first row that cannot be read, unless its `on_error` is 'null'.
    """
    with context.receipt.plan:
        return _resolve(request, context, on_map)


def _resolve(request: Request, context: ReadContext, on_map: bool) -> list[RowRead]:
    options, geometries, given = request.options, request.geometries, request.crs
    rows = [
        row
        for row in range(len(request))
        if request.scene_ids[row] is not None and request.bands[row] is not None and geometries[row] is not None
    ]
    sources = _sources(request, rows, context)
    reads: list[RowRead] = []
    todo: dict[tuple[str, str], list[int]] = defaultdict(list)
    on_targets: dict[int, str] = {}
    for row in rows:
        geometry, crs, found = geometries[row], given[row], sources[row]
        failed: RasteretError | None = None
        if isinstance(found, tuple) and isinstance(crs, str) and not isinstance(geometry, RasteretError):
            failed = None if geometry is Whole.IMAGE else unplaced(found)
        else:
            failed = next(part for part in (geometry, crs, found) if isinstance(part, RasteretError))
        if failed is not None:
            if options[row].on_error == "raise":
                raise failed
            bands = ", ".join(map(str, request.bands[row] or ()))
            context.report(FailedRow(options[row].collection_name, request.scene_ids[row] or "", bands, failed))
            continue
        assert geometry is not None and not isinstance(geometry, RasteretError) and isinstance(crs, str)  # noqa: PT018
        if geometry is not Whole.IMAGE and geometry.is_empty:
            continue
        says_how = geometry is not Whole.IMAGE or options[row].gcp is not None
        if options[row].has_target or (on_map and says_how and found[0].header.is_by_points):
            on_targets[len(reads)] = crs
        elif geometry is not Whole.IMAGE:
            todo[crs, found[0].header.crs].append(len(reads))
        reads.append(
            RowRead(row, request.scene_ids[row] or "", found, geometry, options[row], context.report, request.changed)
        )
    lost: set[int] = set()
    missed: list[Missed] = []
    for (crs, native), places in todo.items():
        lost |= _place(reads, places, crs, native, missed)
    lost |= place_on_targets(reads, list(on_targets), list(on_targets.values()), context)
    if missed and len(missed) == len(todo):
        for group in missed:
            warn_if_swapped(group)
    return [read for place, read in enumerate(reads) if place not in lost] if lost else reads


def unplaced(sources: tuple[BandSource, ...]) -> InvalidCrsError | None:
    """The error for a geometry on files that do not say where they lie."""
    source = sources[0]
    if source.header.crs is not None and source.header.transform is not None:
        return None
    return InvalidCrsError(
        f'scene "{source.scene_id}", band {source.band}: {lack_of_place(source)}, so a geometry cannot be placed on '
        f"it; {remedy(source)}leave geom out to read the whole image"
    )


def _place(reads: list[RowRead], places: list[int], given: str, native: str, missed: list[Missed]) -> set[int]:
    """Place the geometries at `places` on their images, each distinct one once; gives the places that are NULL.

    Where all of them miss, `missed` is told.
    """
    lost: set[int] = set()
    geometries = [geometry for at in places if isinstance(geometry := reads[at].geometry, shapely.Geometry)]
    grids = _grids([reads[at] for at in places])
    try:
        placed = place(geometries, given, native, grids)
    except InvalidCrsError as error:
        for at in places:
            if not reads[at].tolerates(error):
                raise InvalidCrsError(f"{reads[at].describe()}: {error}") from error
        return set(places)
    for at, given_geometry, geometry in zip(places, geometries, placed, strict=True):
        read = reads[at]
        if geometry is not None:
            if geometry is not given_geometry:
                reads[at] = read.placed(geometry)
            continue
        if not is_place(given_geometry, given):
            lacking = InvalidCrsError(f"{read.describe()}: {no_place(given_geometry, given, native)}")
            if not read.tolerates(lacking):
                raise lacking
        lost.add(at)
    if not some_meet(placed, grids):
        missed.append(Missed(geometries, given, native, grids, reads[places[0]].describe()))
    return lost


def _grids(reads: Sequence[RowRead]) -> list[Grid]:
    """The place of each row's image in its CRS, one object for all rows of a file."""
    known: dict[int, Grid] = {}
    for read in reads:
        header = read.sources[0].header
        if id(header) not in known:
            assert header.transform is not None  # a geometry is placed on georeferenced files only
            known[id(header)] = Grid(header.transform, header.width, header.height)
    return [known[id(read.sources[0].header)] for read in reads]


def _sources(
    request: Request,
    rows: Sequence[int],
    context: ReadContext,
) -> dict[int, Any]:
    """Files of each row, or the error, looked up once for each distinct (collection, scene, bands)."""
    tolerant = any(option.on_error == "null" for option in request.options)
    wanted: dict[str | SaidCollection | None, dict[SceneBands, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        asked = (request.scene_ids[row] or "", request.bands[row] or ())
        wanted[request.options[row].collection][asked].append(row)
    found: dict[int, Any] = {}
    for collection, each in wanted.items():

        def look_up(some: Sequence[Any], place: str | SaidCollection | None = collection) -> list[Any]:
            answers = context.look_up(some, place, context.backend)
            return [answers[asked] for asked in some]

        for result, its_rows in zip(each_or_error(look_up, list(each), tolerant), each.values(), strict=True):
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


def kind_given(geometry: shapely.Geometry) -> str:
    """Type of a geometry as a call gave it: a line or polygon that was cut to fit its image has several parts now."""
    kind: str = geometry.geom_type
    return kind if kind == "MultiPoint" else kind.removeprefix("Multi")


def check_level(source: BandSource, level: int) -> None:
    """Raise if a file has no such overview."""
    levels = len(source.header.levels)
    if level >= levels:
        has = {1: "no overviews", 2: "overview 1"}.get(levels, f"overviews 1 to {levels - 1}")
        msg = f'overview := {level} does not exist: scene "{source.scene_id}", band {source.band} has {has}; use 0'
        raise InvalidArgumentError(msg)
    mask = source.header.validity.mask
    if mask is not None and mask.levels[level] is None:
        msg = (
            f'overview := {level} of scene "{source.scene_id}", band {source.band} has no mask, though the image has '
            "one, so nothing tells which of its pixels are valid; use another overview, or 0"
        )
        raise InvalidArgumentError(msg)


def one_of_bands(part: str | int, known: Sequence[str], where: str) -> str:
    """Name of the band asked for, by its name (see `name_meant`) or as the n-th of `known`, from 1.

    Raises:
        UnknownBandError: names what was asked and what exists.
    """
    if isinstance(part, int):
        if not 1 <= part <= len(known):
            raise UnknownBandError(
                f"band {part} does not exist in {where}: bands are numbered 1 to {len(known)} ({', '.join(known)})"
            )
        return known[part - 1]
    name = name_meant(part, known)
    if name is None:
        raise UnknownBandError(f'unknown band "{part}" in {where}; {did_you_mean(part, known)}')
    return name
